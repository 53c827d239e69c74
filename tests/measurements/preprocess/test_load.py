"""Steps in a config: positions, calibration, mask and truth go with the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.config import ReconConfig, validate_config
from fastpty.config.data import BeamConfig, CalibrationConfig
from fastpty.errors import DataError
from fastpty.measurements import DiscFit, Measurements, load_measurements, raster_positions
from fastpty.measurements.calibration import object_pixel_size
from fastpty.measurements.detector import Detector
from fastpty.optics import electron_wavelength
from fastpty.truth import read_truth
from tests.measurements.preprocess.steps import run, scan_of

SCAN, SHAPE = (4, 5), (12, 16)
STEP, PIXEL = (0.5, 0.7), (0.2, 0.25)
CROP = {"step": "crop", "rows": [1, 3], "columns": [2, 5]}
FLIP = {"step": "flip", "of": "scan", "flip_x": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pattern i holds a disc, and i counts in the pixel of the zero frequency."""
    y, x = np.indices(SHAPE)
    disc = np.where(np.hypot(y - 6, x - 8) < 4, 50, 0)
    patterns = np.repeat(disc[None], 20, axis=0).astype(np.uint16)
    patterns[:, 6, 8] = np.arange(20)
    grid = raster_positions(SCAN, 1)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = patterns.reshape(*SCAN, *SHAPE)
        file["truth/phase"] = np.zeros((40, 40))
        file["truth/positions_px"] = grid * 3 + 5
        file.attrs["pixel_size_A"] = 0.2
    np.save(tmp_path / "positions.npy", grid * (2, 3) + 100)
    np.save(tmp_path / "tilts.npy", grid)
    return tmp_path


def load(folder: Path, *steps: dict[str, Any], **changes: Any) -> Measurements:
    content = {
        "data": {"path": "scan.h5", "dataset": "data"},
        "beam": {"energy_kv": 300, "semiangle_mrad": 20},
        "calibration": {"pixel_size": list(PIXEL)},
        "scan": {"step": list(STEP)},
        "preprocess": list(steps),
        **changes,
    }
    return load_measurements(validate_config(ReconConfig, content), folder)


def numbers(found: Measurements) -> list[int]:
    """Which pattern of the file each one is, as its own pixel says."""
    counts = found.patterns.counts(torch.arange(len(found.patterns)))
    return counts[:, 0, 0].int().tolist()


def test_a_raster_is_laid_over_what_the_steps_leave(folder: Path) -> None:
    for steps, expected in (
        ([CROP], [[7, 8, 9], [12, 13, 14]]),
        ([CROP, FLIP], [[9, 8, 7], [14, 13, 12]]),
        ([FLIP, CROP], [[7, 6, 5], [12, 11, 10]]),
    ):
        found = load(folder, *steps)
        assert found.scan_shape == (2, 3)
        assert numbers(found) == np.ravel(expected).tolist() == found.index.tolist()
        np.testing.assert_allclose(found.positions * PIXEL, raster_positions((2, 3), STEP))


def test_listed_positions_are_cropped_and_not_flipped(folder: Path) -> None:
    """A flip changes which pattern belongs to which position: that is what it is for."""
    scan = {"positions": {"path": "positions.npy", "unit": "pixel"}}
    given = np.load(folder / "positions.npy").reshape(*SCAN, 2)
    for steps, part in (
        ([CROP], given[1:3, 2:5]),
        ([FLIP], given),
        ([CROP, FLIP], given[1:3, 2:5]),
        ([FLIP, CROP], given[1:3, 2:5]),
    ):
        found = load(folder, *steps, scan=scan)
        np.testing.assert_array_equal(found.positions, part.reshape(-1, 2))


def test_a_transposed_scan_has_its_steps_exchanged(folder: Path) -> None:
    found = load(folder, {"step": "permute", "axes": ["fast", "slow", "y", "x"]})
    assert found.scan_shape == (5, 4)
    assert numbers(found) == np.arange(20).reshape(SCAN).T.ravel().tolist()
    np.testing.assert_allclose(found.positions * PIXEL, raster_positions((5, 4), STEP))


def test_the_truth_goes_with_the_patterns(folder: Path) -> None:
    calibration = {"pixel_size": 0.2}
    truth = raster_positions(SCAN, 1) * 3 + 5
    for steps in ([], [CROP], [FLIP, CROP]):
        found = load(folder, *steps, calibration=calibration)
        positions = read_truth(folder / "scan.h5", found).positions
        np.testing.assert_array_equal(positions, truth[numbers(found)])


