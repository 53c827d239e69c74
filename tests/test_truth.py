"""Comparison with the truth of a simulated file: the frame, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.measurements import Measurements
from fastpty.metrics import position_rmse, ssim
from fastpty.results import Results
from fastpty.truth import compare_with_truth, read_truth
from tests.recon_cases import WINDOW, Tiny, make_tiny, tiny_run
from tests.tolerances import bound


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def measurements(tiny: Tiny) -> Measurements:
    return tiny_run(tiny).measurements


@pytest.fixture
def file(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny.folder / "tiny.h5", tmp_path / "truth.h5"))


@pytest.mark.parametrize("moved", [(0, 0), (2, -1)])
def test_the_truth_itself_is_found(
    tiny: Tiny, measurements: Measurements, file: Path, moved: tuple[int, int]
) -> None:
    """The result is the truth in a frame whose origin lies elsewhere, and then moved.

    A drift of object and positions together leaves every pattern as it is; one of the object
    alone is the shift that is found.
    """
    cut = (5, 7)
    phase = np.roll(tiny.phase.numpy(), moved, axis=(2, 3))[..., cut[0] :, cut[1] :]
    positions = tiny.positions - cut
    results = Results(
        amplitude=np.ones_like(phase),
        phase=3.0 * phase,
        probe=np.ones((1, *WINDOW), np.complex64),
        positions=positions,
        positions_start=positions,
    )
    agreement = compare_with_truth(results, read_truth(file, measurements)).phase
    assert agreement.correlation == pytest.approx(1, abs=bound("sampled"))
    assert agreement.gain == pytest.approx(3, rel=bound("sampled"))
    found = (-moved[0], -moved[1])
    assert agreement.shift_px == pytest.approx(found, abs=bound("sampled"))


def test_errors_of_the_positions(tiny: Tiny, measurements: Measurements, file: Path) -> None:
    """Before and after: the frame's shift and a common scale are none."""
    phase = tiny.phase.numpy()
    results = Results(
        amplitude=np.ones_like(phase),
        phase=phase,
        probe=np.ones((1, *WINDOW), np.complex64),
        positions=tiny.positions,
        positions_start=tiny.positions,
    )
    truth = read_truth(file, measurements)
    error = np.random.default_rng(0).normal(scale=0.3, size=tiny.positions.shape)
    results.positions_start = 1.01 * (tiny.positions + error) + 2
    found = compare_with_truth(results, truth)
    assert found.position_rmse == pytest.approx(0, abs=1e-9)
    expected = position_rmse(tiny.positions + error, truth.positions)
    assert found.position_rmse_start == pytest.approx(expected)
    assert 0.3 < found.position_rmse_start < 0.6
    centred = position_rmse(results.positions_start, truth.positions, less="mean")
    assert found.position_rmse_centred_start == centred > found.position_rmse_start
    assert found.position_rmse_centred == pytest.approx(0, abs=1e-9)


def test_only_errors_of_fitted_positions_count(
    tiny: Tiny, measurements: Measurements, file: Path
) -> None:
    phase = tiny.phase.numpy()
    wrong = np.array([2, 17])
    positions = tiny.positions.copy()
    positions[wrong] += (0.7, -0.4)
    results = Results(
        amplitude=np.ones_like(phase),
        phase=phase,
        probe=np.ones((1, *WINDOW), np.complex64),
        positions=positions,
        positions_start=tiny.positions,
    )
    truth = read_truth(file, measurements)
    fitted = np.setdiff1d(np.arange(30), wrong)
    assert compare_with_truth(results, truth, fitted).position_rmse == pytest.approx(0, abs=1e-9)
    assert compare_with_truth(results, truth).position_rmse > 0.1


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_similarity_to_the_truth(
    tiny: Tiny, measurements: Measurements, file: Path, strength: float
) -> None:
    """1 for the truth itself; unlike the correlation it sees the strength."""
    phase = strength * tiny.phase.numpy()
    results = Results(
        amplitude=np.ones_like(phase),
        phase=phase,
        probe=np.ones((1, *WINDOW), np.complex64),
        positions=tiny.positions,
        positions_start=tiny.positions,
    )
    found = compare_with_truth(results, read_truth(file, measurements))
    assert found.ssim == ssim(found.phase.aligned, found.phase.truth_cropped)
    assert (found.ssim > 1 - bound("sampled")) == (strength == 1)


def _other_pixel(file: h5py.File) -> None:
    file.attrs["pixel_size_A"] = 0.41


def _no_pixel(file: h5py.File) -> None:
    del file.attrs["pixel_size_A"]


def _fewer_positions(file: h5py.File) -> None:
    positions = file["truth/positions_px"][1:]
    del file["truth/positions_px"]
    file["truth/positions_px"] = positions


def _no_truth(file: h5py.File) -> None:
    del file["truth"]


def _group_for_phase(file: h5py.File) -> None:
    del file["truth/phase"]
    file.create_group("truth/phase")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_pixel, r"^truth: truth.h5 has a pixel of 0.41 A, the reconstruction 0.4 x 0.4 A"),
        (_no_pixel, "^truth: truth.h5 holds no true phase"),
        (_fewer_positions, "^truth: truth.h5 has 29 positions, the data 30"),
        (_no_truth, "^truth: truth.h5 holds no true phase"),
        (_group_for_phase, "^truth: truth.h5 holds no true phase"),
    ],
)
def test_refusals(
    measurements: Measurements, file: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    with h5py.File(file, "r+") as opened:
        change(opened)
    with pytest.raises(DataError, match=message):
        read_truth(file, measurements)


def test_a_missing_file(measurements: Measurements, file: Path) -> None:
    with pytest.raises(DataError, match=r"^truth: .*'truht.h5' does not exist|Did you mean"):
        read_truth(file.with_name("truht.h5"), measurements)


def test_no_hdf5_file(measurements: Measurements, file: Path) -> None:
    file.write_text("no HDF5")
    with pytest.raises(DataError, match=r"^truth: truth\.h5 holds no true phase"):
        read_truth(file, measurements)
