"""Images that detectors of another shape would have recorded, from the patterns of a scan.

Each is a weighted sum over the pixels of every pattern, so that one pass over the file, piece by
piece, gives them all. Patterns here have the zero frequency near N//2. What the images mean is in
docs/calibration.md. Only numpy is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.metrics import remove_plane
from fastpty.results import Results

__all__ = [
    "Segments",
    "VirtualImages",
    "align",
    "annulus",
    "bright_field_segments",
    "detector_sums",
    "integrate_gradient",
    "phase_beside",
    "probe_weighted",
    "raster_basis",
    "segment_sums",
    "virtual_images",
]

Pieces = Iterable[tuple[int, NDArray[np.floating]]]
"""(number of the first pattern, patterns [B, Ny, Nx])."""


def annulus(
    shape: tuple[int, int], centre: tuple[float, float], inner: float, outer: float
) -> NDArray[np.float32]:
    """Weights [Ny, Nx] of a ring detector, 0 to 1, with edges one pixel wide.

    Parameters
    ----------
    centre : (y, x), detector pixels.
    inner, outer : radii, detector pixels; an ``inner`` of 0 is a disc.
    """
    y, x = np.indices(shape)
    radius = np.hypot(y - centre[0], x - centre[1])
    weight = np.clip(outer - radius + 0.5, 0, 1)
    if inner > 0:
        weight *= np.clip(radius - inner + 0.5, 0, 1)
    return np.asarray(weight, np.float32)


def detector_sums(pieces: Pieces, weights: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """[K, count] sums over each of ``count`` patterns with each of ``weights`` [K, Ny, Nx]."""
    flat = weights.reshape(len(weights), -1).astype(np.float32).T
    sums = np.zeros((len(weights), count))
    for start, patterns in pieces:
        values = patterns.reshape(len(patterns), -1).astype(np.float32, copy=False)
        sums[:, start : start + len(patterns)] = (values @ flat).T
    return sums


@dataclass(frozen=True)
class VirtualImages:
    """Parameters
    ----------
    detectors : name -> [slow, fast], as parts of the mean sum of a pattern.
    centre_of_mass : [2, slow, fast], (y, x) in detector pixels from the disc's centre.
    parallax : [slow, fast] relative to the mean, :func:`fastpty.parallax.aligned_bright_field`;
        None where it was not made.
    """

    detectors: dict[str, NDArray[np.float64]]
    centre_of_mass: NDArray[np.float64]
    parallax: NDArray[np.float64] | None = None


def virtual_images(
    pieces: Pieces,
    scan_shape: tuple[int, int],
    shape: tuple[int, int],
    centre: tuple[float, float],
    rings: Mapping[str, tuple[float, float]],
    mask: NDArray[np.bool_] | None = None,
) -> VirtualImages:
    """Ring detectors and the centre of mass, in one pass.

    Parameters
    ----------
    shape : (Ny, Nx) of a pattern.
    centre : of the bright-field disc, (y, x), detector pixels.
    rings : name -> (inner, outer) radius, detector pixels. One that holds no good pixel is left
        out.
    mask : [Ny, Nx], true where a pixel is good; values elsewhere must be finite.
    """
    good = np.ones(shape, np.float32) if mask is None else mask.astype(np.float32)
    weights = {name: annulus(shape, centre, *ring) * good for name, ring in rings.items()}
    weights = {name: weight for name, weight in weights.items() if weight.any()}
    y, x = np.indices(shape, dtype=np.float32)
    moments = [good, (y - np.float32(centre[0])) * good, (x - np.float32(centre[1])) * good]
    sums = detector_sums(pieces, np.stack([*moments, *weights.values()]), math.prod(scan_shape))
    total = np.where(sums[0] > 0, sums[0], np.nan)
    field = np.nan_to_num(sums[1:3] / total).reshape(2, *scan_shape)
    whole = float(sums[0].mean()) or 1.0
    images = (sums[3:] / whole).reshape(-1, *scan_shape)
    return VirtualImages(dict(zip(weights, images, strict=True)), field)


@dataclass(frozen=True)
class Segments:
    """The bright-field disc in square segments.

    Parameters
    ----------
    labels : [Ny, Nx], the number of the segment that a pixel belongs to; -1: none.
    k : [K, 2] mean (y, x) of a segment's pixels from the disc's centre, detector pixels.
    cell : [K, 2] row and column of the segment.
    """

    labels: NDArray[np.int64]
    k: NDArray[np.float64]
    cell: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.k)


def bright_field_segments(
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    across: int,
    *,
    limit: float = 0.95,
    mask: NDArray[np.bool_] | None = None,
) -> Segments:
    """Cut the disc into at most ``across`` segments along its diameter, of whole pixels each.

    Parameters
    ----------
    limit : pixels further out than this part of the radius are left out: the edge is neither
        bright nor dark.
    mask : [Ny, Nx], true where a pixel is good.
    """
    y, x = np.indices(shape) - np.reshape(centre, (2, 1, 1))
    side = max(1.0, 2 * radius / across)
    rows, columns = (np.floor((v + radius) / side).astype(np.int64) for v in (y, x))
    inside = np.hypot(y, x) < limit * radius
    if mask is not None:
        inside &= mask
    codes, label = np.unique(rows[inside] * (across + 2) + columns[inside], return_inverse=True)
    size = np.bincount(label, minlength=len(codes))
    kept = size >= 0.5 * size.max(initial=1)
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    labels = np.full(shape, -1, np.int64)
    labels[inside] = number[label]
    chosen = labels >= 0
    size = size[kept]
    k = np.stack([np.bincount(labels[chosen], v[chosen], len(size)) / size for v in (y, x)], 1)
    cell = np.stack(np.divmod(codes[kept], across + 2), axis=1)
    return Segments(labels, k, cell)


def segment_sums(pieces: Pieces, segments: Segments, count: int) -> NDArray[np.float32]:
    """[K, count] sum of each of ``count`` patterns over each segment."""
    labels = segments.labels.ravel()
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    first = np.searchsorted(labels[order], np.arange(len(segments)))
    sums = np.zeros((len(segments), count), np.float32)
    for start, patterns in pieces:
        values = patterns.reshape(len(patterns), -1)[:, order].astype(np.float32, copy=False)
        sums[:, start : start + len(patterns)] = np.add.reduceat(values, first, axis=1).T
    return sums


def align(images: NDArray[np.floating], shifts: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean [slow, fast] of images [K, slow, fast] moved by ``shifts`` [K, 2] scan steps.

    ``image_k(n) = mean(n + shift_k)`` where all see the same: the parallax-corrected bright-field
    image. Nothing wraps round; at the border fewer images are averaged.
    """
    shape = images.shape[1], images.shape[2]
    padded = 2 * shape[0], 2 * shape[1]
    fy, fx = np.fft.fftfreq(padded[0])[:, None], np.fft.rfftfreq(padded[1])[None]
    field = np.fft.rfft2(np.ones(shape), padded)
    total, cover = np.zeros_like(field), np.zeros_like(field)
    for image, (dy, dx) in zip(images, shifts, strict=True):
        ramp = np.exp(-2j * np.pi * (fy * dy + fx * dx))
        total += np.fft.rfft2(image, padded) * ramp
        cover += field * ramp
    mean = np.fft.irfft2(total, padded) / np.maximum(np.fft.irfft2(cover, padded), 1.0)
    return np.asarray(mean[: shape[0], : shape[1]])


