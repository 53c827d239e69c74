"""Learning rates over a run: the factor of a schedule, from the iteration and the losses so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastpty.config.schedule import ScheduleConfig

__all__ = ["rate_factor"]


def rate_factor(schedule: ScheduleConfig, iteration: int, losses: Sequence[float]) -> float:
    """What learning rates are multiplied by throughout an iteration.

    With W = warmup, H = hold, T = until and f = floor, in iteration t::

        t <= W           t / (W + 1)
        decay, t > W + H, where u = min((t - W - H) / (T - W - H), 1):
          linear         1 - (1 - f) u
          cosine         f + (1 - f) (1 + cos(pi u)) / 2
          exponential    f^u
        step N           max(f, gamma^floor((t - W - 1) / N))
        plateau          max(f, factor^n), n as :func:`lowerings` counts
        else             1

    Nothing else enters, so that a resumed run finds the same factors.

    Parameters
    ----------
    iteration : the one to come, from 1.
    losses : of the iterations before it.
    """
    beyond = iteration - schedule.warmup
    if beyond <= 0:
        return iteration / (schedule.warmup + 1)
    if schedule.decay is not None:
        return _decay(schedule, beyond - schedule.hold)
    if schedule.step is not None:
        return max(schedule.floor, schedule.gamma ** ((beyond - 1) // schedule.step))
    if schedule.plateau is not None:
        count = lowerings(losses[schedule.warmup :], schedule.plateau, schedule.threshold)
        return max(schedule.floor, schedule.factor**count)
    return 1.0


def lowerings(losses: Sequence[float], patience: int, threshold: float) -> int:
    """How often ``patience`` losses in a row were not lower than the lowest before, by more than
    the share ``threshold`` of its size."""
    count, waited, lowest = 0, 0, math.inf
    for loss in losses:
        if math.isinf(lowest) or loss < lowest - threshold * abs(lowest):
            lowest, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            count, waited = count + 1, 0
    return count


def _decay(schedule: ScheduleConfig, passed: int) -> float:
    """``passed`` : iterations since the last at 1."""
    until = schedule.until
    if passed <= 0 or until is None:
        return 1.0
    floor = schedule.floor
    done = min(passed / (until - schedule.warmup - schedule.hold), 1.0)
    if schedule.decay == "linear":
        return 1 - (1 - floor) * done
    if schedule.decay == "cosine":
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
    return float(floor**done)
