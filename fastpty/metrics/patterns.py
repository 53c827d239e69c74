"""Patterns beside those of a model."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["r_factor"]


def r_factor(
    measured: ArrayLike, simulated: ArrayLike, mask: NDArray[np.bool_] | None = None
) -> float:
    """Crystallographic R factor of amplitudes, 0 for equal patterns.

    ``sum |sqrt(I_measured) - sqrt(I_simulated)| / sum sqrt(I_measured)`` over every good pixel of
    every pattern.

    Parameters
    ----------
    measured, simulated : [..., Ny, Nx] counts. Negative counts, which a background subtraction
        leaves, count as zero.
    mask : [Ny, Nx], True where a pixel is good; None: all are.

    Returns
    -------
    NaN if no good pixel holds a count, where the ratio is undefined.

    Raises
    ------
    ValueError : the shapes differ.
    """
    found = np.asarray(measured, dtype=np.float64)
    expected = np.asarray(simulated, dtype=np.float64)
    if found.shape != expected.shape:
        raise ValueError(f"measured {found.shape} and simulated {expected.shape} differ in shape")
    if mask is not None:
        if mask.shape != found.shape[-2:]:
            raise ValueError(f"mask {mask.shape} is not of the patterns' shape {found.shape[-2:]}")
        found, expected = found[..., mask], expected[..., mask]
    root = np.sqrt(np.maximum(found, 0.0))
    total = float(root.sum())
    if total == 0.0:
        return math.nan
    return float(np.abs(root - np.sqrt(np.maximum(expected, 0.0))).sum()) / total
