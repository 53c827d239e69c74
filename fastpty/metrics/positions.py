"""Positions beside their start, and beside the truth."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Displacement", "displacement", "position_rmse"]


class Displacement(NamedTuple):
    """Statistics of the distances of N positions from their start, in the unit of the input."""

    mean: float
    rms: float
    max: float


def displacement(positions: ArrayLike, positions_start: ArrayLike) -> Displacement:
    """Mean, root-mean-square and largest distance between two lists of positions.

    Parameters
    ----------
    positions, positions_start : [N, 2] in px or any other unit, which the result shares.

    Raises
    ------
    ValueError : the lists are empty or their shapes differ.
    """
    end = np.asarray(positions, dtype=np.float64)
    start = np.asarray(positions_start, dtype=np.float64)
    if end.shape != start.shape or end.ndim != 2 or end.shape[1] != 2 or len(end) == 0:
        raise ValueError(
            f"positions {end.shape} and positions_start {start.shape} must both be [N, 2], N > 0"
        )
    distance = np.hypot(*(end - start).T)
    return Displacement(
        mean=float(distance.mean()),
        rms=float(np.sqrt(np.mean(distance**2))),
        max=float(distance.max()),
    )


def position_rmse(
    positions: ArrayLike, truth: ArrayLike, *, less: Literal["affine", "mean"] = "affine"
) -> float:
    """Root-mean-square distance of positions from the true ones, less the best affine map.

    Shift, scale, rotation and shear are taken out: the patterns do not fix where the object
    lies, and a common map of the scan is a matter of calibration. What is left is the error of
    each position by itself. ``less="mean"`` takes out the shift alone, so that errors of the
    calibration count.

    Parameters
    ----------
    positions, truth : [N, 2] in px or any other unit; the result is in that of ``truth``.
    less : what is taken out.

    Raises
    ------
    ValueError : the lists are empty or not finite, or their shapes differ.
    """
    found = np.asarray(positions, dtype=np.float64)
    expected = np.asarray(truth, dtype=np.float64)
    if found.shape != expected.shape or found.ndim != 2 or found.shape[1] != 2 or len(found) == 0:
        raise ValueError(f"positions {found.shape} and truth {expected.shape} must both be [N, 2]")
    if not (np.all(np.isfinite(found)) and np.all(np.isfinite(expected))):
        raise ValueError("positions and truth must be finite")
    # Centred, the shift is gone and the linear map is a least-squares problem of its own.
    found, expected = found - found.mean(axis=0), expected - expected.mean(axis=0)
    if less == "affine":
        found = found @ np.linalg.lstsq(found, expected, rcond=None)[0]
    residual = expected - found
    return float(np.sqrt(np.mean(np.sum(residual**2, axis=1))))
