"""What ``fastpty info FILE`` says of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastpty.config.init import data_section
from fastpty.config.load import parse_value
from fastpty.describe import config_lines, describe
from tests.io.writers import write_dectris


def look(path: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    content = describe(path, data_section(path, options, overrides))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    return content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    patterns = np.zeros((2, 3, 4, 6), np.uint16)
    patterns[:, :, 1, 2] = 8
    patterns[0, 0, 1, 2] = 65535
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = patterns
        file.attrs.update(
            energy_kv=200.0, scan_step_A=0.5, dk_invA=0.02, author="me", long="x" * 99
        )
    return tmp_path / "scan.h5"


def test_the_file(path: Path) -> None:
    found = look(path)
    assert found["format"] == "hdf5 (an HDF5 file)"
    assert found["size"] == path.stat().st_size
    assert found["dataset"] == "data"
    assert (found["patterns"], found["pattern shape"], found["scan shape"]) == (6, [4, 6], [2, 3])
    assert (found["dtype"], found["bytes of all patterns"]) == ("uint16", 6 * 4 * 6 * 2)
    assert found["calibration"] == {"energy_kv": 200.0, "dk_invA": 0.02, "scan_step_A": 0.5}
    assert found["other"] == {"author": "me"}


def test_the_sample(path: Path) -> None:
    assert look(path)["sample"] == {
        "patterns": 6,
        "minimum": 0.0,
        "maximum": 65535.0,
        "mean": pytest.approx((65535 + 5 * 8) / 144, rel=1e-5),
        "mean sum of a pattern": pytest.approx((65535 + 5 * 8) / 6, rel=1e-5),
        "zeros": pytest.approx(23 / 24, rel=1e-5),
        "negative": 0,
        "not finite": 0,
        "at the type's maximum": 1,
        "centre of mass": [1.0, 2.0],
    }


def test_the_config_has_what_the_file_says(path: Path) -> None:
    lines = config_lines(look(path)["config"])
    content = parse_value("\n".join(lines[1:]))
    assert content["data"] == {"path": str(path), "dataset": "data"}
    assert content["beam"]["energy_kv"] == 200
    assert content["beam"]["semiangle_mrad"] is None
    assert content["calibration"] == {"dk": 0.02}
    assert content["scan"]["step"] == 0.5
    assert [line for line in lines if "FILL IN" in line] == ["    semiangle_mrad:   # FILL IN"]


def test_values_that_are_no_counts(tmp_path: Path) -> None:
    patterns = np.ones((3, 4, 4), np.float32)
    patterns[0, 0, 0], patterns[1, 0, 0] = np.nan, -1
    np.save(tmp_path / "scan.npy", patterns)
    found = look(tmp_path / "scan.npy")
    assert (found["sample"]["negative"], found["sample"]["not finite"]) == (1, 1)
    assert found["sample"]["minimum"] == -1
    assert found["config"]["data"]["negative"] == "clip"
    assert found["config"]["data"]["scan_shape"] is None  # to be filled in


def test_nothing_but_nan(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.full((3, 4, 4), np.nan))
    sample = look(tmp_path / "scan.npy")["sample"]
    assert (sample["minimum"], sample["mean"], sample["centre of mass"]) == (None, None, None)


def test_bad_pixels_are_left_out(tmp_path: Path) -> None:
    patterns = np.ones((4, 4, 6), np.uint16)
    mask = np.zeros((4, 6), np.uint32)
    mask[0, 1], patterns[:, 0, 1] = 1, 65535
    found = look(write_dectris(tmp_path, [patterns], mask))
    assert found["bad pixels"] == 1
    assert (found["sample"]["maximum"], found["sample"]["at the type's maximum"]) == (1, 0)


def test_a_file_without_a_header_is_described_by_its_options(tmp_path: Path) -> None:
    path = tmp_path / "scan.bin"
    np.arange(6 * 4 * 5, dtype=">u2").tofile(path)
    found = look(path, "data.dtype='>u2'", pattern_shape=(4, 5), scan_shape=(2, 3))
    assert found["sample"]["maximum"] == 119
    assert found["config"]["data"] == {
        "path": str(path),
        "pattern_shape": [4, 5],
        "scan_shape": [2, 3],
        "dtype": ">u2",
    }


def test_a_folder_has_the_size_of_its_files(tmp_path: Path) -> None:
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.ones((4, 4)))
    assert look(tmp_path)["size"] == 3 * (128 + 128)
