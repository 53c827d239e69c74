"""torch's transforms over the last two axes, also of no wave at all, which some FFT libraries
refuse."""

from __future__ import annotations

import torch

__all__ = ["forward", "inverse"]


def forward(wave: torch.Tensor, norm: str | None = None) -> torch.Tensor:
    """``torch.fft.fft2``: the sign of the exponent is negative."""
    spectrum: torch.Tensor = torch.fft.fft2(wave, norm=norm) if wave.numel() else wave.clone()
    return spectrum


def inverse(spectrum: torch.Tensor, norm: str | None = None) -> torch.Tensor:
    """``torch.fft.ifft2``."""
    if not spectrum.numel():
        return spectrum.clone()
    wave: torch.Tensor = torch.fft.ifft2(spectrum, norm=norm)
    return wave
