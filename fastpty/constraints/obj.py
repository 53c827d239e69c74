"""Constraints on the object's amplitude and phase."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from fastpty.config.solve import (
    AmplitudeClampConfig,
    BlurXYConfig,
    BlurZConfig,
    ConstraintConfig,
)
from fastpty.model import Model

__all__ = ["amplitude_clamp", "blur_xy", "blur_z", "positive_phase"]


def _gaussian_weights(std: float, like: torch.Tensor) -> torch.Tensor:
    """Normalised weights [2 r + 1], r = 3 std rounded up, at least 2."""
    radius = max(2, math.ceil(3 * std))
    offset = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    weights = torch.exp(-0.5 * (offset / std) ** 2)
    return weights / weights.sum()


def _blur_plane(volume: torch.Tensor, std: float) -> torch.Tensor:
    weights = _gaussian_weights(std, volume)
    radius = len(weights) // 2
    planes = volume.reshape(-1, 1, *volume.shape[-2:])
    planes = F.pad(planes, (radius, radius, radius, radius), mode="replicate")
    planes = F.conv2d(planes, weights[None, None, :, None])
    planes = F.conv2d(planes, weights[None, None, None, :])
    return planes.reshape(volume.shape)


def _blur_depth(volume: torch.Tensor, std: float) -> torch.Tensor:
    """As a matrix over the slices: exact edge replication for any number of slices."""
    slices = volume.shape[1]
    weights = _gaussian_weights(std, volume)
    radius = len(weights) // 2
    matrix = torch.zeros(slices, slices, dtype=volume.dtype, device=volume.device)
    rows = torch.arange(slices, device=volume.device)
    for offset, weight in zip(range(-radius, radius + 1), weights, strict=True):
        matrix[rows, (rows + offset).clamp(0, slices - 1)] += weight
    return torch.einsum("zw,nwyx->nzyx", matrix, volume)


def blur_xy(model: Model, config: BlurXYConfig) -> None:
    """Gaussian blur of amplitude and phase in the plane of every slice, edges replicated."""
    for volume in (model.amplitude, model.phase):
        volume.copy_(_blur_plane(volume, config.std))


def blur_z(model: Model, config: BlurZConfig) -> None:
    """Gaussian blur of amplitude and phase along the beam, edges replicated.

    The depth of field is longer than a slice is thick, so neighbouring slices are hardly told
    apart; the blur keeps structure from collecting in single slices.
    """
    if model.phase.shape[1] > 1:
        for volume in (model.amplitude, model.phase):
            volume.copy_(_blur_depth(volume, config.std))


def amplitude_clamp(model: Model, config: AmplitudeClampConfig) -> None:
    """Amplitude within [low, high]: thin slices scatter little out of the detector."""
    model.amplitude.clamp_(config.low, config.high)


def positive_phase(model: Model, config: ConstraintConfig) -> None:
    """Phase at least zero: atoms advance electrons."""
    model.phase.clamp_(min=0.0)
