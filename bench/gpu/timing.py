"""Seconds on a device: CUDA events around calls that are queued back to back."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Seconds", "in_turn"]

# Calls are repeated within a round until it lasts about so long, so that neither the events nor
# the host's first launch weigh in it.
ROUND = 0.03
MOST_CALLS = 30


@dataclass
class Seconds:
    """Of one call, in every round."""

    rounds: list[float]
    calls: int  # in a round

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"median": self.median, "rounds": self.rounds, "calls": self.calls}


def in_turn(
    sides: Mapping[str, Callable[[int], object]],
    rounds: int,
    device: torch.device,
    *,
    longest: float = ROUND,
) -> dict[str, Seconds]:
    """Time every side once a round; a side is called with the number of its call.

    Two calls of each side come first and do not count: they make plans, tables and memory.
    """
    calls = {}
    for name, side in sides.items():
        side(0)
        calls[name] = min(MOST_CALLS, max(1, int(longest / _seconds(side, 1, 1, device))))
    found = {name: Seconds([], calls[name]) for name in sides}
    for turn in range(rounds):
        for name, side in sides.items():
            found[name].rounds.append(_seconds(side, turn * calls[name], calls[name], device))
    return found


def _seconds(side: Callable[[int], object], first: int, calls: int, device: torch.device) -> float:
    """Of one of so many calls."""
    if device.type != "cuda":
        begun = time.perf_counter()
        for number in range(first, first + calls):
            side(number)
        return (time.perf_counter() - begun) / calls
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    for number in range(first, first + calls):
        side(number)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e-3 / calls
