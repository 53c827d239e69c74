"""How the scan lies on the detector: a rotation, and perhaps a mirrored axis.

A position of the scan is ``M B n`` in the detector's frame (y, x): ``n`` is the step (slow, fast),
``B`` the lengths of the steps, and ``M = R(rotation) diag(1, -1 if mirrored)``, which is what
``scan.rotation_deg`` and ``scan.affine`` put before ``B``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Matrix",
    "decompose",
    "frequencies",
    "mirror",
    "orientation",
    "polar",
    "turned_by",
    "without_plane",
]

Matrix = NDArray[np.float64]


def mirror(mirrored: bool) -> Matrix:
    """``diag(1, -1)``, the fast axis reversed, or the identity."""
    return np.diag([1.0, -1.0 if mirrored else 1.0])


def orientation(rotation_deg: float, mirrored: bool) -> Matrix:
    """``M`` [2, 2]."""
    angle = math.radians(rotation_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(turn @ mirror(mirrored))


def decompose(matrix: Matrix) -> tuple[float, bool]:
    """(rotation in degrees, mirrored) of an orthogonal ``M``."""
    mirrored = bool(np.linalg.det(matrix) < 0)
    turn = matrix @ mirror(mirrored)
    return math.degrees(math.atan2(turn[1, 0], turn[0, 0])), mirrored


def turned_by(angle: float, other: float, period: float = 360.0) -> float:
    """The difference of two angles in degrees, at most half a period in size."""
    return (angle - other + period / 2) % period - period / 2


@dataclass(frozen=True)
class Polar:
    """``M^T H`` taken apart: the orientation and the symmetric matrix of the lens."""

    rotation_deg: float
    mirrored: bool
    lens: Matrix


def polar(product: Matrix) -> Polar:
    """``M`` orthogonal and ``H`` symmetric with ``product = M^T H``, of positive defocus C10.

    ``M`` is unique up to its sign, which goes with that of ``H``: the twin. This holds where
    the defocus is larger than the astigmatism.
    """
    left, stretch, right = np.linalg.svd(product)
    rotation, mirrored = decompose((left @ right).T)
    return Polar(rotation, mirrored, right.T @ np.diag(stretch) @ right)


def frequencies(shape: tuple[int, int], basis: Matrix) -> NDArray[np.float64]:
    """[slow, fast, 2] frequencies of the scan in 1/Angstrom, in the frame of ``basis``."""
    grid = np.stack(np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"), axis=-1)
    return np.asarray(grid @ np.linalg.inv(basis))


def without_plane(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Images [K, Y, X] less the plane that fits each best."""
    count, ny, nx = images.shape
    y, x = np.meshgrid(np.linspace(-1, 1, ny), np.linspace(-1, 1, nx), indexing="ij")
    plane, _ = np.linalg.qr(np.stack([np.ones(ny * nx), y.ravel(), x.ravel()], axis=1))
    flat = images.reshape(count, -1).astype(np.float64)
    return np.asarray(flat - (flat @ plane) @ plane.T).reshape(images.shape)
