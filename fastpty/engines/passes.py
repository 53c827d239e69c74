"""Passes over patterns in batches: their losses, the gradients of the unknowns, what is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config.loss import LossConfig
from fastpty.engines import graphs
from fastpty.engines.parts import Parts, free_memory, is_out_of_memory
from fastpty.engines.reduction import Reduction
from fastpty.forward import raise_device_errors, simulate_patterns
from fastpty.loss import Whole, object_reach, total_loss
from fastpty.measurements import Batch, Patterns, PatternSource
from fastpty.model import Model
from fastpty.ops.waves import limited_waves

__all__ = ["NotFiniteError", "Passes", "Turn", "sums"]


class NotFiniteError(Exception):
    """Something has become infinite or NaN.

    Parameters
    ----------
    culprits : loss terms, unknowns or their gradients, in words.
    batch : (number from 1, how many there are) in which it was found. That of an object's pixel is
        found in the batch before the first one that looks at the pixel.
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

    Within a pass on CUDA nothing waits for the device: what it finds stays there until the end. So
    it looks at every unknown and gradient in every batch. The host, which can ask at once, looks at
    the loss, whose number is no longer finite once an unknown that it depends on is not; then, and
    at the end, at everything else.

    A batch whose waves take too much memory goes through in parts, with the same step. Its loss is
    no sum over patterns, so all are simulated first, without keeping their waves; then the loss of
    the whole batch has a gradient in their intensities; then each part is simulated again, and
    takes its share of that gradient back. Where memory runs out, the group of batches is done
    again from its start, in smaller parts.

    Of several processes each has some patterns of a batch. Losses are those of the whole batch, and
    gradients are summed over all processes before a step, so that unknowns stay the same in each.

    Parameters
    ----------
    model, patterns : as in the engine.
    size : patterns in a batch.
    parts : in which batches go through, and which are made smaller where memory runs out.
    step : moves the unknowns that are free, by the gradients of the batches of a group.
    look : is told the positions [B] of a batch before its forward looks at the unknowns.
    """

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
        self._processes = patterns.share.processes
        self._reduction = None
        if not self._processes.alone:
            self._reduction = Reduction(model, self._processes, object_reach(loss))
        self._move = step
        self._moving = False
        self._look = look
        self._terms: list[str] = []
        self._place = 0, 0
        self._asks = False
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
        # A graph cannot ask, and a device would be waited for.
        self._asks = self.graphed is None and self.model.probe.device.type == "cpu"
        if self._reduction is not None:
            self._reduction.begin_pass()
        table, number, finished = None, 0, False
        while not finished:
            number = number // together * together
            try:
                for batch in self._source.batches(order[number * self._size :], self._size):
                    turn = self._turn(free, number, len(order), together)
                    self._place = number, len(sizes)
                    first = number // together * together * self._size
                    self._group = order[first : (number + 1) * self._size]
                    row = self._row(turn, batch)
                    if table is None:
                        table = row.new_zeros((len(sizes), len(row)))
                    table[number] = row
                    number += 1  # before the next one is asked for, which takes memory too
                finished = True
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self._moving:
                    raise
                if not self._processes.alone:  # the others would go on with the next batch
                    raise
                if not self._parts.halve(int(sizes[number]), number + 1, len(sizes)):
                    raise
            if not finished:  # the error is gone, and with it what its traceback held
                self._free_memory()
        assert table is not None
        try:
            raise_device_errors(self.model.probe.device)
        finally:  # a culprit says more than the kernel that met it
            table = table.cpu()
            if not self._asks:
                for number, row in enumerate(table):
                    self._refuse_row(row, number, free)
            self._refuse_state(len(sizes))
        first = 0 if self._asks else len(self.watched())
        losses = table[:, first : first + 1 + len(self._terms)].double().numpy()
        total, *terms = (sizes / len(order) @ losses).tolist()
        return total, dict(zip(self._terms, terms, strict=True))

    def _row(self, turn: Turn, batch: Batch) -> torch.Tensor:
        """What :meth:`step` has found in a batch."""
        try:
            if not self._processes.alone:
                whole = Whole(batch.whole, self._processes.add, self._processes.count)
                return self.step(turn, batch.index, batch.recorded, whole)
            run = self.step if self.graphed is None else self.graphed
            return run(turn, batch.index, batch.recorded)
        except ValueError as error:  # what a kernel says of a tilt that is no number
            self._refuse_state(self._place[0], error)
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

    def step(
        self,
        turn: Turn,
        index: torch.Tensor,
        recorded: torch.Tensor,
        whole: Whole | None = None,
    ) -> torch.Tensor:
        """Of a batch: total and terms of the loss. Unless the pass asks at once whether these are
        finite, sums of the unknowns stand before them, and of the gradients behind.

        All are taken before the unknowns are moved. A sum is finite if all that it adds up is.
        """
        self._moving = False
        row = []
        if not self._asks:
            row.append(sums(self.watched().values()))
            self._place_gradients(turn)
        if self._look is not None:
            self._look(index if whole is None else whole.index)
        intensity = self._simulate(index, bool(turn.free))
        loss, terms = total_loss(
            self._loss,
            self.model,
            index,
            intensity,
            self.patterns.scaled(recorded),
            self.patterns.mask,
            whole,
        )
        row.append(self._known_losses(loss, terms))
        if self._asks:
            self._place_gradients(turn)
        if loss.requires_grad:  # nothing may be free in this iteration
            with self._summed(turn, index):
                (loss if turn.share == 1 else turn.share * loss).backward()
                self._take_back(index, intensity)
            found: dict[str, torch.Tensor] = {}
            for names in self._arrivals(turn):
                if not self._asks:
                    tensors = sums(self._gradient(name) for name in names)
                    found |= dict(zip(names, tensors.unbind(), strict=True))
                if turn.last and self._move is not None:
                    self._moving = True  # a step that broke off cannot be taken again
                    self._move(names)
            if not self._asks:
                none = torch.zeros((), device=self.model.probe.device)
                row += [found.get(name, none)[None] for name in turn.free]
        done = torch.cat(row)
        self._moving = False
        return done

    def _summed(self, turn: Turn, index: torch.Tensor) -> AbstractContextManager[None]:
        """Around the backward after which gradients are summed over processes, if any are."""
        if self._reduction is None or not turn.last:
            return nullcontext()
        at_once = len(self._parts.of(index)) == 1
        return self._reduction.of(turn.free, self._group, at_once)

    def _arrivals(self, turn: Turn) -> Iterable[tuple[str, ...]]:
        """Unknowns that are free, as they have their gradients."""
        if self._reduction is None or not turn.last:
            return (turn.free,)
        return self._reduction.arrivals()

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

    def _known_losses(self, loss: torch.Tensor, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """Total and terms in a row, for :meth:`step`; refused if they are not finite and the
        batch asks. Until then nothing of the batch before may be lost."""
        self._terms = list(terms)
        row = torch.stack([loss, *terms.values()]).detach()
        if self._asks and not torch.isfinite(row).all():
            self._refuse_state(self._place[0])
            raise NotFiniteError(self._broken_losses(row), (self._place[0] + 1, self._place[1]))
        return row

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

    def _refuse_row(self, row: torch.Tensor, number: int, free: tuple[str, ...]) -> None:
        """Look at what :meth:`step` has found in batch ``number``."""
        if torch.isfinite(row).all():
            return
        known, losses = len(self.watched()), 1 + len(self._terms)
        self._refuse_values(row[:known], number)
        broken = self._broken_losses(row[known : known + losses])
        if not broken:
            broken = _broken_gradients(free, row[known + losses :])
        raise NotFiniteError(broken, (number + 1, self._place[1]))

    def _broken_losses(self, losses: torch.Tensor) -> list[str]:
        """Which terms are not finite: or the total, where only their sum is not."""
        sound = torch.isfinite(losses).tolist()
        terms = [f"loss.{n}" for n, fine in zip(self._terms, sound[1:], strict=True) if not fine]
        return terms or ["loss"] * (not sound[0])

    def _refuse_state(self, before: int, cause: Exception | None = None) -> None:
        """Look at the unknowns after so many batches of a pass, and at the gradients of the last
        step, from which it may come."""
        free = [name for name, tensor in self.model.unknowns.items() if tensor.grad is not None]
        if before and free:
            broken = _broken_gradients(free, sums(map(self._gradient, free)))
            if broken:
                raise NotFiniteError(broken, (before, self._place[1])) from cause
        self._refuse_values(sums(self.watched().values()), before, cause)

    def _refuse_values(
        self, found: torch.Tensor, before: int, cause: Exception | None = None
    ) -> None:
        """Look at the sums of the unknowns after so many batches of a pass."""
        sound = torch.isfinite(found).tolist()
        broken = [name for name, fine in zip(self.watched(), sound, strict=True) if not fine]
        if broken:
            batch = (before, self._place[1]) if before else None
            raise NotFiniteError(broken, batch, after=True) from cause


def _broken_gradients(names: Iterable[str], found: torch.Tensor) -> list[str]:
    """Those whose sum is not finite, in words."""
    sound = torch.isfinite(found).tolist()
    return [f"the gradient of {name}" for name, fine in zip(names, sound, strict=True) if not fine]


def sums(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """One number for each tensor: infinite or NaN if any of its values is."""
    return torch.stack(
        [
            (torch.view_as_real(tensor) if tensor.is_complex() else tensor).detach().sum()
            for tensor in tensors
        ]
    )
