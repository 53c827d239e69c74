"""Orientation, defocus and astigmatism together, by the weak-phase model of the whole disc.

To first order in the phase, the image in detector pixel k of a specimen exp(i phi) has the spectrum
``G_k(q) = phi(q) Gamma_k(q)`` over the scan, with the probe's ``psi = A exp(-i chi)`` and

``Gamma_k(q) = i (psi*(k) psi(k - M q) - psi(k) psi*(k + M q)) / |psi(k)|^2``

(Rodenburg, McCallum & Nellist, *Ultramicroscopy* **48** (1993) 304). The best phi for given lens
and orientation is ``sum_k Gamma* G / sum_k |Gamma|^2``; what share of the power of G it explains is
maximised. The shifts of the images and the gradient in the centre of mass are both parts of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.calibrate.com import soft_edge
from fastpty.calibrate.orientation import Matrix, frequencies, orientation
from fastpty.virtual import Segments

__all__ = ["Lens", "WeakPhase", "WeakPhaseFit"]

_SOFT = 0.15
_FREQUENCIES = 600  # the strongest; more cost time and hold little but noise
_NOISE = 0.02  # part of the segments' number that is added to sum |Gamma|^2, as Wiener does
_STEPS = np.array([0.02, 0.05, 0.05, 0.05])  # rad, and scan steps at the disc's edge
_ROUNDS, _RESAMPLES = 12, 60


@dataclass(frozen=True)
class Lens:
    """Orientation and lens: C10, C12a and C12b in Angstrom."""

    rotation_deg: float
    mirrored: bool
    c10: float
    c12a: float = 0.0
    c12b: float = 0.0

    @property
    def orientation(self) -> Matrix:
        """``M``."""
        return orientation(self.rotation_deg, self.mirrored)

    @property
    def matrix(self) -> Matrix:
        """``H`` on (y, x), with ``chi = pi lambda k^T H k``."""
        return np.array([[self.c10 - self.c12a, self.c12b], [self.c12b, self.c10 + self.c12a]])

    @classmethod
    def of(cls, rotation_deg: float, mirrored: bool, matrix: Matrix) -> Lens:
        """From the symmetric part of ``H``."""
        return cls(
            rotation_deg,
            mirrored,
            float(matrix[0, 0] + matrix[1, 1]) / 2,
            float(matrix[1, 1] - matrix[0, 0]) / 2,
            float(matrix[0, 1] + matrix[1, 0]) / 2,
        )

    def twin(self) -> Lens:
        """The other solution that explains the images as well, of the opposite phase."""
        turned = (self.rotation_deg + 360.0) % 360.0 - 180.0
        return Lens(turned, self.mirrored, -self.c10, -self.c12a, -self.c12b)


@dataclass(frozen=True)
class WeakPhaseFit:
    """The best lens of one handedness.

    Parameters
    ----------
    explained : share of the power of the images' spectra.
    errors : standard deviations of rotation (degrees), C10, C12a and C12b (Angstrom).
    """

    lens: Lens
    explained: float
    errors: tuple[float, float, float, float]


class WeakPhase:
    """The images' spectra, and how well a lens explains them.

    Parameters
    ----------
    images : [K, slow, fast] from :func:`fastpty.parallax.contrast`.
    slope : ``L`` of the parallax, scan steps per pixel. Every image is cut out by a window that
        moves with it, so that all show the same part of the specimen.
    radius : of the disc, detector pixels.
    dk : detector pixel, 1/Angstrom.
    """

    def __init__(
        self,
        images: NDArray[np.float64],
        segments: Segments,
        basis: Matrix,
        slope: Matrix,
        *,
        radius: float,
        dk: float,
        wavelength: float,
    ) -> None:
        self._scan = images.shape[1], images.shape[2]
        self._k, self._edge, self._soft = segments.k * dk, radius * dk, dk
        self._wavelength = wavelength
        step = math.sqrt(abs(np.linalg.det(basis)))
        self._unit = step / (wavelength * self._edge)
        moving = images * _moving_window(self._scan, segments.k @ slope.T)
        spectra = np.fft.fft2(moving).reshape(len(images), -1).astype(np.complex64)
        every = frequencies(self._scan, basis).reshape(-1, 2)
        self._half = np.arange(1, (len(every) + 1) // 2)  # half of a real image's; the rest mirrors
        power = (np.abs(spectra[:, self._half]) ** 2).sum(axis=0)
        strongest = self._half[np.argsort(power)[::-1][:_FREQUENCIES]]
        self._q, self._g = every[strongest], spectra[:, strongest]
        self._every, self._images = every, images
        self._power = float((np.abs(self._g) ** 2).sum())

    def explained(self, lens: Lens) -> float:
        """Share of the power, 0 to 1."""
        return self._share(*self._sums(self._transfer(lens, self._q)))

    def fit(self, start: Lens, *, resample: bool = True, seed: int = 0) -> WeakPhaseFit:
        """Climb to the nearest maximum by damped Newton steps; errors by resampling segments.

        Parameters
        ----------
        resample : without it, all errors are 0.
        seed : of the resampling.
        """
        values = np.array([0.0, *(c / self._unit for c in (start.c10, start.c12a, start.c12b))])

        def lens_of(v: NDArray[np.float64]) -> Lens:
            return Lens(
                start.rotation_deg + math.degrees(v[0]),
                start.mirrored,
                *(float(c) * self._unit for c in v[1:]),
            )

        def share(v: NDArray[np.float64]) -> float:
            return self.explained(lens_of(v))

        here, damping = share(values), 0.1
        for _ in range(_ROUNDS):
            slope, bend = _derivatives(share, values, here)
            size, axes = np.linalg.eigh(bend)
            curvature = np.abs(size) + damping * np.abs(size).max()
            step = axes @ ((axes.T @ slope) / curvature)
            step /= max(1.0, np.abs(step / _STEPS).max() / 10)
            there = share(values + step)
            if there > here:
                values, here, damping = values + step, there, damping / 5
            else:
                damping *= 10
            if np.abs(step / _STEPS).max() < 0.02 or damping > 1e4:
                break
        found = np.zeros(4)
        if resample:
            _, bend = _derivatives(share, values, here)
            scale = np.array([math.degrees(1.0), self._unit, self._unit, self._unit])
            found = self._errors(lens_of, values, bend, seed) * scale
        lens = lens_of(values)
        turned = (lens.rotation_deg + 180.0) % 360.0 - 180.0
        lens = Lens(turned, lens.mirrored, lens.c10, lens.c12a, lens.c12b)
        return WeakPhaseFit(
            lens, here, (float(found[0]), float(found[1]), float(found[2]), float(found[3]))
        )

    def phase(self, lens: Lens) -> NDArray[np.float64]:
        """[slow, fast] phase in rad, faded out towards the border of the block.

        Of all that the images show: at the border, where not all of them see the same, too.
        """
        window = np.outer(*(soft_edge(n, _SOFT) for n in self._scan))
        spectra = np.fft.fft2(self._images * window).reshape(len(self._images), -1)
        gamma = self._transfer(lens, self._every[self._half])
        numerator, power = self._sums(gamma, spectra[:, self._half])
        spectrum = np.zeros(len(self._every), np.complex128)
        spectrum[self._half] = numerator / (power + _NOISE * len(self._k))
        # Twice the real part stands for the mirrored half.
        return np.asarray(2 * np.fft.ifft2(spectrum.reshape(self._scan)).real)

    def _transfer(self, lens: Lens, q: NDArray[np.float64]) -> NDArray[np.complexfloating]:
        """``Gamma`` [K, Q] for frequencies of the scan's frame."""
        turned, matrix = q @ lens.orientation.T, lens.matrix
        # chi(k) - chi(k -+ q) = pi lambda (+- 2 k H q - q H q)
        # Single precision: the phases are some ten radians, of a model that is good to a tenth.
        cross = (2 * np.pi * self._wavelength * (self._k @ matrix @ turned.T)).astype(np.float32)
        own = np.pi * self._wavelength * np.einsum("qi,ij,qj->q", turned, matrix, turned)
        square = ((self._k**2).sum(axis=1)[:, None] + (turned**2).sum(axis=1)).astype(np.float32)
        mixed = (2 * self._k @ turned.T).astype(np.float32)
        wave = np.exp(1j * cross)
        diffracted = np.exp(-1j * own).astype(np.complex64)
        lower, upper = self._aperture(square - mixed), self._aperture(square + mixed)
        return np.asarray(1j * wave * (lower * diffracted - upper * diffracted.conj()))

    def _aperture(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        distance = np.float32(self._edge) - np.sqrt(np.maximum(square, 0))
        distance /= np.float32(self._soft)
        return np.asarray(np.clip(distance + 0.5, 0, 1))

    def _sums(
        self, gamma: NDArray[np.complexfloating], g: NDArray[np.complexfloating] | None = None
    ) -> tuple[NDArray[np.complexfloating], NDArray[np.float64]]:
        g = self._g if g is None else g
        return (gamma.conj() * g).sum(axis=0), (np.abs(gamma) ** 2).sum(axis=0)

    def _share(self, numerator: NDArray[np.complexfloating], power: NDArray[np.float64]) -> float:
        return float((np.abs(numerator) ** 2 / (power + _NOISE * len(self._k))).sum() / self._power)

    def best_defocus(self, rotation_deg: float, mirrored: bool) -> Lens:
        """The best C10 on a coarse grid, to start from: in a crystal a fit can be off by a period.

        Up to twelve scan steps of parallax at the disc's edge, of either sign.
        """
        tried = [Lens(rotation_deg, mirrored, c * self._unit) for c in range(-12, 13)]
        return max(tried, key=self.explained)

    def _errors(
        self,
        lens_of: Callable[[NDArray[np.float64]], Lens],
        values: NDArray[np.float64],
        bend: Matrix,
        seed: int,
    ) -> NDArray[np.float64]:
        """One Newton step for each resampled set of segments, from the common maximum."""
        size, axes = np.linalg.eigh(bend)
        inverse = axes @ np.diag(1 / np.maximum(np.abs(size), 1e-9)) @ axes.T
        count = len(self._k)
        drawn = np.random.default_rng(seed).integers(count, size=(_RESAMPLES, count))
        weights = np.stack([np.bincount(draw, minlength=count) for draw in drawn])
        slopes = np.zeros((_RESAMPLES, 4))
        for axis, step in enumerate(np.diag(_STEPS)):
            for sign in (1, -1):
                gamma = self._transfer(lens_of(values + sign * step), self._q)
                numerator = weights @ (gamma.conj() * self._g)
                power = weights @ (np.abs(gamma) ** 2)
                shares = (np.abs(numerator) ** 2 / (power + _NOISE * count)).sum(axis=1)
                slopes[:, axis] += sign * shares / self._power / (2 * _STEPS[axis])
        return np.asarray((slopes @ inverse).std(axis=0))


def _derivatives(
    share: Callable[[NDArray[np.float64]], float], values: NDArray[np.float64], here: float
) -> tuple[NDArray[np.float64], Matrix]:
    """(gradient, Hessian) by differences."""
    count = len(values)
    steps = np.diag(_STEPS)
    ahead = np.array([share(values + step) for step in steps])
    behind = np.array([share(values - step) for step in steps])
    slope = (ahead - behind) / (2 * _STEPS)
    bend = np.diag((ahead - 2 * here + behind) / _STEPS**2)
    for i in range(count):
        for j in range(i):
            corner = share(values + steps[i] + steps[j]) + share(values - steps[i] - steps[j])
            mixed = corner - ahead[i] - ahead[j] - behind[i] - behind[j] + 2 * here
            bend[i, j] = bend[j, i] = mixed / (2 * _STEPS[i] * _STEPS[j])
    return slope, bend


def _moving_window(shape: tuple[int, int], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, slow, fast]: 1 where image k shows what all of them show, with soft edges."""
    edges = []
    for count, shift in zip(shape, shifts.T, strict=True):
        margin = min(float(np.abs(shift).max(initial=0)), count / 4)
        place = np.arange(count) + shift[:, None] - margin + 0.5
        inside = np.minimum(place, count - 2 * margin - place)
        edges.append(0.5 - 0.5 * np.cos(np.pi * np.clip(inside / (_SOFT * count), 0, 1)))
    return np.asarray(edges[0][:, :, None] * edges[1][:, None, :])
