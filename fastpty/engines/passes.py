"""Passes over patterns in batches: their losses, the gradients of the unknowns, what is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config.loss import LossConfig
from fastpty.engines import graphs
from fastpty.engines.parts import Parts, free_memory, is_out_of_memory
from fastpty.forward import raise_device_errors, simulate_patterns
from fastpty.loss import total_loss
from fastpty.measurements import Batch, Patterns, PatternSource
from fastpty.model import Model
from fastpty.ops.waves import limited_waves

__all__ = ["NotFiniteError", "Passes", "Turn", "sums"]


class NotFiniteError(Exception):
    """Something has become infinite or NaN.

    Parameters
    ----------
    culprits : loss terms, unknowns or their gradients, in words.
    batch : (number from 1, how many there are) in which it was found.
    after : in the step after that batch, not in the batch.
    """

    def __init__(
        self, culprits: list[str], batch: tuple[int, int] | None = None, after: bool = False
    ) -> None:
        super().__init__(", ".join(culprits))
        self.culprits = culprits
        self.batch = batch
        self.after = after


@dataclass(frozen=True)
class Turn:
    """What a batch is, beside its patterns.

    ``first`` and ``last`` of those whose gradients make one step; ``share`` of their patterns.
    """

    free: tuple[str, ...]
    first: bool = True
    last: bool = True
    share: float = 1.0


class Passes:
    """The loss of every batch, and its gradients; steps where they are wanted.

    Within a pass on CUDA nothing waits for the device: what it finds stays there until the end.

    A batch whose waves take too much memory goes through in parts, with the same step. Its loss is
    no sum over patterns, so all are simulated first, without keeping their waves; then the loss of
    the whole batch has a gradient in their intensities; then each part is simulated again, and
    takes its share of that gradient back. Where memory runs out, the group of batches is done
    again from its start, in smaller parts.

    Parameters
    ----------
    model, patterns : as in the engine.
    size : patterns in a batch.
    parts : in which batches go through, and which are made smaller where memory runs out.
    step : moves the unknowns that are free, by the gradients of the batches of a group.
    look : is told the positions [B] of a batch before its forward looks at the unknowns.
    """

    _divisible: ClassVar[bool] = True

    def __init__(
        self,
        model: Model,
        patterns: Patterns,
        loss: LossConfig,
        size: int,
        parts: Parts,
        step: Callable[[tuple[str, ...]], None] | None = None,
        look: Callable[[torch.Tensor], None] | None = None,
    ) -> None:
        self.model = model
        self.patterns = patterns
        self._source = PatternSource(patterns)
        self._loss = loss
        self._size = size
        self._parts = parts
        self._move = step
        self._moving = False
        self._look = look
        self._terms: list[str] = []
        # Sums over batches: in one place, where every graph of a group finds them.
        self.gradients: dict[str, torch.Tensor] = {}
        self.record_with(None)

    def record_with(self, recorder: graphs.Recorder | None) -> None:
        """Run batches as graphs from now on, or, with None, as they are."""
        self.recorder = recorder
        self.graphed = None if recorder is None else graphs.GraphedStep(self.step, recorder)

    def run(
        self, order: NDArray[np.int64], free: tuple[str, ...], together: int
    ) -> tuple[float, dict[str, float]]:
        """Mean loss and terms over the patterns ``order``, in batches.

        Parameters
        ----------
        free : unknowns that require a gradient.
        together : batches to a group, whose gradients are averaged by patterns.

        Raises
        ------
        NotFiniteError : naming the culprit and the batch; on the CPU right after that batch.
        ValueError : kernels on a device found a window outside the object.
        """
        sizes = np.diff([*range(0, len(order), self._size), len(order)])
        on_host = self.model.probe.device.type == "cpu"
        table, number, finished = None, 0, False
        while not finished:
            number = number // together * together
            try:
                for batch in self._source.batches(order[number * self._size :], self._size):
                    turn = self._turn(free, number, len(order), together)
                    row = self._row(turn, batch, number, len(sizes))
                    if table is None:
                        table = row.new_zeros((len(sizes), len(row)))
                    table[number] = row
                    if on_host:
                        self._refuse_row(row, number, len(sizes), free)
                    number += 1  # before the next one is asked for, which takes memory too
                finished = True
            except (RuntimeError, MemoryError) as error:
                if not (is_out_of_memory(error) and self._divisible) or self._moving:
                    raise
                if not self._parts.halve(int(sizes[number]), number + 1, len(sizes)):
                    raise
            if not finished:  # the error is gone, and with it what its traceback held
                self._free_memory()
        assert table is not None
        end = sums(self.watched().values())
        try:
            raise_device_errors(self.model.probe.device)
        finally:  # a culprit says more than the kernel that met it
            if not on_host:
                table = table.cpu()
                for number, row in enumerate(table):
                    self._refuse_row(row, number, len(sizes), free)
            self._refuse_values(end, len(sizes), len(sizes))
        losses = table[:, len(end) : len(end) + 1 + len(self._terms)].double().numpy()
        total, *terms = (sizes / len(order) @ losses).tolist()
        return total, dict(zip(self._terms, terms, strict=True))

    def _row(self, turn: Turn, batch: Batch, number: int, batches: int) -> torch.Tensor:
        """What :meth:`step` has found in a batch."""
        run = self.step if self.graphed is None else self.graphed
        try:
            return run(turn, batch.index, batch.recorded)
        except ValueError as error:  # what a kernel says of a tilt that is no number
            self._refuse_values(sums(self.watched().values()), number, batches, error)
            raise

    def _free_memory(self) -> None:
        """What is left of a batch that broke off, and graphs, which hold memory of their own."""
        for tensor in self.model.unknowns.values():
            tensor.grad = None
        self.record_with(None)
        free_memory()

    def watched(self) -> Mapping[str, torch.Tensor]:
        """What has to stay finite, by name."""
        return self.model.unknowns

    def _turn(self, free: tuple[str, ...], number: int, total: int, together: int) -> Turn:
        """Of batch ``number`` of a pass over ``total`` patterns."""
        size = self._size
        begin = number // together * together * size
        end = min(begin + together * size, total)
        here = number * size
        patterns = min(size, total - here)
        return Turn(free, here == begin, here + patterns == end, patterns / (end - begin))

    def step(self, turn: Turn, index: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
        """Of a batch: sums of the unknowns, total and terms of the loss, sums of the gradients.

        All are taken before the unknowns are moved. A sum is finite if all that it adds up is.
        """
        self._moving = False
        values = sums(self.watched().values())
        self._place_gradients(turn)
        if self._look is not None:
            self._look(index)
        intensity = self._simulate(index, bool(turn.free))
        loss, terms = total_loss(
            self._loss,
            self.model,
            index,
            intensity,
            self.patterns.scaled(recorded),
            self.patterns.mask,
        )
        self._terms = list(terms)
        row = [values, torch.stack([loss, *terms.values()]).detach()]
        if loss.requires_grad:  # nothing may be free in this iteration
            (loss if turn.share == 1 else turn.share * loss).backward()
            self._take_back(index, intensity)
            row.append(sums(self._gradient(name) for name in turn.free))
        found = torch.cat(row)
        if loss.requires_grad and turn.last and self._move is not None:
            self._moving = True  # a step that broke off cannot be taken again
            self._move(turn.free)
            self._moving = False
        return found

    def _simulate(self, index: torch.Tensor, wanted: bool) -> torch.Tensor:
        """Intensities of a batch; those of one in parts have no past, and ask for a gradient."""
        parts = self._parts.of(index)
        if len(parts) == 1:
            return self._intensity(index)
        with torch.no_grad():
            intensity = torch.cat([self._intensity(part) for part in parts])
        return intensity.requires_grad_(wanted)

    def _take_back(self, index: torch.Tensor, intensity: torch.Tensor) -> None:
        """The gradient in the intensities of a batch in parts, to the unknowns."""
        if not intensity.is_leaf or intensity.grad is None:
            return
        parts = self._parts.of(index)
        for part, gradient in zip(parts, intensity.grad.split(len(parts[0])), strict=True):
            self._intensity(part).backward(gradient)

    def _intensity(self, index: torch.Tensor) -> torch.Tensor:
        with limited_waves(self._parts.waves):
            return simulate_patterns(self.model, index)

    def _gradient(self, name: str) -> torch.Tensor:
        gradient = self.model.unknowns[name].grad
        if gradient is None:  # the loss does not depend on it
            return torch.zeros(1, device=self.model.probe.device)
        return gradient

    def _place_gradients(self, turn: Turn) -> None:
        """Where the batch's gradients go: added to those of its group, or, alone, into new memory.

        Those of a frozen unknown are None, so that the optimiser leaves it and its state alone.
        """
        alone = turn.first and turn.last and self._move is not None
        for name, tensor in self.model.unknowns.items():
            if alone or name not in turn.free:
                tensor.grad = None
                continue
            if name not in self.gradients:
                self.gradients[name] = torch.zeros_like(tensor, requires_grad=False)
            if turn.first:
                self.gradients[name].zero_()
            tensor.grad = self.gradients[name]

    def _refuse_row(
        self, row: torch.Tensor, number: int, batches: int, free: tuple[str, ...]
    ) -> None:
        """Look at what :meth:`step` has found in batch ``number``."""
        if torch.isfinite(row).all():
            return
        known = len(self.watched())
        self._refuse_values(row[:known], number, batches)
        names = ["loss", *(f"loss.{term}" for term in self._terms)]
        names += [f"the gradient of {name}" for name in free]
        sound = torch.isfinite(row[known:]).tolist()
        broken = [name for name, fine in zip(names, sound, strict=False) if not fine]
        if broken[0] == "loss":  # the term says which; the gradients follow from it
            broken = [name for name in broken[1:] if name.startswith("loss.")]
        raise NotFiniteError(broken, (number + 1, batches))

    def _refuse_values(
        self, found: torch.Tensor, before: int, batches: int, cause: Exception | None = None
    ) -> None:
        """Look at the unknowns as they were after so many batches of a pass."""
        sound = torch.isfinite(found).tolist()
        broken = [name for name, fine in zip(self.watched(), sound, strict=True) if not fine]
        if broken:
            batch = (before, batches) if before else None
            raise NotFiniteError(broken, batch, after=True) from cause


def sums(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """One number for each tensor: infinite or NaN if any of its values is."""
    return torch.stack(
        [
            (torch.view_as_real(tensor) if tensor.is_complex() else tensor).detach().sum()
            for tensor in tensors
        ]
    )
