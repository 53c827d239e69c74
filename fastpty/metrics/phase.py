"""A phase beside another: what ptychography leaves undetermined is taken out first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.metrics.image import remove_plane

__all__ = ["PhaseAgreement", "phase_agreement"]


@dataclass(frozen=True)
class PhaseAgreement:
    """A phase beside the truth.

    Parameters
    ----------
    correlation : Pearson's, -1 to 1, of ``aligned`` with ``truth_cropped``.
    shift_px : (y, x) found beyond the given offset:
        ``truth index = phase index + offset + shift_px``.
    gain : slope of the least-squares line ``aligned = gain * truth_cropped``; 1 if the phase has
        the truth's strength.
    aligned : [y, x] the part of the phase that was compared, less its plane, rad.
    truth_cropped : [y, x] the truth at the same points, less its plane, rad.
    region : which part of the phase that is: ``aligned`` stems from ``phase[region]``.
    at_limit : True if the best shift lies on the edge of the search radius. The offset is then
        likely to be wrong, and the shift is not a maximum.
    """

    correlation: float
    shift_px: tuple[float, float]
    gain: float
    aligned: NDArray[np.float64]
    truth_cropped: NDArray[np.float64]
    region: tuple[slice, slice]
    at_limit: bool


_TAPER = 8
"""Width in px of the rim of truth that is faded out before it is shifted."""
_SMALLEST = 8
"""Fewest px along a side of the compared region: fewer say little against a free plane."""
_STEPS = 50
"""Most steps of the sub-pixel search, which as a rule takes about five."""
_SETTLED = 1e-5
"""A step below this many px ends the sub-pixel search."""


def phase_agreement(
    phase: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    offset: Sequence[float] = (0.0, 0.0),
    radius: float = 3.0,
) -> PhaseAgreement:
    """Correlate a z-summed phase with the truth, whatever its offset, ramp and small shift.

    Ptychography leaves the phase's constant, its ramp and the object's place undetermined. The
    plane is fitted to and taken from both images at every trial shift; the shift is the one of
    the largest correlation: first by whole pixels, then by Gauss-Newton steps on the
    Fourier-shifted truth.

    A periodic lattice correlates just as well one unit cell further on, so the shift is sought
    only within ``radius`` of the known ``offset``. Keep the radius below half the shortest
    lattice translation.

    Parameters
    ----------
    phase : [Y, X] rad, cropped to the scanned area.
    truth : [Y', X'] rad, same pixel size. What lies within ``radius`` plus 9 px of its edge serves
        the shift alone, so the compared region is smaller than ``phase`` unless the truth
        reaches further on every side.
    offset : (y, x) px: ``truth index = phase index + offset``; fractions are welcome.
    radius : largest distance from ``offset`` in px.

    Raises
    ------
    ValueError : an image is not 2-D, not finite or flat; the radius is negative; or the images
        overlap too little.
    """
    found, expected = _finite_image(phase, "phase"), _finite_image(truth, "truth")
    start = np.asarray(offset, dtype=np.float64)
    if start.shape != (2,) or not np.all(np.isfinite(start)):
        raise ValueError(f"offset must be a pair of finite numbers (y, x), got {offset!r}")
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"radius must be a number of px and not negative, got {radius!r}")

    # `whole` takes the comparison to the nearest truth pixel, `start - whole` is left to the
    # Fourier shift. A shift of up to `reach` then needs truth pixels that far around the region.
    whole = np.rint(start).astype(int)
    reach = math.ceil(radius) + 1
    rim = reach + _TAPER
    region = _overlap(found.shape, expected.shape, whole, rim)
    aligned = remove_plane(found[region])
    window = tuple(
        slice(part.start + w - rim, part.stop + w + rim)
        for part, w in zip(region, whole, strict=True)
    )
    shifted = _ShiftedTruth(expected[window], rim)
    base = start - whole
    _refuse_flat(aligned, found[region], "phase")
    _refuse_flat(shifted.at(base), expected[window], "truth")

    def correlation(shift: NDArray[np.float64]) -> float:
        return _cosine(aligned, shifted.at(base + shift))

    steps = range(-math.floor(radius), math.floor(radius) + 1)
    trials = [np.array([y, x], float) for y in steps for x in steps if math.hypot(y, x) <= radius]
    values = [correlation(trial) for trial in trials]
    best = max(values)
    shift = trials[values.index(best)]

    for _ in range(_STEPS):
        step = _gauss_newton_step(aligned, *shifted.with_slopes(base + shift))
        # Halve until the correlation does not fall, which the step as such does not promise.
        while (length := float(np.hypot(*step))) > _SETTLED:
            trial = _within(shift + step, radius)
            value = correlation(trial)
            if value >= best:
                break
            step = step / 2
        else:
            break
        moved = float(np.hypot(*(trial - shift)))
        shift, best = trial, value
        if min(length, moved) <= _SETTLED:
            break

    truth_cropped = shifted.at(base + shift)
    return PhaseAgreement(
        correlation=best,
        shift_px=(float(shift[0]), float(shift[1])),
        gain=float(np.vdot(truth_cropped, aligned) / np.vdot(truth_cropped, truth_cropped)),
        aligned=aligned,
        truth_cropped=truth_cropped,
        region=region,
        at_limit=radius > 0 and float(np.hypot(*shift)) >= radius - _SETTLED,
    )


def _finite_image(image: NDArray[np.floating], name: str) -> NDArray[np.float64]:
    result = np.asarray(image, dtype=np.float64)
    if result.ndim != 2 or not np.all(np.isfinite(result)):
        raise ValueError(f"{name} must be a 2-D array of finite numbers, got shape {result.shape}")
    return result


def _refuse_flat(residue: NDArray[np.float64], image: NDArray[np.float64], name: str) -> None:
    # Removing a plane leaves rounding errors; what is no larger than those counts as nothing.
    if np.ptp(residue) <= 1e-12 * np.max(np.abs(image)):
        raise ValueError(f"{name}: nothing is left of the compared region but a plane")


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of two images whose means are zero."""
    return float(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def _overlap(
    phase: tuple[int, ...], truth: tuple[int, ...], whole: NDArray[np.int_], rim: int
) -> tuple[slice, slice]:
    """The part of the phase that has truth around it, ``rim`` px wide on every side."""
    parts = []
    for size, available, w in zip(phase, truth, whole.tolist(), strict=True):
        first, stop = max(0, rim - w), min(size, available - rim - w)
        if stop - first < _SMALLEST:
            raise ValueError(
                f"phase {phase} and truth {truth} at offset {tuple(whole.tolist())} share "
                f"{max(0, stop - first)} px along one axis after {rim} px at the truth's edges "
                f"are set aside; at least {_SMALLEST} are needed"
            )
        parts.append(slice(first, stop))
    return parts[0], parts[1]


def _within(shift: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """``shift``, or the point of the circle that lies in its direction."""
    distance = float(np.hypot(*shift))
    return shift if distance <= radius else shift * (radius / distance)


class _ShiftedTruth:
    """Truth sampled between its pixels, less its plane.

    The rim is faded out, so that the discrete Fourier transform finds no jump where its period
    closes; inside the rim the trigonometric interpolation is then that of a smooth image.
    """

    def __init__(self, truth: NDArray[np.float64], rim: int) -> None:
        fade = np.sin(0.5 * np.pi * (np.arange(_TAPER) + 0.5) / _TAPER) ** 2
        weights = [np.ones(size) for size in truth.shape]
        for weight in weights:
            weight[:_TAPER], weight[-_TAPER:] = fade, fade[::-1]
        faded = remove_plane(truth) * weights[0][:, None] * weights[1][None, :]
        self._shape = truth.shape
        self._inside = (slice(rim, -rim), slice(rim, -rim))
        self._spectrum = np.fft.rfft2(faded)
        self._ramp_y = 2j * np.pi * np.fft.fftfreq(truth.shape[0])[:, None]
        self._ramp_x = 2j * np.pi * np.fft.rfftfreq(truth.shape[1])[None, :]

    def at(self, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """``truth(r + shift)`` over the region."""
        return self._image(self._moved(shift))

    def with_slopes(
        self, shift: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """``truth(r + shift)`` and its derivatives by the shift's y and x."""
        moved = self._moved(shift)
        return (
            self._image(moved),
            self._image(self._ramp_y * moved),
            self._image(self._ramp_x * moved),
        )

    def _moved(self, shift: NDArray[np.float64]) -> NDArray[np.complex128]:
        factor = np.exp(self._ramp_y * shift[0]) * np.exp(self._ramp_x * shift[1])
        return np.asarray(self._spectrum * factor)

    def _image(self, spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
        return remove_plane(np.fft.irfft2(spectrum, s=self._shape)[self._inside])


def _gauss_newton_step(
    phase: NDArray[np.float64],
    truth: NDArray[np.float64],
    slope_y: NDArray[np.float64],
    slope_x: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Step (y, x) in px from ``phase = a (truth + step . slope)``, solved by least squares.

    All four images are without their planes. The step is zero exactly where the gradient of the
    correlation is: there the residual ``phase - a truth`` is orthogonal to the truth and to both
    slopes.
    """
    columns = np.stack([truth.ravel(), slope_y.ravel(), slope_x.ravel()])
    gain, along_y, along_x = np.linalg.lstsq(
        columns @ columns.T, columns @ phase.ravel(), rcond=None
    )[0]
    step = np.array([along_y, along_x])
    # A gain near zero or below says that the linearisation does not hold here; half a pixel is
    # as far as the whole-pixel search can have left us from the maximum.
    step = step / gain if gain > 0 else np.zeros(2)
    return _within(step, 0.5)
