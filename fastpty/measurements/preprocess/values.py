"""Steps that change the counts: negative values, and what a pattern is divided by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config.preprocess import NormaliseConfig, RemoveNegativeConfig
from fastpty.errors import DataError
from fastpty.measurements.canvas import Canvas
from fastpty.measurements.files import load_file
from fastpty.measurements.preprocess.recording import (
    Context,
    Recording,
    Tally,
    unsigned,
    working,
)

__all__ = ["normalise", "remove_negative", "subtracted"]


def remove_negative(
    recording: Recording, section: RemoveNegativeConfig, context: Context
) -> Recording:
    """No value below zero: clipped, or lifted by a subtraction."""
    name = "remove_negative"
    if section.only_if_negative and recording.minimum >= 0:
        return recording.report(name, f"nothing: the lowest value is {recording.minimum:g}")
    if section.mode in ("subtract_min", "subtract"):
        level = recording.minimum if section.mode == "subtract_min" else float(section.value or 0)
        lowered, tally = subtracted(recording, np.float64(level))
        return lowered.report(name, f"{level:g} subtracted", tally=tally)
    if section.mode == "clip_below":
        low = float(section.value or 0)
        count = Tally(recording.scan.shape[0], recording.shape[0] * recording.shape[1])

        recording = recording.changed(
            lambda start, piece: count.zeroed(start, piece.copy(), low),
            unsigned(recording.scan.dtype),
        )
        return recording.report(name, f"nothing below {low:g}", tally=count)
    if recording.scan.dtype.kind == "u":
        return recording.report(name, f"nothing: {recording.scan.dtype.name} has no sign")
    lowered, tally = subtracted(recording, np.float64(0))
    return lowered.report(name, "clipped", tally=tally)


def subtracted(
    recording: Recording, level: NDArray[np.float64] | np.float64
) -> tuple[Recording, Tally]:
    """Patterns minus a level (one number or [Ny, Nx]), never below zero; and what that cut off.

    Whole counts minus whole numbers keep their bytes, all else becomes float32.
    """
    scan = recording.scan
    tally = Tally(scan.shape[0], recording.shape[0] * recording.shape[1])
    whole = scan.dtype.kind in "ui" and bool((level == np.rint(level)).all())
    # A signed type's lowest value, subtracted, just fits the unsigned one.
    fits = whole and bool(np.min(level) >= np.iinfo(scan.dtype).min)
    dtype = unsigned(scan.dtype) if fits else np.dtype(np.float32)
    work = working(scan.dtype)
    level = np.where(recording.good, level, 0.0).astype(work)

    def lower(start: int, piece: NDArray[Any]) -> NDArray[Any]:
        values = np.subtract(piece, level, dtype=work)
        return tally.zeroed(start, values).astype(dtype, copy=False)

    return recording.changed(lower, dtype), tally


def normalise(recording: Recording, section: NormaliseConfig, context: Context) -> Recording:
    """Patterns divided by one number each, or all by the same."""
    if section.to in ("pattern", "exposure"):
        factor = _by_pattern(recording, section, context)

        def divide(start: int, piece: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(piece / factor[start : start + len(piece), None, None])

        text = (
            f"each pattern divided by its {'counts' if section.to == 'pattern' else 'exposure'} "
            f"over the mean: factors {factor.min():.4g} to {factor.max():.4g}, standard deviation "
            f"{factor.std():.2g}"
        )
        return recording.changed(divide, np.float32).report("normalise", text)
    if section.to == "constant":
        level = float(section.value or 1)
    else:
        mean = recording.canvas.apply(recording.mean)
        good = recording.canvas.good(recording.good)
        values = mean if good is None else mean[good]
        found = {"max": values.max(), "mean": values.mean(), "sum": values.sum()}
        level = float(found[section.to])
        if level <= 0:
            raise DataError(
                context.field, f"the {section.to} of the mean pattern is {level:g}, not positive."
            )
    text = f"divided by {level:.6g}: values are counts only after multiplication with it"
    return recording.expanded(Canvas(factor=1 / level), context.late).report("normalise", text)


def _by_pattern(
    recording: Recording, section: NormaliseConfig, context: Context
) -> NDArray[np.float64]:
    """[N] with mean 1."""
    if section.exposure is None:
        totals, field = recording.totals, context.field
    else:
        field = f"{context.field}.exposure"
        given = load_file(field, section.exposure, context.folder, ranks=(1,))
        count = int(recording.recorded)
        if given.shape != (count,) or given.dtype.kind not in "uif":
            raise DataError(
                field,
                f"has shape {list(given.shape)} and type {given.dtype}; the file holds {count} "
                f"patterns, which need real numbers [{count}].",
            )
        totals = given.astype(np.float64)[recording.index]
    if not (totals > 0).all():
        first = int(np.argmin(totals > 0))
        raise DataError(
            field, f"is {totals[first]:g} in pattern {first}, but must be positive to divide by."
        )
    return np.asarray(totals / totals.mean())