def integrate_gradient(
    field: NDArray[np.floating], basis: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Phase [slow, fast] in rad whose gradient is the centre of mass of the patterns (iCoM).

    The centre of mass is the gradient of the phase over 2 pi, seen through the intensity of the
    probe (Lazic, Bosch & Lazar, *Ultramicroscopy* **160** (2016) 265). Along the scan's own axes
    it is ``basis^T field``, which is integrated in Fourier space as the gradient of a function
    that is mirrored at the border, so that nothing wraps round.

    Parameters
    ----------
    field : [2, slow, fast] centre of mass (y, x), cycles per unit of length.
    basis : [2, 2], the (y, x) by which the probe moves per step of (slow, fast), as columns.
    """
    slope = np.einsum("ij,ikl->jkl", np.asarray(basis, np.float64), field)
    slope = slope - slope.mean(axis=(1, 2), keepdims=True)
    down = np.concatenate([slope[0], -slope[0, ::-1]])
    down = np.concatenate([down, down[:, ::-1]], axis=1)
    right = np.concatenate([slope[1], slope[1, ::-1]])
    right = np.concatenate([right, -right[:, ::-1]], axis=1)
    fy, fx = np.fft.fftfreq(len(down))[:, None], np.fft.fftfreq(down.shape[1])[None]
    square = fy**2 + fx**2
    square[0, 0] = 1.0
    spectrum = -1j * (fy * np.fft.fft2(down) + fx * np.fft.fft2(right)) / square
    spectrum[0, 0] = 0.0
    phase: NDArray[np.float64] = np.fft.ifft2(spectrum).real[: field.shape[1], : field.shape[2]]
    return phase


def raster_basis(
    positions: NDArray[np.floating], scan_shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(basis [2, 2], origin [2]) of the nearest raster, ``origin + basis (slow, fast)``.

    Parameters
    ----------
    positions : [N, 2] (y, x), row by row; those that are not finite are passed over.
    """
    index = np.indices(scan_shape).reshape(2, -1).T
    design = np.column_stack([index, np.ones(len(index))])
    known = np.isfinite(positions).all(axis=1)
    found = np.linalg.lstsq(design[known], positions[known], rcond=None)[0]
    return np.asarray(found[:2].T), np.asarray(found[2])


def probe_weighted(
    image: NDArray[np.floating],
    probe: NDArray[np.complexfloating],
    positions: NDArray[np.floating],
) -> NDArray[np.float64]:
    """[N] means of an image, less its plane, under the probe's intensity at each position.

    This is what an incoherent detector would see of it. Positions between the pixels are
    interpolated linearly.

    Parameters
    ----------
    image : [Y, X].
    probe : [M, Ny, Nx] modes.
    positions : [N, 2] top-left corners of the windows in ``image``, px.
    """
    power = (np.abs(probe) ** 2).sum(axis=0, dtype=np.float64)
    spectrum = np.fft.rfft2(remove_plane(image)) * np.fft.rfft2(power, image.shape).conj()
    seen = np.fft.irfft2(spectrum, image.shape) / power.sum()
    last = np.array(image.shape) - 2
    corner = np.clip(np.floor(positions).astype(int), 0, last)
    rest = np.clip(positions - corner, 0, 1)
    value = np.zeros(len(positions))
    for dy in (0, 1):
        for dx in (0, 1):
            share = np.abs(1 - dy - rest[:, 0]) * np.abs(1 - dx - rest[:, 1])
            value += share * seen[corner[:, 0] + dy, corner[:, 1] + dx]
    return value


def phase_beside(virtual: VirtualImages, results: Results) -> dict[str, float]:
    """Pearson's correlation of every ring detector with the phase under the probe, by name.

    Annular dark field is brighter where there is more matter, as the phase is: the number should be
    well above 0, and below for bright field in focus.
    """
    phase = results.phase.sum(axis=1).mean(axis=0)
    known = np.isfinite(results.positions).all(axis=1)
    seen = probe_weighted(phase, results.probe, results.positions[known])
    found = {}
    for name, image in virtual.detectors.items():
        values = image.ravel()[known]
        if values.std() > 0 and seen.std() > 0:
            found[name] = float(np.corrcoef(values, seen)[0, 1])
    return found
