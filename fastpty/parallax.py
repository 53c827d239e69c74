"""Shifts between the images that different parts of the bright-field disc see.

A ray of the probe at the frequency k meets the specimen beside the probe's centre, by the gradient
of the aberration function. So the image in the detector pixel k is ``I_k(n) = I_0(n + L k)`` with
a matrix ``L`` that goes with defocus and astigmatism (Lupini, Chi & Jesse, *J. Microsc.* **263**
(2016) 43; Varnavides et al., arXiv:2309.05250 (2023)). Only numpy is needed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastpty.metrics import remove_plane
from fastpty.virtual import Segments, align

__all__ = ["FEWEST", "aligned_bright_field", "contrast", "fit_slope", "measure_shifts"]

FEWEST = 8
"""Positions along an axis of a scan whose images can be compared."""

_SEGMENTS = 9  # fewer say nothing about a matrix
_REACH = 1.6  # scan steps around the expected shift in which the peak is sought
_FIRST_REACH = 3.0
_OVERLAP = 0.25  # of the scan: shifts that leave less to compare are not considered
_ROUNDS = 3
_BLOCK = 96  # positions along an axis that the shifts are measured on


def contrast(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Images [K, slow, fast] over their mean, less 1 and the plane that fits best."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    relative = images / np.where(mean > 0, mean, 1.0) - 1.0
    return np.stack([remove_plane(image) for image in relative])


def measure_shifts(
    images: NDArray[np.float64], segments: Segments
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(``L`` [2, 2] in scan steps per detector pixel, shifts [K, 2] in scan steps).

    From neighbours to far apart, then each image against the mean of the others.

    Parameters
    ----------
    images : [K, slow, fast] from :func:`contrast`.

    Raises
    ------
    ValueError : there are too few segments with neighbours.
    """
    spectra = _Spectra(images)
    slope = _neighbour_slope(spectra, segments)
    shifts = segments.k @ slope.T
    for _ in range(_ROUNDS):
        shifts = _segment_shifts(spectra, segments.k @ slope.T)
        slope = fit_slope(segments.k, shifts)
    return slope, shifts


