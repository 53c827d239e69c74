"""Sides timed in turn within one process: medians of wall and CPU seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Side", "Time", "in_turn", "ratio"]


def _nothing() -> None:
    pass


@dataclass
class Side:
    """What is timed, and what is done untimed before every round of it."""

    step: Callable[[], object]
    prepare: Callable[[], object] = _nothing


@dataclass
class Time:
    """Seconds of every round: on the clock, and of all threads together."""

    wall: list[float]
    cpu: list[float]

    @property
    def median(self) -> tuple[float, float]:
        """(wall, CPU)."""
        return statistics.median(self.wall), statistics.median(self.cpu)

    def plain(self) -> dict[str, float | list[float]]:
        """For JSON."""
        wall, cpu = self.median
        return {"wall": wall, "cpu": cpu, "wall_rounds": self.wall, "cpu_rounds": self.cpu}


def in_turn(sides: Mapping[str, Side], rounds: int) -> dict[str, Time]:
    """Time every side once a round, so that what else the machine does meets all of them.

    A first round is not counted.
    """
    times = {name: Time([], []) for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            side.prepare()
            wall, cpu = time.perf_counter(), time.process_time()
            side.step()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn > 0:
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
    return times


def ratio(other: Time, ours: Time) -> tuple[float, float]:
    """(wall, CPU): the median over the rounds of what the other side takes for ours."""
    return (
        statistics.median(a / b for a, b in zip(other.wall, ours.wall, strict=True)),
        statistics.median(a / b for a, b in zip(other.cpu, ours.cpu, strict=True)),
    )
