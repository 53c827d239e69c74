"""The cosine transform (DCT-II) in the plane, by transforms of torch, and its inverse.

C[k] = 2 sum_n x[n] cos(pi k (2 n + 1) / (2 N)) along each of the last two axes: without
normalisation, as ``scipy.fft.dctn(x, axes=(-2, -1))``. By one Fourier transform of the same length
(J. Makhoul, IEEE Trans. Acoust. Speech Signal Process. 28 (1980) 27).
"""

from __future__ import annotations

import torch

__all__ = ["cosine_transform", "inverse_cosine_transform"]


def cosine_transform(planes: torch.Tensor) -> torch.Tensor:
    """[..., Y, X] real to its coefficients [..., Y, X]."""
    return _forward(_forward(planes).mT).mT


def inverse_cosine_transform(coefficients: torch.Tensor) -> torch.Tensor:
    """The planes [..., Y, X] whose coefficients are given."""
    return _inverse(_inverse(coefficients).mT).mT


def _quarter_turns(length: int, like: torch.Tensor) -> torch.Tensor:
    """exp(-i pi k / (2 N)) for k = 0 ... N - 1."""
    k = torch.arange(length, dtype=torch.float64, device=like.device)
    turns = torch.polar(torch.ones_like(k), -torch.pi * k / (2 * length))
    return turns.to(like.dtype.to_complex())


def _forward(x: torch.Tensor) -> torch.Tensor:
    length = x.shape[-1]
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
    coefficients: torch.Tensor = 2 * (torch.fft.fft(folded) * _quarter_turns(length, x)).real
    return coefficients


def _inverse(c: torch.Tensor) -> torch.Tensor:
    length = c.shape[-1]
    mirrored = torch.cat([torch.zeros_like(c[..., :1]), c[..., 1:].flip(-1)], dim=-1)
    spectrum = torch.complex(c, -mirrored) * _quarter_turns(length, c).conj() / 2
    folded = torch.fft.ifft(spectrum).real
    x = torch.empty_like(c)
    evens = (length + 1) // 2
    x[..., ::2] = folded[..., :evens]
    x[..., 1::2] = folded[..., evens:].flip(-1)
    return x
