"""The terms that a config switches on, weighted and added."""

from __future__ import annotations

import torch

from fastpty.config.loss import LossConfig
from fastpty.loss.gaussian import gaussian_loss
from fastpty.loss.pacbed import pacbed_loss
from fastpty.loss.poisson import poisson_loss
from fastpty.loss.similarity import similarity_loss, similarity_reach
from fastpty.loss.sparse import sparse_loss
from fastpty.loss.whole import Whole, once
from fastpty.model import Model

__all__ = ["object_reach", "total_loss"]


def total_loss(
    config: LossConfig,
    model: Model,
    index: torch.Tensor,
    intensity: torch.Tensor,
    measured: torch.Tensor,
    mask: torch.Tensor | None,
    whole: Whole | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """(sum, weighted terms by name) for the batch ``index``.

    With ``whole``, of which these patterns are a part, the values are those of the whole, and the
    gradients of all its parts add up to its own.
    """
    terms = {}
    corner = model.corner[index if whole is None else whole.index]
    if (gaussian := config.gaussian) is not None:
        terms["gaussian"] = gaussian.weight * gaussian_loss(
            intensity,
            measured,
            gaussian.power,
            mask,
            eps=gaussian.eps,
            form=gaussian.form,
            whole=whole,
        )
    if (poisson := config.poisson) is not None:
        terms["poisson"] = poisson.weight * poisson_loss(
            intensity, measured, poisson.power, mask, eps=poisson.eps, whole=whole
        )
    if (pacbed := config.pacbed) is not None:
        terms["pacbed"] = pacbed.weight * pacbed_loss(
            intensity, measured, pacbed.power, mask, eps=pacbed.eps, whole=whole
        )
    window = (model.probe.shape[-2], model.probe.shape[-1])
    if (sparse := config.sparse) is not None:
        term = sparse_loss(model.phase, corner, window, sparse.power, model.occupancy)
        terms["sparse"] = sparse.weight * once(term, whole)
    if (similarity := config.similarity) is not None:
        term = similarity_loss(
            model.amplitude,
            model.phase,
            corner,
            window,
            parts=similarity.parts,
            blur=similarity.blur,
            blocks=similarity.blocks,
            occupancy=model.occupancy,
        )
        terms["similarity"] = similarity.weight * once(term, whole)
    return torch.stack(list(terms.values())).sum(), terms


def object_reach(config: LossConfig) -> tuple[int, int]:
    """Pixels (y, x) beyond the windows of a batch on whose object its loss depends."""
    similarity = config.similarity
    return (0, 0) if similarity is None else similarity_reach(similarity.blur, similarity.blocks)