def aligned_bright_field(
    images: NDArray[np.floating], segments: Segments
) -> NDArray[np.float64] | None:
    """The parallax image [slow, fast], relative to its mean: all segments, each moved by ``L k``.

    ``L`` is measured in the middle of the scan. The image needs neither lens nor calibration.

    Parameters
    ----------
    images : [K, slow, fast] counts in the segments.

    Returns
    -------
    None where the scan or the disc is too small for shifts to be measured.
    """
    if min(images.shape[1:]) < FEWEST or len(segments) < _SEGMENTS:
        return None
    rows, columns = (
        slice(max(0, (n - _BLOCK) // 2), max(0, (n - _BLOCK) // 2) + _BLOCK)
        for n in images.shape[1:]
    )
    try:
        slope, _ = measure_shifts(contrast(images[:, rows, columns]), segments)
    except ValueError:
        return None
    return align(contrast(images), segments.k @ slope.T)


def fit_slope(k: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """``L`` with ``shifts = L k + constant``, in the middle of the misfits (Huber's weights)."""
    design = np.column_stack([k, np.ones(len(k))])
    weight = np.ones(len(k))
    for _ in range(5):
        found = np.linalg.lstsq(design * weight[:, None], shifts * weight[:, None], rcond=None)[0]
        misfit = np.linalg.norm(shifts - design @ found, axis=1)
        weight = 1 / np.sqrt(np.maximum(1, misfit / (1.5 * np.median(misfit) + 1e-9)))
    return np.asarray(found[:2].T)


class _Spectra:
    """Transforms of the zero-padded images, and correlations per pixel of overlap."""

    def __init__(self, images: NDArray[np.float64]) -> None:
        self.scan = images.shape[1], images.shape[2]
        self.padded = 2 * self.scan[0], 2 * self.scan[1]
        self.images = np.stack(
            [np.fft.rfft2(im, self.padded).astype(np.complex64) for im in images]
        )
        self.field = np.fft.rfft2(np.ones(self.scan), self.padded)
        self.fy = np.fft.fftfreq(self.padded[0])[:, None]
        self.fx = np.fft.rfftfreq(self.padded[1])[None]

    def ramp(self, shift: NDArray[np.float64]) -> NDArray[np.complexfloating]:
        """Factor that moves an image by a shift in scan steps."""
        return np.asarray(np.exp(-2j * np.pi * (self.fy * shift[0] + self.fx * shift[1])))

    def correlation(
        self, product: NDArray[np.complexfloating], overlap: NDArray[np.complexfloating]
    ) -> NDArray[np.float64]:
        """At each lag: the mean product where the two images overlap."""
        pixels = np.fft.irfft2(overlap, self.padded)
        values = np.fft.irfft2(product, self.padded) / np.maximum(pixels, 1.0)
        values[pixels < _OVERLAP * math.prod(self.scan)] = -np.inf
        return np.asarray(values)


def _neighbour_slope(spectra: _Spectra, segments: Segments) -> NDArray[np.float64]:
    """``L`` from pairs of segments, all pairs of one distance together, from near to far.

    All pairs (k, k + delta) have the same shift L delta, so their correlations add up: that is far
    less noisy than any one, and between neighbours the shift is shorter than a lattice's period.
    """
    number = {tuple(cell): i for i, cell in enumerate(segments.cell.tolist())}
    overlap = np.abs(spectra.field) ** 2
    rows: list[tuple[NDArray[np.float64], NDArray[np.float64], float]] = []
    slope = np.zeros((2, 2))
    for distance in range(1, int(np.ptp(segments.cell, axis=0).max()) // 2 + 1):
        for delta in ((distance, 0), (0, distance), (distance, distance), (distance, -distance)):
            pairs = [
                (i, number[cell[0] + delta[0], cell[1] + delta[1]])
                for cell, i in number.items()
                if (cell[0] + delta[0], cell[1] + delta[1]) in number
            ]
            if len(pairs) < 3:
                continue
            near, far = np.array(pairs).T
            product = sum(
                spectra.images[j].conj() * spectra.images[i] for i, j in zip(near, far, strict=True)
            )
            k = (segments.k[far] - segments.k[near]).mean(axis=0)
            reach = _FIRST_REACH if distance == 1 else _REACH
            peak = _peak(spectra.correlation(np.asarray(product), overlap), slope @ k, reach)
            rows.append((k, peak, math.sqrt(len(pairs))))
        if not rows:
            raise ValueError("too few segments have neighbours")
        ks, peaks, weights = (np.array(part) for part in zip(*rows, strict=True))
        scaled = weights[:, None]
        slope = np.linalg.lstsq(ks * scaled, peaks * scaled, rcond=None)[0].T
    return slope


def _segment_shifts(spectra: _Spectra, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each image against the mean of the others, all moved by the shifts expected so far."""
    total, cover = np.zeros_like(spectra.images[0]), np.zeros_like(spectra.field)
    for image, shift in zip(spectra.images, shifts, strict=True):
        ramp = spectra.ramp(shift)
        total, cover = total + image * ramp, cover + spectra.field * ramp
    found = np.empty_like(shifts)
    for i, (image, shift) in enumerate(zip(spectra.images, shifts, strict=True)):
        ramp = spectra.ramp(shift)
        moved, field = image * ramp, spectra.field * ramp
        rest, support = total - moved, cover - field
        mean = np.fft.irfft2(rest, spectra.padded)
        lag = spectra.correlation(moved.conj() * np.fft.rfft2(mean), field.conj() * support)
        found[i] = shift + _peak(lag, np.zeros(2), _REACH)
    return found


def _peak(
    correlation: NDArray[np.float64], expected: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    """Place of the highest value near ``expected``, by a parabola along each axis."""
    near = np.ones(correlation.shape, bool)
    lags = [np.fft.fftfreq(n, 1 / n) for n in correlation.shape]
    for axis, (lag, place) in enumerate(zip(lags, expected, strict=True)):
        far = np.abs(lag - place) > max(reach, 0.6)
        near[far if axis == 0 else (slice(None), far)] = False
    values = np.where(near, correlation, -np.inf)
    top = np.unravel_index(int(values.argmax()), values.shape)
    place = np.array([float(lag[i]) for lag, i in zip(lags, top, strict=True)])
    for axis in (0, 1):
        line = np.moveaxis(correlation, axis, 0)[:, top[1 - axis]]
        before, here, after = (line[(top[axis] + i) % len(line)] for i in (-1, 0, 1))
        bend = before - 2 * here + after
        if np.isfinite(bend) and bend < 0:
            place[axis] += np.clip(0.5 * (before - after) / bend, -1, 1)
    return place
