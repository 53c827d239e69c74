"""Orientation from the centre of mass: the field of a thin specimen is a gradient, free of curl."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.calibrate.orientation import Matrix, frequencies, mirror, without_plane

__all__ = ["CurlFit", "fit_curl"]

_SOFT = 0.15  # of the scan's width: the border that is faded out on either side
_TILES, _RESAMPLES = 6, 200


@dataclass(frozen=True)
class CurlFit:
    """The rotation at which the centre-of-mass field has the least curl.

    Parameters
    ----------
    rotation_deg : known up to 180 degrees; -90 to 90.
    mirrored : whether the fast axis has to be reversed.
    error_deg : standard deviation, by resampling parts of the scan.
    curl : power of the curl over that of the divergence, at the best rotation.
    curl_other : the same for the other handedness.
    difference, mixed : of each handedness (not mirrored, mirrored), ``<d^2> - <c^2>`` and
        ``2 <c d>`` as parts of the field's power.
    """

    rotation_deg: float
    mirrored: bool
    error_deg: float
    curl: float
    curl_other: float
    difference: tuple[float, float]
    mixed: tuple[float, float]

    def rotation_of(self, mirrored: bool) -> float:
        """The best rotation of one handedness, -90 to 90."""
        i = int(mirrored)
        return 0.5 * math.degrees(math.atan2(self.mixed[i], self.difference[i]))

    def curve(self, angles_deg: NDArray[np.float64], mirrored: bool) -> NDArray[np.float64]:
        """Share of the curl in the field's power at each rotation."""
        turn = 2 * np.radians(angles_deg)
        i = int(mirrored)
        share = 0.5 * (1 - self.difference[i] * np.cos(turn) - self.mixed[i] * np.sin(turn))
        return np.asarray(share)


def fit_curl(field: NDArray[np.floating], basis: Matrix, seed: int = 0) -> CurlFit:
    """Rotation and handedness that minimise the curl and so maximise the divergence.

    In Fourier space a field is the sum of a part along q, which has divergence and no curl, and
    one across it. For a scan turned by ``a`` the part across is
    ``cos(a) c - sin(a) d`` with the parts ``c, d`` of the recorded field, so that
    ``tan 2a = 2 <c d> / (<d^2> - <c^2>)`` at the minimum. Powers are taken of the parts
    themselves, not of the derivatives, which would weigh noise by q^2.

    Parameters
    ----------
    field : [2, slow, fast] centre of mass (y, x); its plane, as a descan leaves it, is removed.
    basis : [2, 2] as in :mod:`fastpty.calibrate.orientation`.
    seed : of the resampling for the error.
    """
    shape = field.shape[1], field.shape[2]
    padded = 2 * shape[0], 2 * shape[1]
    window = np.outer(*(soft_edge(n, _SOFT) for n in shape))
    spectrum = np.fft.fft2(without_plane(field) * window, padded)
    q = frequencies(padded, basis)
    length = np.linalg.norm(q, axis=-1)
    length[0, 0] = 1.0
    unit = q / length[..., None]
    fits = []
    for mirrored in (False, True):
        u = unit @ mirror(mirrored)
        along = spectrum[0] * u[..., 0] + spectrum[1] * u[..., 1]
        across = spectrum[1] * u[..., 0] - spectrum[0] * u[..., 1]
        d, c = (_real(part)[: shape[0], : shape[1]] for part in (along, across))
        sums = _tiles(np.stack([d * d + c * c, d * d - c * c, 2 * c * d]))
        fits.append((sums, _best(sums.sum(axis=1))))
    best = int(fits[1][1][1] < fits[0][1][1])
    sums, (angle, curl) = fits[best]
    totals = [fit[0].sum(axis=1) for fit in fits]
    return CurlFit(
        angle,
        bool(best),
        _error(sums, angle, seed),
        curl,
        fits[1 - best][1][1],
        (float(totals[0][1] / totals[0][0]), float(totals[1][1] / totals[1][0])),
        (float(totals[0][2] / totals[0][0]), float(totals[1][2] / totals[1][0])),
    )


def soft_edge(count: int, share: float) -> NDArray[np.float64]:
    """1 in the middle, falling to 0 as a cosine over ``share`` of the length at both ends."""
    distance = np.minimum(np.arange(count), np.arange(count)[::-1]) + 0.5
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(distance / (share * count), 0, 1)))


def _real(spectrum: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """The field whose spectrum this is; parts along and across q are odd, so it is imaginary."""
    return np.asarray(np.fft.ifft2(spectrum).imag)


def _tiles(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, T] sums over the tiles of a coarse grid."""
    rows = np.array_split(np.arange(maps.shape[1]), _TILES)
    columns = np.array_split(np.arange(maps.shape[2]), _TILES)
    parts = [maps[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1] for r in rows for c in columns]
    return np.stack([part.sum(axis=(1, 2)) for part in parts], axis=1)


def _best(sums: NDArray[np.float64]) -> tuple[float, float]:
    """(rotation in degrees, curl over divergence) from the sums of power, difference, mixed."""
    power, difference, mixed = sums
    contrast = math.hypot(difference, mixed)
    rotation = 0.5 * math.degrees(math.atan2(mixed, difference))
    return rotation, float((power - contrast) / max(power + contrast, 1e-300))


def _error(sums: NDArray[np.float64], angle: float, seed: int) -> float:
    """Bootstrap over the tiles (Efron, *Ann. Statist.* **7** (1979) 1)."""
    drawn = np.random.default_rng(seed).integers(sums.shape[1], size=(_RESAMPLES, sums.shape[1]))
    angles = np.array([_best(sums[:, draw].sum(axis=1))[0] for draw in drawn])
    return float(np.sqrt(np.mean(((angles - angle + 90) % 180 - 90) ** 2)))
