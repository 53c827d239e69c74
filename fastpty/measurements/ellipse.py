"""The bright-field disc to a fraction of a pixel: an ellipse with a soft edge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.measurements.calibration import DiscFit

__all__ = ["EllipseFit", "fit_ellipse"]

# Beside the edge only so much of the pattern takes part: what diffraction does in the middle of
# the disc, or far outside, says nothing about where the edge is.
_BAND, _NARROWEST = 0.35, 3.0
_ITERATIONS = 40
# Derivatives are differences over these steps: px, px, log radius, strain, strain, log px, level,
# background, the last two as parts of the level.
_STEPS = np.array([1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-3, 1e-4, 1e-4])
_TEN_TO_NINETY = 2 * math.log(9.0)  # width of a logistic edge of scale 1 from 10 % to 90 %


@dataclass(frozen=True)
class EllipseFit:
    """The disc of a mean pattern.

    Parameters
    ----------
    centre : (y, x), detector pixels.
    radii : semi-axes, the longer first, detector pixels.
    angle_deg : direction of the longer one, from +x towards +y, -90 to 90.
    edge_width : pixels from 90 % to 10 % of the level.
    level, background : inside and outside, counts.
    radius_error, centre_error : standard deviations, pixels, from the residual.
    residual : root mean square of the misfit near the edge, as a part of the level.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle_deg: float
    edge_width: float
    level: float
    background: float
    radius_error: float
    centre_error: float
    residual: float

    @property
    def radius(self) -> float:
        """Of the circle of the same area."""
        return math.sqrt(self.radii[0] * self.radii[1])

    @property
    def ellipticity(self) -> float:
        """Longer over shorter semi-axis, less 1."""
        return self.radii[0] / self.radii[1] - 1.0


def fit_ellipse(
    pattern: NDArray[np.floating], start: DiscFit, mask: NDArray[np.bool_] | None = None
) -> EllipseFit:
    """Least squares of ``background + level / (1 + exp((rho - 1) r / w))`` near the edge.

    ``rho^2 = d^T S d / r^2`` with ``d`` the (y, x) from the centre, ``det S = 1``: an ellipse of
    the area ``pi r^2``. Pixels that fit badly, as where other discs overlap the edge or where a
    pixel is hot, count less (Huber's weights); steps are damped (Levenberg and Marquardt).

    Parameters
    ----------
    pattern : [Ny, Nx] mean pattern, counts.
    start : from :func:`fastpty.measurements.fit_disc`.
    mask : [Ny, Nx], true where a pixel is good.
    """
    grid = np.indices(pattern.shape, dtype=np.float64)
    y, x = grid[0], grid[1]
    away = np.abs(np.hypot(y - start.centre[0], x - start.centre[1]) - start.radius)
    near = away < max(_NARROWEST, _BAND * start.radius)
    if mask is not None:
        near &= mask
    y, x, counts = y[near], x[near], np.asarray(pattern, np.float64)[near]
    inside = np.hypot(y - start.centre[0], x - start.centre[1]) < start.radius
    level = float(np.median(counts[inside])) if inside.any() else 1.0
    counts = counts / (level or 1.0)
    values = np.array([*start.centre, math.log(start.radius), 0, 0, math.log(0.4), 1, 0])
    values, covariance, residual = _least_squares(values, y, x, counts)
    strain = math.hypot(values[3], values[4])
    radius = math.exp(values[2])
    stretch = ((1 + strain) / (1 - strain)) ** 0.25
    # The ellipse is long where S is small.
    angle = 0.5 * math.degrees(math.atan2(-values[4], -values[3]))
    return EllipseFit(
        (float(values[0]), float(values[1])),
        (radius * stretch, radius / stretch),
        angle,
        math.exp(values[5]) * _TEN_TO_NINETY,
        float(values[6] * level),
        float(values[7] * level),
        radius * math.sqrt(covariance[2, 2]),
        math.sqrt(covariance[0, 0] + covariance[1, 1]),
        residual,
    )


def _model(
    v: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """S = [[1 - e1, e2], [e2, 1 + e1]] / sqrt(1 - e^2) on (y, x); e1 = e cos 2 phi towards x."""
    dy, dx = y - v[0], x - v[1]
    form = (1 - v[3]) * dy**2 + 2 * v[4] * dy * dx + (1 + v[3]) * dx**2
    rho = np.sqrt(np.maximum(form, 1e-12) / math.sqrt(max(1 - v[3] ** 2 - v[4] ** 2, 1e-6)))
    edge = (rho - math.exp(v[2])) / math.exp(v[5])
    return np.asarray(v[7] + v[6] / (1 + np.exp(np.clip(edge, -50, 50))))


def _slope(
    values: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64], which: int
) -> NDArray[np.float64]:
    step = np.zeros(len(values))
    step[which] = _STEPS[which]
    difference = _model(values + step, y, x) - _model(values - step, y, x)
    return np.asarray(difference / (2 * _STEPS[which]))


def _least_squares(
    values: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(parameters, their covariance, root mean square of the misfit)."""
    damping = 1e-2
    misfit = counts - _model(values, y, x)
    for _ in range(_ITERATIONS):
        spread = max(1.4826 * float(np.median(np.abs(misfit))), 1e-4)
        weight = 1 / np.maximum(1, np.abs(misfit) / (1.5 * spread))
        slope = np.stack([_slope(values, y, x, i) for i in range(len(values))])
        normal = (slope * weight) @ slope.T
        damped = normal + damping * np.diag(np.diag(normal) + 1e-9)
        step = np.linalg.lstsq(damped, slope @ (weight * misfit), rcond=None)[0]
        step[5] = np.clip(step[5], -0.5, 0.5)
        trial = values + step
        trial[3:5] = np.clip(trial[3:5], -0.5, 0.5)
        trial[5] = np.clip(trial[5], math.log(0.05), math.log(20.0))
        found = counts - _model(trial, y, x)
        if _huber(found, spread) <= _huber(misfit, spread):
            done = np.abs(step / _STEPS).max() < 1e-1
            values, misfit, damping = trial, found, damping / 4
            if done:
                break
        else:
            damping *= 8
    # Noise differs from pixel to pixel, so its own size in each is taken (Huber's sandwich).
    inverse, scores = np.linalg.pinv(normal), slope * (weight * misfit)
    covariance = inverse @ (scores @ scores.T) @ inverse
    return values, covariance, float(np.sqrt(np.mean(misfit**2)))


def _huber(misfit: NDArray[np.float64], spread: float) -> float:
    limit = 1.5 * spread
    size = np.abs(misfit)
    return float(np.where(size < limit, size**2 / 2, limit * (size - limit / 2)).sum())
