"""Steps that make data worse in known ways, to see what a reconstruction stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config.preprocess import (
    DetectorBlurConfig,
    PoissonNoiseConfig,
    SourceSizeConfig,
)
from fastpty.errors import ConfigError, DataError
from fastpty.io import RawScan
from fastpty.measurements.preprocess.recording import Context, Recording, Tally
from fastpty.optics import detector_blur as blur_matrix

__all__ = ["detector_blur", "poisson_noise", "source_size"]


def source_size(recording: Recording, section: SourceSizeConfig, context: Context) -> Recording:
    """Patterns averaged over the scan, mirrored at its edges; the mean pattern stays."""
    steps = _scan_steps(recording, context, "std")
    scan = recording.scan
    if scan.scan_shape is None:
        raise ConfigError(context.field, "needs a raster.", "Give data.scan_shape.")
    matrices = [
        _gaussian(n, section.std / step) for n, step in zip(scan.scan_shape, steps, strict=True)
    ]
    blurred = replace(scan, read=_reader(scan, *matrices), dtype=np.dtype(np.float32))
    text = f"Gaussian of {section.std / steps[0]:.3g} x {section.std / steps[1]:.3g} scan steps"
    known = recording.known("mean", lambda mean: mean)
    return replace(recording, scan=blurred, statistics=known).report("source_size", text)


def _reader(scan: RawScan, slow: NDArray[np.float64], fast: NDArray[np.float64]) -> Any:
    """Reads each row of the scan once for all rows of a piece that it has a share in."""
    width = len(fast)

    def read(start: int, stop: int) -> NDArray[Any]:
        first, last = start // width, -(-stop // width)
        result = np.zeros((last - first, width, scan.shape[1] * scan.shape[2]), np.float32)
        for row in np.flatnonzero(slow[first:last].any(axis=0)):
            patterns = scan.read(int(row) * width, (int(row) + 1) * width).reshape(width, -1)
            mixed = fast.astype(np.float32) @ patterns.astype(np.float32)
            for target in np.flatnonzero(slow[first:last, row]):
                result[target] += np.float32(slow[first + target, row]) * mixed
        flat = result.reshape(-1, *scan.shape[1:])
        return flat[start - first * width : stop - first * width]

    return read


def detector_blur(recording: Recording, section: DetectorBlurConfig, context: Context) -> Recording:
    """Every pattern convolved with a Gaussian, mirrored at the edges; its counts stay."""
    rows, columns = (_gaussian(n, section.std) for n in recording.shape)
    blurred = recording.changed(
        lambda _, piece: (rows @ piece @ columns).astype(np.float32),
        np.float32,
        mean=lambda mean: np.asarray(rows @ mean @ columns),
    )
    return blurred.report("detector_blur", f"Gaussian of {section.std:.3g} px")


def poisson_noise(recording: Recording, section: PoissonNoiseConfig, context: Context) -> Recording:
    """Every value replaced by a Poisson deviate, the same for the same seed and pattern."""
    if section.electrons_per_pattern is not None:
        electrons = section.electrons_per_pattern
    else:
        if context.config.units == "pixel":
            raise ConfigError(
                f"{context.field}.electrons_per_A2",
                "needs lengths, which units: pixel does not have.",
                "Give electrons_per_pattern.",
            )
        slow, fast = _scan_steps(recording, context, "electrons_per_A2")
        electrons = float(section.electrons_per_A2 or 0) * slow * fast
    total = float(recording.mean.sum())
    if total <= 0:
        raise DataError(context.field, "the patterns hold no counts to draw from.")
    factor = electrons / total
    tally = Tally(recording.scan.shape[0], recording.shape[0] * recording.shape[1])

    def draw(start: int, piece: NDArray[Any]) -> NDArray[Any]:
        expected = tally.zeroed(start, piece * factor)
        drawn = np.empty(piece.shape, np.uint32)
        for number, pattern in enumerate(expected):
            # A stream for each pattern: in whatever pieces they are read, the noise is the same.
            rng = np.random.default_rng([section.seed, start + number])
            drawn[number] = rng.poisson(pattern)
        return drawn

    text = f"{electrons:.4g} electrons in the mean pattern"
    return recording.changed(draw, np.uint32).report("poisson_noise", text, tally=tally)


def _scan_steps(recording: Recording, context: Context, name: str) -> tuple[float, float]:
    step = context.config.scan.step
    if step is None:
        raise ConfigError(
            f"{context.field}.{name}",
            "needs a raster with scan.step, but the positions are a list.",
        )
    return step if isinstance(step, tuple) else (step, step)


def _gaussian(n: int, std: float) -> NDArray[np.float64]:
    """[n, n], symmetric; every column sums to one."""
    return np.asarray(np.fft.fftshift(blur_matrix(n, std).numpy()))
