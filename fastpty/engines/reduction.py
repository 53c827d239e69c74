"""Gradients summed over processes, only where batches have touched the object, while the processes
go on with what needs no sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.distributed import Pending, Processes
from fastpty.model import Model
from fastpty.ops.adam_step import TILE

__all__ = ["Reduction", "touched_tiles"]

_OBJECT = ("amplitude", "phase")

# Share of the object above which all of it is sent: what is left out would save less time than
# picking out the rest takes.
_MOST = 0.75


def touched_tiles(
    corner: NDArray[np.int64],
    window: tuple[int, int],
    reach: tuple[int, int],
    canvas: tuple[int, int],
) -> NDArray[np.bool_]:
    """Tiles of the object on which a batch depends.

    Parameters
    ----------
    corner : [B, 2] px, of its windows.
    window : (Ny, Nx) px.
    reach : px beyond the windows.
    canvas : (Y, X) px.
    """
    first = np.maximum(corner - reach, 0) // TILE
    behind = (np.minimum(np.add(corner, window) + reach, canvas) - 1) // TILE + 1
    tiles = [-(-side // TILE) for side in canvas]
    # Each window is the double running sum of four impulses.
    impulses = np.zeros((tiles[0] + 1, tiles[1] + 1), np.int64)
    for y, x, sign in (
        (first[:, 0], first[:, 1], 1),
        (first[:, 0], behind[:, 1], -1),
        (behind[:, 0], first[:, 1], -1),
        (behind[:, 0], behind[:, 1], 1),
    ):
        np.add.at(impulses, (y, x), sign)
    return np.asarray(impulses.cumsum(0).cumsum(1)[: tiles[0], : tiles[1]] > 0)


@dataclass(frozen=True)
class _Parcel:
    """Gradients on their way to becoming sums.

    Parameters
    ----------
    gradients : by the names of their unknowns, which have none meanwhile.
    packed : what is summed.
    unpack : writes ``packed`` into the gradients.
    """

    gradients: Mapping[str, torch.Tensor]
    packed: torch.Tensor
    unpack: Callable[[torch.Tensor], Any]
    pending: Pending


class Reduction:
    """The sums of one group of batches after the other.

    Those of the object begin as soon as it has its gradient, beside the rest of the backward. They
    come back unknown by unknown, so that one takes its step while the next is on its way.

    Parameters
    ----------
    reach : px beyond the windows of a batch to which its gradient goes.
    """

    def __init__(self, model: Model, processes: Processes, reach: tuple[int, int]) -> None:
        self._model = model
        self._processes = processes
        self._reach = reach

    def begin_pass(self) -> None:
        """Windows stay where they are until the next pass."""
        self._corner = self._model.corner.cpu().numpy()

    @contextmanager
    def of(
        self, free: tuple[str, ...], positions: NDArray[np.int64], at_once: bool
    ) -> Iterator[None]:
        """Around the backward of the last batch of a group.

        Parameters
        ----------
        free : unknowns that have gradients.
        positions : [B] of the whole group, of all processes.
        at_once : whether the object's gradients are whole when they have been added to once.
        """
        self._waiting = [name for name in _OBJECT if name in free]
        self._pixels = self._touched(positions) if self._waiting else None
        self._whole: set[str] = set()
        self._sent: list[_Parcel] = []
        unknowns = self._model.unknowns
        hooks = [
            unknowns[name].register_post_accumulate_grad_hook(partial(self._have, name))
            for name in self._waiting * at_once
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        for name in list(self._waiting):
            self._have(name)
        self._send_small([name for name in free if name not in _OBJECT], positions)

    def arrivals(self) -> Iterator[tuple[str, ...]]:
        """Unknowns whose gradients are sums now. They alone have one, until the next are asked for;
        at the end all have theirs."""
        unknowns = self._model.unknowns
        for parcel in self._sent:
            self._processes.end_adding(parcel.pending)
            parcel.unpack(parcel.packed)
            for name, gradient in parcel.gradients.items():
                unknowns[name].grad = gradient
            yield tuple(parcel.gradients)
            for name in parcel.gradients:
                unknowns[name].grad = None
        for parcel in self._sent:
            for name, gradient in parcel.gradients.items():
                unknowns[name].grad = gradient

    def _have(self, name: str, _: torch.Tensor | None = None) -> None:
        """The gradient of the object is whole: it goes, in the order that all processes keep."""
        self._whole.add(name)
        while self._waiting and self._waiting[0] in self._whole:
            first = self._waiting.pop(0)
            gradient = self._taken(first)
            if gradient is None:
                continue
            if self._pixels is None:
                self._send({first: gradient}, gradient, lambda _: None)
                continue
            plane = gradient.flatten(-2)
            self._send(
                {first: gradient},
                plane.index_select(-1, self._pixels),
                partial(plane.index_copy_, -1, self._pixels),
            )

    def _send_small(self, names: Sequence[str], positions: NDArray[np.int64]) -> None:
        """All else in one sum; of what each position has of its own those of the batch alone."""
        taken = {name: self._taken(name) for name in names}
        gradients = {name: gradient for name, gradient in taken.items() if gradient is not None}
        if not gradients:
            return
        touched = self._on_device(positions)
        views, places = [], []
        for name, gradient in gradients.items():
            real = torch.view_as_real(gradient) if gradient.is_complex() else gradient
            views.append(real if real.ndim else real[None])
            places.append(touched if self._each(name) else slice(None))
        parts = [view[place] for view, place in zip(views, places, strict=True)]

        def unpack(packed: torch.Tensor) -> None:
            values = packed.split([part.numel() for part in parts])
            for view, place, part, found in zip(views, places, parts, values, strict=True):
                view[place] = found.view(part.shape)

        self._send(gradients, torch.cat([part.reshape(-1) for part in parts]), unpack)

    def _taken(self, name: str) -> torch.Tensor | None:
        """The gradient of an unknown, which has it no longer; None where the loss does not depend
        on it, which is so in all processes."""
        tensor = self._model.unknowns[name]
        gradient, tensor.grad = tensor.grad, None
        return None if gradient is None else gradient.contiguous()

    def _send(
        self,
        gradients: Mapping[str, torch.Tensor],
        packed: torch.Tensor,
        unpack: Callable[[torch.Tensor], Any],
    ) -> None:
        pending = self._processes.begin_adding(packed)
        self._sent.append(_Parcel(gradients, packed, unpack, pending))

    def _each(self, name: str) -> bool:
        """Whether an unknown has a value for each position."""
        if name == "tilt":
            return len(self._model.unknowns[name]) == len(self._corner)
        return name == "positions"

    def _touched(self, positions: NDArray[np.int64]) -> torch.Tensor | None:
        """Pixels [K] of the object's plane that a batch has touched; None: all are sent."""
        shape = self._model.phase.shape
        canvas, window = (shape[-2], shape[-1]), self._model.probe.shape[-2:]
        size = (window[0], window[1])
        tiles = touched_tiles(self._corner[positions], size, self._reach, canvas)
        if tiles.mean() > _MOST:
            return None
        pixels = tiles.repeat(TILE, axis=0).repeat(TILE, axis=1)[: canvas[0], : canvas[1]]
        return self._on_device(np.flatnonzero(pixels))

    def _on_device(self, index: NDArray[np.int64]) -> torch.Tensor:
        found = torch.from_numpy(index)
        device = self._model.probe.device
        if device.type != "cuda":
            return found
        return found.pin_memory().to(device, non_blocking=True)
