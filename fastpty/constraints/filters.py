"""Constraints that filter the object: blurs, masks in reciprocal space, sparsity."""

from __future__ import annotations

import torch

from fastpty.config.constraints import (
    BlurXYConfig,
    BlurZConfig,
    LowpassXYConfig,
    MissingWedgeConfig,
    SparseDCTConfig,
)
from fastpty.constraints.common import gaussian_blur, round_edge, volumes
from fastpty.constraints.cosine import cosine_transform, inverse_cosine_transform
from fastpty.model import Model

__all__ = ["blur_xy", "blur_z", "lowpass_xy", "missing_wedge", "sparse_dct"]


def blur_xy(model: Model, config: BlurXYConfig) -> None:
    """Gaussian blur in the plane of every slice, edges replicated.

    PtyRAD: ``obj_rblur``, which mirrors the edges.
    """
    for volume in volumes(model, config.of):
        volume.copy_(gaussian_blur(volume, (2, 3), config.std, config.kernel_size))


def blur_z(model: Model, config: BlurZConfig) -> None:
    """Gaussian blur along the beam, edges replicated.

    The depth of field is longer than a slice is thick, so neighbouring slices are hardly told
    apart; the blur keeps structure from collecting in single slices. PtyRAD: ``obj_zblur``.
    """
    if model.phase.shape[1] > 1:
        for volume in volumes(model, config.of):
            volume.copy_(gaussian_blur(volume, (1,), config.std, config.kernel_size))


def _frequencies(volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(fy [Y, 1], fx [X/2+1]) in cycles per pixel, as ``torch.fft.rfft2`` orders them."""
    y, x = volume.shape[-2:]
    fy = torch.fft.fftfreq(y, dtype=volume.dtype, device=volume.device)
    return fy[:, None], torch.fft.rfftfreq(x, dtype=volume.dtype, device=volume.device)


def lowpass_xy(model: Model, config: LowpassXYConfig) -> None:
    """Low-pass filter with a soft round edge in the plane of every slice.

    x' = F^-1{ F{x} / (1 + exp(10 (f - radius / 2) / width)) }, f = |(fy, fx)| in cycles per pixel;
    at f = 0 the factor is 1, so that a soft edge does not dim the whole slice. PtyRAD:
    ``kr_filter``, whose factor at f = 0 is 1 only up to exp(-5 radius / width).
    """
    fy, fx = _frequencies(model.phase)
    mask = round_edge(torch.hypot(fy, fx), config.radius, config.width)
    mask[0, 0] = 1
    size = model.phase.shape[-2:]
    for volume in volumes(model, config.of):
        volume.copy_(torch.fft.irfft2(torch.fft.rfft2(volume) * mask, s=size))


def missing_wedge(model: Model, config: MissingWedgeConfig) -> None:
    """Damp what the probe's angles cannot carry: high frequencies along the beam at low ones
    across it.

    The object's 3-D transform is multiplied by W exp(-alpha (fy^2 + fx^2)) with
    W = 1 - (2 / pi) arctan((beta |fz| / sqrt(fy^2 + fx^2 + 1e-3))^2), frequencies in cycles per
    pixel and per slice; the amplitude is moreover drawn towards 1, a' = 1 + 0.9 (a - 1). PtyRAD:
    ``kz_filter``, after PtychoShelves (Wakonig et al., J. Appl. Cryst. 53 (2020) 574).
    """
    fy, fx = _frequencies(model.phase)
    phase = model.phase
    fz = torch.fft.fftfreq(phase.shape[1], dtype=phase.dtype, device=phase.device)
    across2 = fy**2 + fx**2
    ratio2 = (config.beta * fz[:, None, None]) ** 2 / (across2 + 1e-3)
    mask = (1 - torch.atan(ratio2) * (2 / torch.pi)) * torch.exp(-config.alpha * across2)
    axes, size = (1, 2, 3), phase.shape[1:]
    for volume in volumes(model, config.of):
        volume.copy_(torch.fft.irfftn(torch.fft.rfftn(volume, dim=axes) * mask, s=size, dim=axes))
        if volume is model.amplitude:
            volume.sub_(1).mul_(0.9).add_(1)


def sparse_dct(model: Model, config: SparseDCTConfig) -> None:
    """Keep the largest coefficients of the slices' cosine transforms, set the others to zero.

    The transform is the DCT-II in the plane, without normalisation; the share ``keep`` is of all
    slices and object modes together. PtyRAD: ``kr_thresh``, whose inverse transform (of 2 N - 1
    points, in 1.0.0) does not return what was transformed.
    """
    for volume in volumes(model, config.of):
        coefficients = cosine_transform(volume)
        size = coefficients.abs().flatten()
        kept = max(1, int(config.keep * len(size)))
        threshold = size.kthvalue(len(size) - kept + 1).values
        coefficients = coefficients * (coefficients.abs() >= threshold)
        volume.copy_(inverse_cosine_transform(coefficients))
