"""Steps between the file and the fit: which patterns, which pixels, which counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastpty.config.preprocess import NormaliseConfig, PadConfig, ResampleConfig
from fastpty.io import RawScan
from fastpty.measurements.preprocess import (
    background,
    bad_pixels,
    centre,
    degrade,
    geometry,
    values,
    window,
)
from fastpty.measurements.preprocess.recording import Context, Recording, StepReport, StepsInput

__all__ = ["STEPS", "Recording", "StepReport", "preprocess"]

#: What each step of the config does: from a recording, its section and a context to a recording.
STEPS: dict[str, Any] = {
    "permute": geometry.permute,
    "reshape": geometry.reshape,
    "flip": geometry.flip,
    "crop": geometry.crop,
    "bin": geometry.bin_detector,
    "remove_negative": values.remove_negative,
    "hot_pixels": bad_pixels.hot_pixels,
    "background": background.background,
    "centre": centre.centre,
    "normalise": values.normalise,
    "pad": window.pad,
    "resample": window.resample,
    "source_size": degrade.source_size,
    "detector_blur": degrade.detector_blur,
    "poisson_noise": degrade.poisson_noise,
}


def preprocess(scan: RawScan, config: StepsInput, folder: Path) -> Recording:
    """Apply the steps of ``config.preprocess``, in their order, to what the scan will give.

    Only the statistics that a step asks for are computed now, in passes over the file; the patterns
    themselves are changed when they are read. With steps, the zero frequency is at N//2 afterwards;
    without, where the file has it.

    Parameters
    ----------
    scan : with the mask of the detector and of ``data.mask``.
    folder : relative paths in the config start here.

    Raises
    ------
    ConfigError, DataError : naming the step and its field.
    """
    recording = Recording.of(scan)
    steps = config.preprocess
    if not steps:
        return recording
    if config.data.zero_frequency == "corner":
        recording = _centred(recording)
    if recording.scan.mask is not None:
        recording = recording.masked(~recording.scan.mask, "data.mask")
    for number, section in enumerate(steps):
        late = all(_can_wait(other) for other in steps[number:])
        context = Context(config, folder, f"preprocess.{number}.{section.step}", late)
        before = recording.scan.dtype
        recording = STEPS[section.step](recording, section, context)
        recording = _say_type(recording, before)
    return recording


def _centred(recording: Recording) -> Recording:
    """From index 0 to N//2, which is where every step has the zero frequency."""
    shift = [n // 2 for n in recording.shape]
    return recording.rearranged(
        lambda patterns: np.roll(patterns, shift, axis=(-2, -1)), recording.detector
    )


def _can_wait(section: Any) -> bool:
    """Whether a step can be done when a batch is used, if nothing follows but its like."""
    if isinstance(section, PadConfig | ResampleConfig):
        return not section.stored
    return isinstance(section, NormaliseConfig) and section.to not in ("pattern", "exposure")


def _say_type(recording: Recording, before: np.dtype[Any]) -> Recording:
    """A step that makes values wider costs memory: its report says so."""
    after = recording.scan.dtype
    if before.kind not in "ui" or before.itemsize > 2 or after.kind != "f":
        return recording
    *others, last = recording.reports
    size = after.itemsize / before.itemsize
    done = f"{last.done}; {before.name} becomes {after.name}, {size:g} times the memory"
    return replace(recording, reports=(*others, replace(last, done=done)))
