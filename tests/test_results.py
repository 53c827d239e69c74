"""reconstruction.h5: what is written comes back; what is no reconstruction is refused."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastpty
from fastpty.errors import DataError
from fastpty.results import FORMAT, History, Results, Snapshot, read_results, write_results

RNG = np.random.default_rng(0)


def snapshot(iteration: int, mask: Any = None) -> Snapshot:
    measured, simulated = RNG.random((2, 2, 4, 6)).astype(np.float32)
    return Snapshot(iteration, np.array([1, 5]), measured, simulated, 0.125, mask)


def bare() -> Results:
    """Every optional field left out."""
    return Results(
        amplitude=RNG.random((1, 2, 8, 9)).astype(np.float32),
        phase=RNG.random((1, 2, 8, 9)).astype(np.float32),
        probe=(RNG.random((3, 4, 6)) + 1j * RNG.random((3, 4, 6))).astype(np.complex64),
        positions=RNG.random((7, 2)),
        positions_start=RNG.random((7, 2)),
    )


def full() -> Results:
    """Every optional field given, snapshots with and without a mask."""
    return dataclasses.replace(
        bare(),
        scan_shape=(1, 7),
        pixel_size=(0.2, 0.3),
        wavelength=0.0197,
        thickness=np.array([9.5, 10.5], np.float32),
        tilt=RNG.random((7, 2)).astype(np.float32),
        occupancy=np.array([0.25, 0.75], np.float32),
        aberrations={"defocus": 81.5, "C12a": -3.0},
        agreement={"fitted": {"patterns": 28, "r_factor": 0.1, "poisson_nll": 1.5}},
        history=History(
            [0.5, 0.25],
            [1.0, 1.5],
            {"sparse": [0.1, 0.1], "gaussian": [0.4, 0.15]},
            [0.0, 0.2],
            {"ramp": [0.3, 0.2]},
            {"phase": [1e-3, 5e-4], "probe": [0.0, 1e-4]},
            {"thickness": [[9.0, 10.0], [9.5, 10.5]], "tilt": [[0.0, 1.0], [0.5, 1.5]]},
            {"blur_xy/phase": [0.5, 0.25], "custom.0/probe": [0.0, 0.5]},
            [0, 1],
            [1, 3],
            {"phase": [1.0, 0.125]},
            {"max": [0.0, 0.7], "rms": [0.0, 0.3]},
        ),
        snapshots=[snapshot(0), snapshot(999), snapshot(10000, RNG.random((4, 6)) < 0.5)],
        config={"data": {"path": "a.h5", "scan_shape": None}, "list": [1, "final"]},
        r_factor=0.1,
        seed=5,
        device="cpu",
    )


def assert_equal(actual: Any, expected: Any, name: str = "results") -> None:
    assert type(actual) is type(expected), name
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            pair = (getattr(thing, field.name) for thing in (actual, expected))
            assert_equal(*pair, name=f"{name}.{field.name}")
    elif isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype, name
        np.testing.assert_array_equal(actual, expected, err_msg=name)
    elif isinstance(expected, list):
        assert len(actual) == len(expected), name
        for i, pair in enumerate(zip(actual, expected, strict=True)):
            assert_equal(*pair, name=f"{name}[{i}]")
    else:
        assert actual == expected, name


@pytest.mark.parametrize("make", [bare, full])
def test_what_is_written_comes_back(tmp_path: Path, make: Any) -> None:
    results = make()
    write_results(results, tmp_path / "reconstruction.h5")
    assert_equal(read_results(tmp_path / "reconstruction.h5"), results)


def test_the_order_of_snapshots(tmp_path: Path) -> None:
    """HDF5 lists names as text, where 10000 comes before 9999."""
    results = bare()
    results.snapshots = [snapshot(i) for i in (0, 9999, 10000, 100000)]
    write_results(results, tmp_path / "r.h5")
    found = [s.iteration for s in read_results(tmp_path / "r.h5").snapshots]
    assert found == [0, 9999, 10000, 100000]


def test_other_programs_find_units_and_axes(tmp_path: Path) -> None:
    write_results(full(), tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["format"] == FORMAT
        assert file.attrs["fastpty_version"] == fastpty.__version__
        phase = file["object/phase"]
        assert phase.attrs["units"] == "rad"
        assert phase.attrs["axes"] == "object mode, slice, y, x"
        np.testing.assert_array_equal(phase.attrs["pixel_size_A"], (0.2, 0.3))
        assert file["probe"].attrs["units"] == "sqrt(counts)"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = bare()
    write_results(old, tmp_path / "r.h5")

    def full_disk(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_results(full(), tmp_path / "r.h5")
    assert_equal(read_results(tmp_path / "r.h5"), old)
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5"]


def test_results_are_written_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("fastpty.results.version", version)
    write_results(bare(), tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        assert set(json.loads(file.attrs["versions"])) == {"fastpty", "python", "numpy", "h5py"}


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.h5: does not exist\. Check the path"):
        read_results(tmp_path / "absent.h5")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a reconstruction"):
        read_results(tmp_path)


def test_another_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(DataError, match=r"^scan\.h5: is no fastpty reconstruction"):
        read_results(tmp_path / "scan.h5")


def test_no_hdf5(tmp_path: Path) -> None:
    (tmp_path / "r.h5").write_text("text")
    with pytest.raises(DataError, match=r"cannot be read as a reconstruction .*complete\?"):
        read_results(tmp_path / "r.h5")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_results(full(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read as a reconstruction"):
        read_results(path)


@pytest.mark.parametrize("name", ["object/phase", "probe", "positions", "history", "history/loss"])
@pytest.mark.parametrize("how", ["absent", "a group"])
def test_a_missing_part(tmp_path: Path, name: str, how: str) -> None:
    path = tmp_path / "r.h5"
    write_results(full(), path)
    with h5py.File(path, "a") as file:
        del file[name]
        if how == "a group":
            file.create_group(name)
    with pytest.raises(DataError, match="cannot be read as a reconstruction"):
        read_results(path)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("config", "{"), ("aberrations_A", "{"), ("wavelength_A", "long"), ("format_version", "new")],
)
def test_a_damaged_attribute(tmp_path: Path, attribute: str, value: object) -> None:
    path = tmp_path / "r.h5"
    write_results(full(), path)
    with h5py.File(path, "a") as file:
        file.attrs[attribute] = value
    with pytest.raises(DataError, match="cannot be read as a reconstruction"):
        read_results(path)


def test_the_first_format_is_still_read(tmp_path: Path) -> None:
    """Where thickness and tilt were attributes: one number, one pair."""
    path = tmp_path / "r.h5"
    results = dataclasses.replace(full(), occupancy=None, aberrations={}, seed=None, device=None)
    results.history.unknowns, results.history.constraints = {}, {}
    write_results(results, path)
    with h5py.File(path, "a") as file:
        del file["tilt"], file["thickness"]
        for name in ("stage", "passes", "change"):
            del file["history"][name]
        file.attrs.update(format_version=1, slice_thickness_A=9.5, tilt_mrad=(1.5, -2.0))
    results.history.stage, results.history.passes, results.history.change = [0, 0], [1, 1], {}
    expected = dataclasses.replace(
        results, thickness=np.array(9.5, np.float32), tilt=np.array([[1.5, -2.0]], np.float32)
    )
    assert_equal(read_results(path), expected)


def test_a_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_results(bare(), path)
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(DataError, match=r"^r\.h5: has format version 99.*Update fastpty"):
        read_results(path)
