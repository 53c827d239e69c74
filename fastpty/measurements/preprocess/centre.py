"""The pattern's centre, moved to where the model has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config.preprocess import CentreConfig
from fastpty.errors import DataError
from fastpty.measurements.calibration import fit_disc
from fastpty.measurements.preprocess.recording import Context, Recording

__all__ = ["centre"]


def centre(recording: Recording, section: CentreConfig, context: Context) -> Recording:
    """Moved by whole pixels, so that the centre is within half a pixel of index N//2."""
    ny, nx = recording.shape
    y, x = place = _found(recording, section)
    if not (-0.5 <= y < ny - 0.5 and -0.5 <= x < nx - 0.5):
        raise DataError(
            f"{context.field}.at" if section.at is not None else context.field,
            f"the centre [{y:.4g}, {x:.4g}] lies outside of the {ny} x {nx} pixels.",
        )
    shift = [n // 2 - int(np.floor(c + 0.5)) for n, c in zip((ny, nx), place, strict=True)]
    fresh = np.zeros((ny, nx), bool)
    if section.edge == "masked":
        fresh[_entering(shift[0], ny)] = True
        fresh[:, _entering(shift[1], nx)] = True

    def moved(patterns: NDArray[Any]) -> NDArray[Any]:
        rolled = np.roll(patterns, shift, axis=(-2, -1))
        rolled[..., fresh] = 0
        return rolled

    before = float(recording.mean.sum()) if section.at is None else None
    new = (y + shift[0], x + shift[1])
    detector = replace(recording.detector, centre=new)
    if any(shift):
        result = recording.rearranged(moved, detector, fresh=fresh)
    else:
        result = replace(recording, detector=detector)
    how = {"disc": "centre of the disc", "mass": "centre of mass"}[section.method]
    rest = [now - n // 2 for now, n in zip(new, (ny, nx), strict=True)]
    text = (
        f"{how if section.at is None else 'given centre'} [{y:.2f}, {x:.2f}] moved by {shift} px; "
        f"[{rest[0]:+.2f}, {rest[1]:+.2f}] px from N//2 remain"
    )
    if before and any(shift) and section.edge == "masked":
        lost = 1 - float(result.mean.sum()) / before
        text += f"; {100 * lost:.2g} % of the counts left the detector"
    return result.report("centre", text)


def _found(recording: Recording, section: CentreConfig) -> tuple[float, float]:
    if section.at is not None:
        return section.at
    mean = recording.mean
    if section.method == "disc":
        return fit_disc(mean).centre
    weight = np.maximum(mean, 0)
    total = float(weight.sum())
    if total <= 0:
        raise DataError("data", "the mean pattern is zero: it has no centre of mass.")
    y, x = np.indices(mean.shape)
    return float((weight * y).sum()) / total, float((weight * x).sum()) / total


def _entering(shift: int, n: int) -> slice:
    """Where a shift brings in what was outside."""
    return slice(0, max(shift, 0)) if shift >= 0 else slice(n + shift, n)
