"""The waves of a batch, part by part, and what its positions ask of object and probe together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from fastpty.engines.exit_waves import Asked, ExitWaves
from fastpty.engines.parts import Parts
from fastpty.ops import WaveProducts

__all__ = ["Visit", "Visits"]

Sum = TypeVar("Sum", torch.Tensor, Asked)


@dataclass(frozen=True)
class Visit:
    """A part of a batch: its waves, and what their change asks.

    Parameters
    ----------
    rows : where it stands in what is here of the batch.
    intensity, measured : [B, Ny, Nx] at the detector.
    """

    rows: slice
    waves: ExitWaves
    intensity: torch.Tensor
    measured: torch.Tensor
    found: WaveProducts


class Visits:
    """The parts of a batch, one after the other.

    A batch in one part is looked at once. Of several parts one exists at a time, and is made anew
    whenever it is asked for.

    Parameters
    ----------
    look : makes a visit of positions [B], of the rows at which they stand.
    index : [B] positions of the batch that are here, of which there may be none.
    """

    def __init__(
        self,
        look: Callable[[torch.Tensor, slice], Visit],
        index: torch.Tensor,
        parts: Parts,
    ) -> None:
        self._look = look
        self._parts: list[tuple[torch.Tensor, slice]] = []
        begin = 0
        for part in parts.of(index):
            self._parts.append((part, slice(begin, begin + len(part))))
            begin += len(part)
        self._only: Visit | None = None

    def each(self, action: Callable[[Visit], None]) -> None:
        """Call an action with every visit; it keeps none."""
        if len(self._parts) > 1:
            for part in self._parts:
                action(self._look(*part))
            return
        if self._only is None:
            self._only = self._look(*self._parts[0])
        action(self._only)

    def sum(self, value: Callable[[Visit], Sum]) -> Sum:
        """Of a value of each, over those here; it may be changed in place."""
        total: Sum | None = None

        def add(visit: Visit) -> None:
            nonlocal total
            found = value(visit)
            total = found if total is None else total.add_(found)

        self.each(add)
        assert total is not None
        return total

    def rows(self, value: Callable[[Visit], torch.Tensor]) -> torch.Tensor:
        """[B, ...] of values of each position."""
        found: list[torch.Tensor] = []
        self.each(lambda visit: found.append(value(visit)))
        return torch.cat(found)
