"""Constraints on the probe modes."""

from __future__ import annotations

import torch

from fastpty.config.constraints import ConstraintConfig
from fastpty.model import Model

__all__ = ["orthogonal_modes", "probe_power"]


def orthogonal_modes(model: Model, config: ConstraintConfig) -> None:
    """Rotate the modes among themselves until they are orthogonal, the strongest first.

    The rotation is the eigenbasis of the modes' Gram matrix, so the mixed state, and with it
    every pattern, stays what it was (Thibault & Menzel, Nature 494 (2013) 68). An eigenvector's
    phase is free: it is chosen so that a mode that need not move does not. Modes that are
    orthogonal already are only sorted: among equal powers the eigenbasis would be an arbitrary
    one, another at every call. PtyRAD: ``ortho_pmode``.
    """
    modes = model.probe.reshape(model.probe.shape[0], -1).to(torch.complex128)
    gram = modes.conj() @ modes.T
    power = gram.diagonal().real
    rounding = torch.finfo(model.probe.real.dtype).eps
    overlap = (gram - torch.diag(gram.diagonal())).abs()
    if (overlap <= rounding * (power[:, None] * power).sqrt()).all():
        if (power.diff() > rounding * power[1:]).any():
            model.probe.copy_(model.probe[power.argsort(descending=True, stable=True)])
        return
    _, vectors = torch.linalg.eigh(gram)
    rotation = vectors.flip(1)  # eigh sorts ascending
    leading = rotation.gather(0, rotation.abs().argmax(0, keepdim=True))
    rotation = rotation * (leading.abs() / leading)
    rotated = (rotation.T @ modes).reshape(model.probe.shape)
    model.probe.copy_(rotated.to(model.probe.dtype))


def probe_power(model: Model, config: ConstraintConfig) -> None:
    """Scale the modes to the total intensity of the start.

    Without it a factor can drift between probe and object, whose product alone is measured.
    PtyRAD: ``fix_probe_int``.
    """
    power = model.probe.abs().square().sum()
    model.probe.mul_((model.power_start / power).sqrt())
