"""What a run keeps where, and in which parts batches go, so that it fits into memory.

What is given up first costs least: patterns leave the device for the host's memory, and that for
the disk; then waves are computed anew instead of kept; then batches go through in parts. None of
these changes a step, and only the last its rounding. The size of the batches is the user's: it
decides which steps are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fastpty.available import host_memory
from fastpty.config import ReconConfig
from fastpty.config.plan import Stage
from fastpty.engines import batch_memory, keeps_waves, state_copies
from fastpty.measurements import Patterns, Visited
from fastpty.model import Model

__all__ = ["MemoryPlan", "free_memory", "memory_limit", "plan_memory", "room_for_patterns"]

GIB = 2**30

# Of what is free, for what is counted nowhere and for others.
_RESERVE = 1 / 16
# Of what a run may take, for patterns in the host's memory.
_PATTERNS = 3 / 4
# Of the least memory that a batch can do with: smaller parts only cost time.
_NEAR = 1.1


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything goes, in bytes at the peak of an iteration.

    Parameters
    ----------
    patterns : on the model's device.
    place : of the patterns: ``device``, ``host``, or the folder of a scratch file.
    waves : of a batch, or of a part of one, with what the loss needs.
    unknowns : with gradients, what the optimiser keeps, and the copy to return to.
    limit : for waves from forward to backward; None: as the kernels have it by themselves.
    part : patterns of a batch that go through at once; None: all.
    available : what the run may take; None: not known.
    """

    patterns: int
    place: str
    waves: int
    unknowns: int
    limit: int | None
    part: int | None
    available: int | None

    @property
    def total(self) -> int:
        """On the device."""
        return self.patterns + self.waves + self.unknowns

    @property
    def fits(self) -> bool:
        return self.available is None or self.total <= self.available


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device, of which the host is one; None: not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return host_memory()


def memory_limit(config: ReconConfig) -> int | None:
    """Bytes of the model's device that the config lets a run take; None: what there is."""
    return None if config.memory == "auto" else int(config.memory * GIB)


def room_for_patterns(config: ReconConfig, device: torch.device) -> int | None:
    """Bytes of the host's memory that patterns may take; None: not known."""
    host = torch.device("cpu")
    limit = memory_limit(config) if device == host else None
    most = _least(_less_reserve(free_memory(host)), limit)
    return None if most is None else int(_PATTERNS * most)


def plan_memory(
    config: ReconConfig,
    model: Model,
    patterns: Patterns,
    stages: Sequence[Stage],
    visited: Sequence[Visited],
) -> MemoryPlan:
    """The plan for a model and patterns that are where they will be.

    Parameters
    ----------
    visited : positions of each stage.
    """
    device = model.probe.device
    values = sum(tensor.nbytes for tensor in model.unknowns.values())
    # Each unknown, the copy that a run can go back to, its gradient and a work copy.
    unknowns = values * (4 + max(state_copies(stage.optimise) for stage in stages))
    there = patterns.nbytes if patterns.on_device else 0
    free = free_memory(device)
    # Of what the run may take, the patterns and the unknowns have been taken already.
    # Processes on one machine share its memory, and each has a GPU of its own.
    sharing = 1 if device.type == "cuda" else patterns.share.processes.here
    limit = memory_limit(config)
    available = None if free is None else (_less_reserve(free) or 0) // sharing + there + values
    available = _least(available, None if limit is None else limit // sharing)

    batches = [
        (stage.optimise, min(stage.optimise.batch_size, len(v)))
        for stage, v in zip(stages, visited, strict=True)
    ]

    def waves(part: int | None, limit: int | None) -> int:
        return max(batch_memory(model, optimise, batch, part, limit) for optimise, batch in batches)

    room = None if available is None else available - there - unknowns
    keeping = any(keeps_waves(model, stage.optimise) for stage in stages)
    largest = max(batch for _, batch in batches)
    part, kept = _divided(waves, room, largest, keeping)
    needed = waves(part, kept)
    place = "device" if patterns.on_device else str(patterns.on_disk or "host")
    return MemoryPlan(there, place, needed, unknowns, kept, part, available)


def _divided(
    waves: Callable[[int | None, int | None], int], room: int | None, largest: int, keeping: bool
) -> tuple[int | None, int | None]:
    """(patterns at once, limit for kept waves) that fit into the room, or come near to the least
    that there can be."""
    if room is None or waves(None, None) <= room:
        return None, None
    least = 0 if keeping else None
    without = waves(None, least)
    if without <= room:
        return None, room - without
    room = max(room, int(_NEAR * waves(1, least)))
    part = largest
    while part > 1 and waves(part, least) > room:
        part = (part + 1) // 2
    return (part if part < largest else None), least


def _less_reserve(free: int | None) -> int | None:
    return None if free is None else int((1 - _RESERVE) * free)


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)
