"""How well a reconstruction agrees with the truth that a simulated data file holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.figures.crop import scanned_area
from fastpty.io.files import check_file
from fastpty.measurements import Measurements
from fastpty.metrics import PhaseAgreement, phase_agreement, position_rmse, ssim
from fastpty.metrics.similarity import SSIM_SIDE
from fastpty.results import Results

__all__ = ["Comparison", "Truth", "compare_with_truth", "read_truth"]


@dataclass(frozen=True)
class Truth:
    """What ``fastpty simulate`` knows.

    Parameters
    ----------
    phase : [Y, X] rad, summed along the beam.
    positions : [N, 2] px, the top-left corner of each window in ``phase``.
    """

    phase: NDArray[np.float64]
    positions: NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A reconstruction beside the truth.

    Parameters
    ----------
    phase : of the z-summed phase over the scanned area.
    ssim : of the same images, see :func:`fastpty.metrics.ssim`; None if they are too small.
    position_rmse_start, position_rmse : px, before the first iteration and at the end, less the
        best affine map; see :func:`fastpty.metrics.position_rmse`.
    position_rmse_centred_start, position_rmse_centred : the same less the mean alone.
    """

    phase: PhaseAgreement
    ssim: float | None
    position_rmse_start: float
    position_rmse: float
    position_rmse_centred_start: float
    position_rmse_centred: float


def read_truth(path: Path, measurements: Measurements) -> Truth:
    """The truth in a simulated data file, checked against what is to be reconstructed.

    Raises
    ------
    DataError : no such file, one without a truth, or one with another pixel size or number of
        positions.
    """
    check_file("truth", path)
    try:
        with h5py.File(path, "r") as file:
            phase = np.asarray(file["truth/phase"][()], np.float64)
            positions = np.asarray(file["truth/positions_px"][()], np.float64)
            pixel = float(file.attrs["pixel_size_A"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "truth",
            f"{path.name} holds no true phase ({' '.join(str(error).split())}).",
            "Name a file that fastpty simulate wrote.",
        ) from error
    recorded = measurements.recorded or len(measurements.positions)
    if positions.shape != (recorded, 2):
        raise DataError(
            "truth",
            f"{path.name} has {len(positions)} positions, the data {recorded}.",
            "Name the truth of the same scan.",
        )
    if measurements.index is not None:
        positions = positions[measurements.index]
    found = measurements.pixel_size
    if found is None or not np.allclose(found, pixel, rtol=1e-3, atol=0):
        shown = "none" if found is None else " x ".join(f"{d:.5g}" for d in found) + " A"
        raise DataError(
            "truth",
            f"{path.name} has a pixel of {pixel:.5g} A, the reconstruction {shown}.",
            f"Set calibration.pixel_size to {pixel:.5g}, and crop or pad no detector.",
        )
    return Truth(phase, positions)


def compare_with_truth(
    results: Results, truth: Truth, fitted: NDArray[np.int64] | None = None
) -> Comparison:
    """Correlation and similarity of the z-summed phase with the truth, and errors of the positions.

    Of the phase, offset, ramp and a small shift are removed; see
    :func:`fastpty.metrics.phase_agreement`. The frames are brought together by the mean of the
    scan positions.

    Parameters
    ----------
    fitted : [K] the positions whose errors count; None: all.

    Raises
    ------
    ValueError : too little of the two overlaps, or one of them is flat.
    """
    area = scanned_area(results)
    phase = results.mean_over_modes(results.phase).sum(axis=0)[area]
    frame = (truth.positions - results.positions).mean(axis=0)
    origin = np.array([area[0].start, area[1].start])
    found = phase_agreement(phase, truth.phase, offset=(frame + origin).tolist())
    large = min(found.aligned.shape) >= SSIM_SIDE
    chosen = slice(None) if fitted is None else fitted
    start, end = results.positions_start[chosen], results.positions[chosen]
    true = truth.positions[chosen]
    return Comparison(
        phase=found,
        ssim=ssim(found.aligned, found.truth_cropped) if large else None,
        position_rmse_start=position_rmse(start, true),
        position_rmse=position_rmse(end, true),
        position_rmse_centred_start=position_rmse(start, true, less="mean"),
        position_rmse_centred=position_rmse(end, true, less="mean"),
    )
