"""PtyRAD's model files: read as it writes them, written as it reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.errors import DataError, FastptyError
from fastpty.ptyrad_model import is_model, read_model, tilt_count, write_model
from fastpty.results import History, Results
from fastpty.start_file import read_start
from tests.tolerances import tolerance

RNG = np.random.default_rng(0)
COUNT = 6


def some_results(modes: int = 2, slices: int = 3, tilts: int = COUNT) -> Results:
    shape = (modes, slices, 30, 32)
    positions = RNG.uniform(2, 12, (COUNT, 2))
    return Results(
        amplitude=RNG.random(shape, dtype=np.float32),
        phase=RNG.normal(size=shape).astype(np.float32),
        probe=RNG.normal(size=(2, 12, 12)).astype(np.complex64) * np.complex64(1 + 0.5j),
        positions=positions,
        positions_start=np.rint(positions),
        scan_shape=(2, 3),
        pixel_size=(0.25, 0.25),
        wavelength=0.02,
        thickness=None if slices == 1 else np.float32(12.5) * np.ones((), np.float32),
        tilt=RNG.normal(size=(tilts, 2)).astype(np.float32),
        occupancy=None if modes == 1 else np.array([0.75, 0.25], np.float32),
        history=History(loss=[0.5, 0.25], seconds=[1.0, 2.0]),
    )


def of_ptyrad(path: Path, **changes: Any) -> Path:
    """A file with the names, types and shapes that PtyRAD 1.0.0 itself writes."""
    content = {
        "ptyrad_version": "1.0.0",
        "output_path": "out",
        "optimizable_tensors/obja": np.full((1, 2, 20, 22), 0.9, np.float32),
        "optimizable_tensors/objp": RNG.random((1, 2, 20, 22), dtype=np.float32),
        "optimizable_tensors/obj_tilts": np.array([[1, -2]], np.float32),
        "optimizable_tensors/slice_thickness": np.float32(20),
        "optimizable_tensors/probe": RNG.random((2, 8, 8)).astype(np.complex64),
        "optimizable_tensors/probe_pos_shifts": np.full((COUNT, 2), 0.25, np.float32),
        "optim_state_dict": "__NONE__",
        "scheduler_state_dict": "__NONE__",
        "params/init_params/probe_kv": 300,
        "model_attributes/detector_blur_std": "__NONE__",
        "model_attributes/omode_occu": np.ones(1, np.float32),
        "model_attributes/N_scan_slow": np.int32(2),
        "model_attributes/N_scan_fast": np.int32(3),
        "model_attributes/crop_pos": np.arange(2 * COUNT, dtype=np.int32).reshape(COUNT, 2),
        "model_attributes/slice_thickness": np.float32(20),
        "model_attributes/dx": np.float32(0.4),
        "model_attributes/lambd": np.float32(0.0197),
        "loss_iters": np.array([[1.0, 0.5], [2.0, 0.4]]),
        "iter_times": np.array([0.1, 0.2]),
        "niter": 2,
    }
    with h5py.File(path, "w") as file:
        for name, value in {**content, **changes}.items():
            if value is not None:
                file[name] = value
    return path


def test_a_file_of_ptyrads(tmp_path: Path) -> None:
    path = of_ptyrad(tmp_path / "m.hdf5")
    assert is_model(path)
    assert tilt_count(path) == 1
    results = read_model(path)
    assert results.phase.shape == results.amplitude.shape == (1, 2, 20, 22)
    assert results.probe.shape == (2, 8, 8)
    np.testing.assert_array_equal(results.positions[1], [2.25, 3.25])
    np.testing.assert_array_equal(results.positions_start[1], [2, 3])
    assert results.scan_shape == (2, 3)
    assert results.pixel_size == (np.float32(0.4), np.float32(0.4))
    assert results.wavelength == np.float32(0.0197)
    assert results.thickness == 20
    assert results.tilt.tolist() == [[1, -2]]
    assert results.occupancy is None
    assert results.history.loss == [0.5, 0.4]
    assert results.history.seconds == [0.1, 0.2]


def test_a_run_can_begin_with_it(tmp_path: Path) -> None:
    path = of_ptyrad(tmp_path / "m.hdf5")
    np.testing.assert_array_equal(read_start(path).phase, read_model(path).phase)


@pytest.mark.parametrize(("modes", "slices", "tilts"), [(2, 3, COUNT), (1, 1, 1)])
def test_what_is_written_is_read_back(tmp_path: Path, modes: int, slices: int, tilts: int) -> None:
    results = some_results(modes, slices, tilts)
    write_model(results, tmp_path / "m.hdf5")
    found = read_model(tmp_path / "m.hdf5")
    for name in ("amplitude", "phase", "probe", "tilt"):
        np.testing.assert_array_equal(getattr(found, name), getattr(results, name))
    # Whole pixels and a shift of single precision.
    np.testing.assert_array_equal(np.rint(found.positions), np.rint(results.positions))
    shift = (results.positions - np.rint(results.positions)).astype(np.float32)
    np.testing.assert_array_equal(found.positions, np.rint(results.positions) + shift)
    assert (found.thickness, found.scan_shape) == (results.thickness, results.scan_shape)
    if modes == 1:
        assert found.occupancy is None
    else:
        np.testing.assert_array_equal(found.occupancy, results.occupancy)
    assert (found.history.loss, found.history.seconds) == ([0.5, 0.25], [1.0, 2.0])


def test_the_layout_is_that_of_ptyrads_loader(tmp_path: Path) -> None:
    """What its Initializer and its Analyzer look up, with the types that they find in its own."""
    write_model(some_results(), tmp_path / "m.hdf5")
    with h5py.File(tmp_path / "m.hdf5", "r") as file:
        tensors, attributes = file["optimizable_tensors"], file["model_attributes"]
        assert {name: tensors[name].dtype.name for name in tensors} == {
            "obja": "float32",
            "objp": "float32",
            "obj_tilts": "float32",
            "slice_thickness": "float32",
            "probe": "complex64",
            "probe_pos_shifts": "float32",
        }
        assert attributes["crop_pos"].dtype == np.int32
        assert tensors["slice_thickness"][()] == attributes["slice_thickness"][()] == 12.5
        assert attributes["dk"][()] == pytest.approx(1 / (12 * 0.25))
        assert attributes["meas_Npix"][()] == attributes["simu_Npix"][()] == 12
        assert attributes["scan_affine"][()] == b"__NONE__"
        assert file["optim_state_dict"][()] == b"__NONE__"
        assert file["loss_iters"][()].tolist() == [[1, 0.5], [2, 0.25]]
        assert file["niter"][()] == 2
        wave = attributes["H"][()]
        # At frequency 0: the phase over a slice.
        expected = np.exp(2j * np.pi * 12.5 / 0.02)
        np.testing.assert_allclose(wave[0, 0], expected, **tolerance("product", torch.float32))
        assert wave.shape == (12, 12)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pixel_size": None}, "pixel"),
        ({"pixel_size": (0.25, 0.3)}, "square"),
        ({"probe": np.ones((1, 12, 10), np.complex64)}, "square"),
        ({"thickness": np.array([10, 12], np.float32)}, "goes from 10 to 12"),
    ],
)
def test_what_ptyrad_cannot_hold_is_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(FastptyError, match=says):
        write_model(replace(some_results(), **changes), tmp_path / "m.hdf5")
    assert not list(tmp_path.iterdir())


def test_equal_gaps_are_one_thickness(tmp_path: Path) -> None:
    results = replace(some_results(), thickness=np.array([10, 10], np.float32))
    write_model(results, tmp_path / "m.h5")
    assert read_model(tmp_path / "m.h5").thickness == 10


def test_another_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FastptyError, match=r"\.h5 or \.hdf5"):
        write_model(some_results(), tmp_path / "m.mat")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimizable_tensors/objp": None}, "cannot be read as a PtyRAD model"),
        ({"loss_iters": "x"}, "cannot be read as a PtyRAD model"),
        ({"optimizable_tensors/obja": np.ones((1, 2, 3, 4), np.float32)}, "obja is"),
        ({"optimizable_tensors/obj_tilts": np.ones((3, 2), np.float32)}, "obj_tilts is"),
        ({"optimizable_tensors/probe": np.ones((8, 8), np.complex64)}, "probe is"),
        ({"model_attributes/lambd": np.float32(1e-10)}, "X-ray"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    path = of_ptyrad(tmp_path / "m.hdf5", **changes)
    with pytest.raises(DataError, match=says):
        read_model(path)


def test_other_files_are_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"] = 1
    assert not is_model(tmp_path / "a.txt")
    assert not is_model(tmp_path / "b.h5")
    assert tilt_count(tmp_path / "b.h5") is None
    assert tilt_count(tmp_path / "missing.h5") is None
