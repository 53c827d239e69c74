"""Adam that steps the object only where a batch touches it: when that pays, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config.optimise import OptimiseConfig
from fastpty.config.solve import LossConfig
from fastpty.engines.reduction import touched_tiles
from fastpty.loss import object_reach
from fastpty.model import Model
from fastpty.ops.adam_step import (
    AdamTiles,
    adam_catch_up,
    adam_settle,
    adam_step,
    runs_native,
)

__all__ = ["TiledAdam", "Tiling", "choose_tiling", "pays", "touched_share"]

# Bytes for each pixel: a step reads a value, its gradient and its two moments and writes all but
# the gradient; catching up reads three of them and writes one; settling writes three.
_STEP, _CATCH_UP, _SETTLE = 28, 16, 24

# It is to move at most this share of the bytes of steps of the whole object: pieces of rows come
# from memory at two thirds to a third of the rate of whole rows (python -m bench.adam_step).
_WORTH = 0.5

# Steps of the first iteration that tell what share of the object one touches.
_SAMPLE = 16


@dataclass(frozen=True)
class Tiling:
    """Which unknowns are stepped by tiles, and what of them a batch touches.

    Parameters
    ----------
    unknowns : their names.
    window : (Ny, Nx) px of a pattern.
    reach : px beyond the windows on which the loss of a batch depends.
    """

    unknowns: tuple[str, ...]
    window: tuple[int, int]
    reach: tuple[int, int]


class TiledAdam(torch.optim.Adam):
    """torch's Adam, in which some unknowns are stepped on the tiles that batches touch, alone.

    Those must be caught up with before every forward, and settled before anything but a batch looks
    at them. Then their state is that of torch's own, and so is the layout of ``state_dict``.

    Parameters
    ----------
    groups : as torch's, one for each unknown.
    names : of the unknowns.
    tiling : those that are stepped by tiles are [..., Y, X], without weight decay.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], names: Sequence[str], tiling: Tiling
    ) -> None:
        super().__init__(groups)
        self._places = [i for i, name in enumerate(names) if name in tiling.unknowns]
        self._tiling = tiling
        self._tiles: dict[torch.Tensor, AdamTiles] = {}

    def catch_up(self, corner: torch.Tensor) -> None:
        """Bring the free unknowns up to date where a batch with windows at ``corner`` looks."""
        for place in self._places:
            group = self.param_groups[place]
            if group["params"][0].requires_grad:
                tiles = self._tiles_of(group)
                adam_catch_up(tiles, corner, self._tiling.window, self._tiling.reach)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """A step of every unknown that has a gradient."""
        gradients = {}
        for place in self._places:
            group = self.param_groups[place]
            (tensor,) = group["params"]
            if tensor.grad is None:
                continue
            count = self.state[tensor]["step"]
            count += 1
            adam_step(self._tiles_of(group), tensor.grad, group["lr"], count)
            gradients[tensor], tensor.grad = tensor.grad, None
        loss = super().step(closure)
        for tensor, gradient in gradients.items():
            tensor.grad = gradient
        return loss

    def settle(self) -> None:
        """Bring all values and moments up to date."""
        for tiles in self._tiles.values():
            adam_settle(tiles)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; what was settled is all that there is."""
        super().load_state_dict(state_dict)
        self._tiles.clear()

    def _tiles_of(self, group: Mapping[str, Any]) -> AdamTiles:
        (tensor,) = group["params"]
        if tensor not in self._tiles:
            state = self.state[tensor]
            if not state:
                # All or nothing: without the memory for one of them none is there.
                state |= {
                    "step": torch.zeros((), device=tensor.device),
                    "exp_avg": torch.zeros_like(tensor, requires_grad=False),
                    "exp_avg_sq": torch.zeros_like(tensor, requires_grad=False),
                }
            moments = state["exp_avg"], state["exp_avg_sq"]
            self._tiles[tensor] = AdamTiles(tensor, *moments, group["betas"], group["eps"])
        return self._tiles[tensor]


def pays(share: float, steps: int) -> bool:
    """Whether steps by tiles are less work than steps of the whole.

    Parameters
    ----------
    share : of the object, which a step touches.
    steps : of an iteration, at whose end everything is settled.
    """
    # What a step touches was not touched by the last one, as often as not by chance.
    work = share * (_STEP + (1 - share) * _CATCH_UP) + _SETTLE / steps
    return work <= _WORTH * _STEP


def touched_share(
    corner: NDArray[np.int64],
    steps: Sequence[NDArray[np.int64]],
    tiling: Tiling,
    canvas: tuple[int, int],
) -> float:
    """Share of the object's tiles that a step touches, on average.

    Parameters
    ----------
    corner : [N, 2] px.
    steps : which positions each of them takes.
    canvas : (Y, X) px.
    """
    shares = [
        touched_tiles(corner[positions], tiling.window, tiling.reach, canvas).mean()
        for positions in steps
    ]
    return float(np.mean(shares))


def choose_tiling(
    config: OptimiseConfig, loss: LossConfig, model: Model, order: NDArray[np.int64]
) -> Tiling | None:
    """How the config wants the object stepped by tiles, or, by itself, where that is less work;
    None for not at all.

    Parameters
    ----------
    order : positions of an iteration, batch by batch.
    """
    names = tuple(n for n in ("amplitude", "phase") if config.why_not_by_tiles(n) is None)
    if config.tiles is False or not names:
        return None
    window = (model.probe.shape[-2], model.probe.shape[-1])
    tiling = Tiling(names, window, object_reach(loss))
    if config.tiles is True:
        return tiling
    together = config.batch_size * config.accumulate
    steps = [order[at : at + together] for at in range(0, len(order), together)]
    some = steps[:: -(-len(steps) // _SAMPLE)]
    canvas = (model.phase.shape[-2], model.phase.shape[-1])
    share = touched_share(model.corner.cpu().numpy(), some, tiling, canvas)
    return tiling if runs_native(model.phase) and pays(share, len(steps)) else None
