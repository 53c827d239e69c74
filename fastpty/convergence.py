"""How far the unknowns move in an iteration, the way back from one, and when a stage is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fastpty.config.convergence import ConvergenceConfig
from fastpty.constraints.common import norm
from fastpty.model import Model

__all__ = ["Kept", "restore_model", "stalled"]


@torch.no_grad()
def restore_model(model: Model, unknowns: Mapping[str, torch.Tensor], corner: torch.Tensor) -> None:
    """Write unknowns and windows, as they were between two iterations, into the model's tensors."""
    for name, tensor in model.unknowns.items():
        tensor.copy_(unknowns[name])
    model.corner.copy_(corner)
    if model.lens is not None and model.aberrations is not None:
        model.lens.folded.copy_(model.aberrations)  # as between any two iterations


class Kept:
    """A copy of the unknowns, to compare with and to return to."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._unknowns = {name: t.detach().clone() for name, t in model.unknowns.items()}
        self._corner = model.corner.clone()

    def keep(self) -> None:
        """From now on the copy is of the present unknowns."""
        for name, tensor in self._model.unknowns.items():
            self._unknowns[name].copy_(tensor.detach())
        self._corner.copy_(self._model.corner)

    def restore(self) -> None:
        """The model is as the copy is."""
        restore_model(self._model, self._unknowns, self._corner)

    @torch.no_grad()
    def changes(self) -> dict[str, float]:
        """By how much each unknown x differs from its copy: ``|x - x'| / |x|``, 2-norms.

        0 where both are zero, infinite or NaN where the unknown is. Zero is a value like any other
        of positions, tilt and aberrations, so of these it is the root mean square of the change: in
        px, in mrad, and in rad at the aperture's edge.
        """
        norms: list[torch.Tensor] = []
        for name, tensor in self._model.unknowns.items():
            difference = tensor - self._unknowns[name]
            size = tensor
            if name == "positions":  # a window that follows its position does not move it
                difference += self._model.corner - self._corner
            if name in ("positions", "tilt", "aberrations"):
                size = torch.ones(len(tensor), device=tensor.device)
            norms += [norm(difference), norm(size)]
        # One answer for all, as each would make the host wait for the device.
        pairs = torch.stack(norms).reshape(-1, 2).tolist()
        return {
            name: moved / size if size else moved
            for name, (moved, size) in zip(self._model.unknowns, pairs, strict=True)
        }


def stalled(
    config: ConvergenceConfig,
    losses: Sequence[float],
    changes: Mapping[str, Sequence[float]],
) -> bool:
    """Whether a stage has made no progress in its last ``patience`` iterations.

    Of the loss: none of them was lower than the lowest before by more than the share ``threshold``
    of its size; small falls that add up to more count, as the lowest is that at the last progress.
    Of unknowns: no change of any of them was above ``threshold``.

    Parameters
    ----------
    losses, changes : of the stage's iterations so far.
    """
    if config.patience is None or len(losses) < config.patience:
        return False
    if config.of == "unknowns":
        recent = [max(values[-config.patience :], default=0.0) for values in changes.values()]
        return max(recent, default=0.0) <= config.threshold
    lowest, waited = losses[0], 0
    for loss in losses[1:]:
        if loss < lowest - config.threshold * abs(lowest):
            lowest, waited = loss, 0
        else:
            waited += 1
    return waited >= config.patience
