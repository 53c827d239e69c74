"""The mean pattern of the probe without a specimen, on the detector that is fitted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config import ReconConfig, resolve_path
from fastpty.config.model import VacuumConfig
from fastpty.config.preprocess import (
    CropConfig,
    DetectorBlurConfig,
    FlipConfig,
    NormaliseConfig,
    PermuteConfig,
    PoissonNoiseConfig,
    ReshapeConfig,
    SourceSizeConfig,
)
from fastpty.errors import DataError, FastptyError
from fastpty.io import RawScan, load_array, open_scan
from fastpty.measurements.load import load_mask
from fastpty.measurements.preprocess import Recording, preprocess

__all__ = ["vacuum_pattern"]

_FIELD = "probe.vacuum"
# They concern the scan, or make other data of what was recorded.
_LEFT_OUT = (
    ReshapeConfig | NormaliseConfig | SourceSizeConfig | DetectorBlurConfig | PoissonNoiseConfig
)


def vacuum_pattern(
    section: VacuumConfig, config: ReconConfig, folder: Path
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(mean pattern [Ny, Nx] in counts, zero frequency near N//2; where a pixel is good).

    What was recorded goes through the steps of ``config.preprocess`` that change a pattern's
    pixels, each with its own findings on these patterns; negative means become zero.

    Raises
    ------
    DataError : naming what cannot be read, or the step that does not fit.
    """
    with _open(section, config, folder) as scan:
        if section.of == "preprocessed":
            recording = Recording.of(scan)
        else:
            recording = _preprocessed(scan, config, folder)
        try:
            mean = recording.canvas.apply(recording.mean)
        except DataError as error:
            raise DataError(_FIELD, error.found, error.fix) from error
        good = recording.canvas.good(recording.good)
    if section.of == "recorded" and not config.preprocess:
        mean, good = (_centred(image, config) for image in (mean, recording.good))
    mean = np.maximum(mean, 0)
    return mean, np.ones(mean.shape, bool) if good is None else good


def _centred(image: NDArray[Any], config: ReconConfig) -> NDArray[Any]:
    return np.fft.fftshift(image) if config.data.zero_frequency == "corner" else image


def _open(section: VacuumConfig, config: ReconConfig, folder: Path) -> RawScan:
    path = resolve_path(f"{_FIELD}.path", section.path, folder)
    given: dict[str, Any] = {"dataset": section.dataset}
    if section.format in ("raw", "folder"):
        given |= {k: getattr(config.data, k) for k in ("pattern_shape", "dtype", "offset", "gap")}
    try:
        return open_scan(path, format=section.format, **given)
    except DataError as error:
        if section.format not in ("auto", "hdf5", "npy"):
            raise DataError(
                _FIELD, error.found, error.fix.replace("data.", f"{_FIELD}.")
            ) from error
        try:  # readers of scans know no single pattern
            image = load_array(_FIELD, path, section.dataset, ranks=(2,))
        except DataError as single:
            also = "" if single.found == error.found else f" As one pattern: {single.found}"
            fix = error.fix.replace("data.", f"{_FIELD}.")
            raise DataError(_FIELD, f"{error.found}{also}", fix) from error
    if image.dtype.kind not in "uif":
        raise DataError(_FIELD, f"holds {image.dtype}, but counts are real numbers.")
    shape = (1, image.shape[0], image.shape[1])
    return RawScan(path.name, shape, image.dtype, lambda start, stop: image[None][start:stop])


def _preprocessed(scan: RawScan, config: ReconConfig, folder: Path) -> Recording:
    steps = list(_of_pattern(config.preprocess))
    masked = replace(scan, mask=load_mask(config.data, scan, folder), scan_shape=None)
    try:
        return preprocess(masked, config.model_copy(update={"preprocess": steps}), folder)
    except FastptyError as error:
        raise DataError(
            _FIELD,
            f"{scan.source} cannot go through the steps of preprocess: {error}",
            "Is it of the same detector? If its pixels are those that are fitted already, set "
            "probe.vacuum.of to preprocessed.",
        ) from error


def _of_pattern(steps: Iterable[Any]) -> Iterable[Any]:
    """The steps, or what of them concerns the pixels of a pattern."""
    for step in steps:
        if isinstance(step, _LEFT_OUT) or (isinstance(step, FlipConfig) and step.of == "scan"):
            continue
        if isinstance(step, CropConfig):
            if (step.y, step.x, step.size) != (None, None, None):
                yield step.model_copy(update={"rows": None, "columns": None})
        elif isinstance(step, PermuteConfig):
            if step.axes[-1] == "y":
                yield step.model_copy(update={"axes": ("n", "x", "y")})
        else:
            yield step
