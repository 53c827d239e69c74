"""Steps that change the detector's extent or pixels: padding and resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastpty.config.preprocess import PadConfig, ResampleConfig
from fastpty.errors import ConfigError, DataError
from fastpty.measurements.canvas import Canvas, pad_matrix, resample_matrix
from fastpty.measurements.preprocess.background import fit_exponential, fit_power_law
from fastpty.measurements.preprocess.recording import Context, Image, Recording

__all__ = ["pad", "resample"]


def pad(recording: Recording, section: PadConfig, context: Context) -> Recording:
    """A larger detector with the recorded one in its middle."""
    before = recording.canvas.shape(recording.shape)
    size = (section.size, section.size) if isinstance(section.size, int) else section.size
    if min(after - n for n, after in zip(before, size, strict=True)) < 0:
        raise ConfigError(
            f"{context.field}.size",
            f"is {list(size)}, less than the {before[0]} x {before[1]} pixels of the detector.",
            "To make it smaller, use the step crop.",
        )
    edge = {"edge": "edge", "linear_ramp": "ramp"}.get(section.fill, "none")
    rows, columns = (pad_matrix(n, m, edge) for n, m in zip(before, size, strict=True))
    start = [m // 2 - n // 2 for n, m in zip(before, size, strict=True)]
    outside = np.ones(size, bool)
    outside[start[0] : start[0] + before[0], start[1] : start[1] + before[1]] = False
    canvas = Canvas(rows=rows, columns=columns)
    words = f"filled with {section.fill.replace('_', ' ')}"
    if section.fill == "masked":
        canvas = replace(canvas, measured=~outside)
        words = "the rest is masked"
    elif section.fill == "constant":
        canvas = replace(canvas, fill=np.where(outside, section.value or 0.0, 0.0))
    elif section.fill in ("exp", "power"):
        fill, law = _fitted(recording, section, context, size)
        canvas = replace(canvas, fill=np.where(outside, fill, 0.0))
        words = f"filled with ({law})^2"
    detector = recording.detector.moved(*start)
    padded = replace(recording.expanded(canvas, context.late), detector=detector)
    text = f"{_sizes(before, size)}, {words}; {_when(context)}"
    return padded.report("pad", text)


def resample(recording: Recording, section: ResampleConfig, context: Context) -> Recording:
    """The same angles on other pixels."""
    before = recording.canvas.shape(recording.shape)
    factor = section.factor if isinstance(section.factor, tuple) else (section.factor,) * 2
    size = (round(before[0] * factor[0]), round(before[1] * factor[1]))
    if min(size) < 2:
        raise ConfigError(
            f"{context.field}.factor", f"leaves {list(size)} pixels.", "Keep at least 2 x 2."
        )
    rows, columns = (resample_matrix(n, m) for n, m in zip(before, size, strict=True))
    old = recording.detector
    ratio = [n / m for n, m in zip(before, size, strict=True)]
    detector = replace(
        old,
        width=(old.width[0] * ratio[0], old.width[1] * ratio[1]),
        centre=(
            (old.centre[0] - before[0] // 2) / ratio[0] + size[0] // 2,
            (old.centre[1] - before[1] // 2) / ratio[1] + size[1] // 2,
        ),
    )
    canvas = Canvas(rows=rows, columns=columns)
    sampled = replace(recording.expanded(canvas, context.late), detector=detector)
    return sampled.report("resample", f"{_sizes(before, size)}; {_when(context)}")


def _fitted(
    recording: Recording, section: PadConfig, context: Context, size: tuple[int, int]
) -> tuple[Image, str]:
    """The law that the amplitude of the mean pattern follows where it is weak, squared."""
    mean = recording.canvas.apply(recording.mean)
    good = recording.canvas.good(recording.good)
    usable = np.ones(mean.shape, bool) if good is None else good
    weak = usable & (mean < np.percentile(mean[usable], section.percentile))
    radius, wide = (
        np.hypot(*(np.indices(shape) - np.reshape([n // 2 for n in shape], (2, 1, 1))))
        for shape in (mean.shape, size)
    )
    fit = fit_power_law if section.fill == "power" else fit_exponential
    try:
        a, b = fit(radius[weak], np.sqrt(np.maximum(mean[weak], 0)))
    except ValueError as error:
        raise DataError(
            context.field, f"{error}.", "Raise percentile, or use another fill."
        ) from error
    if section.fill == "power":
        return (a * np.maximum(wide, 1) ** -b) ** 2, f"{a:.4g} r^-{b:.3g}"
    return (a * np.exp(-b * wide)) ** 2, f"{a:.4g} exp(-{b:.3g} r)"


def _sizes(before: tuple[int, int], after: tuple[int, int]) -> str:
    return f"{before[0]} x {before[1]} px to {after[0]} x {after[1]}"


def _when(context: Context) -> str:
    return "when a batch is used" if context.late else "in memory"
