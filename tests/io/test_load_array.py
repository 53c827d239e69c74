"""Small arrays from files, with the config field that asked in every message."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import load_array

PLANE = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.save(tmp_path / "plane.npy", PLANE)
    np.savez(tmp_path / "plane.npz", plane=PLANE, line=PLANE[0])
    with h5py.File(tmp_path / "plane.h5", "w") as file:
        file["a/plane"] = PLANE
        file["line"] = PLANE[0]
        file["a/text"] = np.array([[b"x"]])
    np.save(tmp_path / "nan.npy", np.where(PLANE > 9, np.nan, PLANE))
    np.save(tmp_path / "text.npy", PLANE.astype(str))
    (tmp_path / "plane.csv").write_text("1,2")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("plane.npy", None),
        ("plane.npz", None),
        ("plane.npz", "plane"),
        ("plane.h5", "a/plane"),
        ("plane.h5", "/a/plane"),
    ],
)
def test_all_formats(files: Path, name: str, dataset: str | None) -> None:
    np.testing.assert_array_equal(load_array("f", files / name, dataset, (2,)), PLANE)


def test_it_is_a_copy_that_may_be_changed(files: Path) -> None:
    load_array("f", files / "plane.npy", None, (2,))[:] = 0
    np.testing.assert_array_equal(np.load(files / "plane.npy"), PLANE)


@pytest.mark.parametrize(
    ("name", "dataset", "ranks", "message"),
    [
        ("plane.npy", None, (1, 3), r"^f: plane\.npy has shape \(3, 4\); 1-D or 3-D is needed"),
        ("plane.npy", "x", (2,), r"^f\.dataset: is 'x', but plane\.npy holds one array"),
        ("plane.npz", "x", (2,), r"^f\.dataset: plane\.npz has no array 'x'"),
        ("plane.h5", "b", (2,), r"^f\.dataset: .* has no dataset 'b'"),
        ("plane.h5", None, (2,), r"^f\.dataset: .* more than one 2-D dataset"),
        ("plane.h5", "line", (2,), r"^f: plane\.h5 has shape \(4,\); 2-D is needed"),
        ("plane.h5", "a/text", (2,), r"^f: plane\.h5 holds .*, which are no numbers"),
        ("nan.npy", None, (2,), r"^f: nan\.npy has 2 values that are NaN or infinite"),
        ("text.npy", None, (2,), r"^f: text\.npy holds <U\d+, which are no numbers"),
        ("plane.csv", None, (2,), r"^f: plane\.csv is neither HDF5 nor npy nor npz\. Convert it"),
    ],
)
def test_refusals(
    files: Path, name: str, dataset: str | None, ranks: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_array("f", files / name, dataset, ranks)
