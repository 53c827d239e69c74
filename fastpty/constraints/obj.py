"""Constraints on the values of the object's amplitude and phase."""

from __future__ import annotations

import torch

from fastpty.config.constraints import (
    AmplitudeClampConfig,
    ComplexRatioConfig,
    MirroredAmplitudeConfig,
    PositivePhaseConfig,
)
from fastpty.model import Model

__all__ = ["amplitude_clamp", "complex_ratio", "mirrored_amplitude", "positive_phase"]

# Below it an amplitude counts as this in a logarithm: it may be zero, and negative.
_FAINTEST = 1e-3


def complex_ratio(model: Model, config: ComplexRatioConfig) -> None:
    """Draw amplitude and phase towards one ratio C = sum |ln a| / sum |phi| over all voxels.

    a' = exp((1 - alpha1) ln a - alpha1 C phi), phi' = (1 - alpha2) phi - (alpha2 / C) ln a: where
    the specimen is of one material, it absorbs where it advances the wave. PtyRAD:
    ``complex_ratio``, after Clark et al., Opt. Express 18 (2010) 1981. An object without phase or
    without absorption has no ratio, and stays.
    """
    phase = model.phase
    log = model.amplitude.clamp(min=_FAINTEST).log()
    absorption = log.abs().sum(dtype=torch.float64)
    advance = phase.abs().sum(dtype=torch.float64)
    exists = (absorption > 0) & (advance > 0)
    ratio = (absorption / advance).to(phase.dtype)
    amplitude = torch.exp((1 - config.alpha1) * log - config.alpha1 * ratio * phase)
    advanced = (1 - config.alpha2) * phase - config.alpha2 / ratio * log
    if config.of != "phase":
        model.amplitude.copy_(torch.where(exists, amplitude, model.amplitude))
    if config.of != "amplitude":
        phase.copy_(torch.where(exists, advanced, phase))


def mirrored_amplitude(model: Model, config: MirroredAmplitudeConfig) -> None:
    """Amplitude from the phase: a' = relax a + (1 - relax) (1 - scale max(phi, 0)^power).

    Heavy atoms scatter electrons out of the detector. PtyRAD: ``mirrored_amp``.
    """
    loss = config.scale * model.phase.clamp(min=0).pow(config.power)
    model.amplitude.lerp_(1 - loss, 1 - config.relax)


def amplitude_clamp(model: Model, config: AmplitudeClampConfig) -> None:
    """Amplitude within [low, high]: thin slices scatter little out of the detector.

    a' = relax a + (1 - relax) clamp(a). PtyRAD: ``obja_thresh``.
    """
    model.amplitude.lerp_(model.amplitude.clamp(config.low, config.high), 1 - config.relax)


def positive_phase(model: Model, config: PositivePhaseConfig) -> None:
    """Phase at least zero: atoms advance electrons.

    phi' = relax phi + (1 - relax) p, where p is max(phi, 0), or with ``subtract_min`` the phase
    less its lowest value anywhere. PtyRAD: ``objp_postiv``, ``clip_neg`` and ``subtract_min``.
    """
    phase = model.phase
    positive = phase - phase.min() if config.mode == "subtract_min" else phase.clamp(min=0)
    phase.lerp_(positive, 1 - config.relax)
