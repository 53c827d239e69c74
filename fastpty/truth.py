"""How well a reconstruction agrees with the truth that a simulated data file holds."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from fastpty.errors import DataError
from fastpty.figures.crop import scanned_area
from fastpty.metrics import PhaseAgreement, phase_agreement
from fastpty.results import Results

__all__ = ["compare_with_truth"]


def compare_with_truth(results: Results, path: Path) -> PhaseAgreement:
    """Correlation of the z-summed phase with the truth, over the scanned area.

    Offset, ramp and a small shift are removed; see :func:`fastpty.metrics.phase_agreement`. The
    frames are brought together by the mean of the scan positions.

    Raises
    ------
    DataError : the file holds no truth, or one with another pixel size or number of positions.
    """
    try:
        with h5py.File(path, "r") as file:
            truth = file["truth/phase"][()]
            positions = file["truth/positions_px"][()]
            pixel = float(np.ravel(file.attrs["pixel_size_A"])[0])
    except FileNotFoundError as error:
        raise DataError("truth", f"{str(path)!r} does not exist.", "Check the path.") from error
    except (OSError, KeyError) as error:
        raise DataError(
            "truth", f"{path.name} holds no true phase ({error}).", "Was it simulated by fastpty?"
        ) from error
    if positions.shape != results.positions.shape:
        raise DataError(
            "truth",
            f"{path.name} has {len(positions)} positions, the data {len(results.positions)}.",
        )
    if results.pixel_size is None or not np.allclose(results.pixel_size, pixel, rtol=1e-3):
        raise DataError(
            "truth",
            f"{path.name} has a pixel of {pixel:.5g} A, the reconstruction {results.pixel_size}.",
            "Set calibration.pixel_size to the simulation's.",
        )
    area = scanned_area(results)
    phase = results.phase.sum(axis=1).mean(axis=0)[area]
    frame = (positions - results.positions).mean(axis=0)
    origin = np.array([area[0].start, area[1].start])
    return phase_agreement(phase, truth, offset=(frame + origin).tolist())