def test_a_truth_of_another_pixel_is_refused(folder: Path) -> None:
    found = load(folder, {"step": "crop", "size": 8}, calibration={"pixel_size": 0.2})
    with pytest.raises(DataError, match=r"a pixel of 0\.2 A, the reconstruction 0\.3 x 0\.4 A"):
        read_truth(folder / "scan.h5", found)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"step": "crop", "size": [6, 8]}], (0.4, 0.5)),
        ([{"step": "bin", "factor": [2, 4]}], (0.2, 0.25)),
        ([{"step": "flip", "transpose": True}], (0.25, 0.2)),
        ([{"step": "pad", "size": [24, 64]}], (0.1, 0.0625)),
        ([{"step": "resample", "factor": 2}], (0.2, 0.25)),
        ([{"step": "bin", "factor": 2}, {"step": "crop", "size": [3, 4]}], (0.4, 0.5)),
    ],
    ids=["crop", "bin", "transpose", "pad", "resample", "both"],
)
def test_the_object_pixel_follows_the_detectors_width(
    folder: Path, steps: list[dict[str, Any]], expected: tuple[float, float]
) -> None:
    """dx = 1 / (N dk): the calibration is that of the recorded detector."""
    np.testing.assert_allclose(load(folder, *steps).pixel_size, expected)
    wavelength = electron_wavelength(300)
    dk = 1 / (12 * 0.2)
    shape = load(folder, *steps).patterns.shape[1:]
    widths = {"bin": (2, 4), "resample": (0.5, 0.5)}.get(steps[0]["step"], (1, 1))
    if len(steps) == 2:
        widths = (2, 2)
    for calibration in ({"dk": dk}, {"mrad_per_pixel": dk * wavelength * 1e3}):
        found = load(folder, *steps, calibration=calibration).pixel_size
        wanted = [1 / (n * dk * w) for n, w in zip(shape, widths, strict=True)]
        np.testing.assert_allclose(found, wanted)


def test_a_calibration_of_the_preprocessed_detector(folder: Path) -> None:
    steps = [{"step": "crop", "size": 8}]
    calibration = {"pixel_size": [0.2, 0.3], "of": "preprocessed"}
    assert load(folder, *steps, calibration=calibration).pixel_size == (0.2, 0.3)


def test_radii_of_the_disc() -> None:
    """A given radius is in recorded pixels, a fitted one was found in those that are left."""
    beam = BeamConfig(energy_kv=300, semiangle_mrad=20)
    binned = Detector((32, 32), width=(2.0, 2.0))
    disc = DiscFit(4.0, (8.0, 8.0))
    sizes = [
        object_pixel_size(CalibrationConfig(disc_radius_px=radius), beam, (16, 16), disc, binned)
        for radius in (8.0, "fit")
    ]
    np.testing.assert_allclose(*sizes)


def test_the_masks_are_united(folder: Path) -> None:
    mask = np.ones(SHAPE, bool)
    mask[0, 0] = False
    np.save(folder / "mask.npy", mask)
    found = load(
        folder,
        {"step": "hot_pixels", "find": "none", "dead": False, "pixels": [[1, 2]]},
        {"step": "crop", "x": [0, 10]},
        data={"path": "scan.h5", "dataset": "data", "mask": {"path": "mask.npy"}},
    )
    bad = np.argwhere(~found.patterns.centred_mask)
    np.testing.assert_array_equal(bad, [[0, 0], [1, 2]])


def test_without_steps_nothing_is_read_twice(folder: Path) -> None:
    found = load(folder)
    assert found.steps == ()
    assert found.recorded == 20
    assert numbers(found) == list(range(20))


def test_steps_that_move_pixels_read_the_file_once_more_together() -> None:
    data = np.zeros((6, 12, 12), np.uint16)
    data[:, 3:8, 4:9] = 9
    scan, read = scan_of(data), []
    inner = scan.read
    scan.read = lambda start, stop: (read.extend(range(start, stop)), inner(start, stop))[1]
    done = run(
        scan,
        {"step": "hot_pixels"},
        {"step": "flip", "flip_y": True},
        {"step": "crop", "y": [1, 12]},
        {"step": "centre"},
        {"step": "poisson_noise", "electrons_per_pattern": 100},
    )
    assert len(done.counts) == 6
    assert sorted(read) == sorted([*range(6)] * 2)


def test_negative_values_are_looked_for_after_the_steps(folder: Path) -> None:
    with h5py.File(folder / "scan.h5", "r+") as file:
        values = file["data"][()].astype(np.float32)
        values[0, 0, 0, 0] = -3
        del file["data"]
        file["data"] = values
    with pytest.raises(DataError, match="negative values"):
        load(folder)
    assert len(load(folder, {"step": "remove_negative"}).patterns) == 20
