"""Patterns through the steps of a config, as a reconstruction would get them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config import ReconConfig, validate_config
from fastpty.io import RawScan
from fastpty.measurements import Patterns
from fastpty.measurements.preprocess import Recording, preprocess
from tests.config.complete import COMPLETE

__all__ = ["Done", "config_of", "disc", "run", "scan_of"]


class Done(NamedTuple):
    """What came out: patterns in counts, zero frequency at N//2."""

    counts: NDArray[np.float32]
    patterns: Patterns
    recording: Recording

    @property
    def said(self) -> str:
        """The reports of all steps."""
        return "\n".join(report.text for report in self.recording.reports)

    @property
    def good(self) -> NDArray[np.bool_]:
        mask = self.patterns.centred_mask
        return np.ones(self.counts.shape[1:], bool) if mask is None else mask


def scan_of(
    data: NDArray[Any],
    scan_shape: tuple[int, int] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> RawScan:
    """A file that gives these patterns [N, Ny, Nx] or [slow, fast, Ny, Nx]."""
    if data.ndim == 4:
        scan_shape, data = (data.shape[0], data.shape[1]), data.reshape(-1, *data.shape[2:])
    shape = (len(data), data.shape[1], data.shape[2])
    return RawScan("scan.h5", shape, data.dtype, lambda a, b: data[a:b], scan_shape, mask=mask)


def config_of(*steps: Mapping[str, Any], **changes: Any) -> ReconConfig:
    return validate_config(ReconConfig, {**COMPLETE, **changes, "preprocess": list(steps)})


def run(
    data: NDArray[Any] | RawScan,
    /,
    *steps: Mapping[str, Any],
    folder: Path = Path(),
    **changes: Any,
) -> Done:
    """The steps on the data; ``changes`` are other sections of the config."""
    scan = data if isinstance(data, RawScan) else scan_of(data)
    config = config_of(*steps, **changes)
    recording = preprocess(scan, config, folder)
    patterns = Patterns.load(
        recording.scan,
        zero_frequency="centre",
        negative=config.data.negative,
        mask=recording.scan.mask,
        canvas=recording.canvas,
    )
    counts = patterns.counts(torch.arange(len(patterns)))
    return Done(torch.fft.fftshift(counts, dim=(1, 2)).numpy(), patterns, recording)


def disc(
    shape: tuple[int, int], centre: tuple[float, float], radius: float, counts: float
) -> NDArray[np.float64]:
    """A bright disc on nothing."""
    y, x = np.indices(shape)
    return counts * (np.hypot(y - centre[0], x - centre[1]) < radius)
