"""Zarr stores of both versions, and HyperSpy's zspy, which is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

zarr = pytest.importorskip("zarr")

STACK = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)
# Version 3 of the format came with version 3 of the package.
OLD = int(zarr.__version__.split(".")[0]) == 2
FORMATS = (2,) if OLD else (2, 3)


def write(path: Path, version: int, **arrays: np.ndarray) -> Path:
    root = zarr.open_group(str(path), mode="w", **({} if OLD else {"zarr_format": version}))
    for name, array in arrays.items():
        create = root.create_dataset if OLD else root.create_array
        item = create(name, shape=array.shape, dtype=array.dtype, chunks=_chunks(array))
        item[...] = array
    root.attrs["energy_kv"] = 200.0
    return path


def _chunks(array: np.ndarray) -> tuple[int, ...]:
    return (2, *array.shape[1:])


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("name", ["scan.zarr", "scan"])
def test_a_stack(tmp_path: Path, version: int, name: str) -> None:
    path = write(tmp_path / name, version, **{"a/data": STACK, "mask": np.ones((4, 5))})
    with open_scan(path) as scan:
        assert (scan.format, scan.shape, scan.dataset) == ("zarr", STACK.shape, "a/data")
        assert scan.metadata == {"energy_kv": 200.0}
        np.testing.assert_array_equal(scan.read(1, 6), STACK[1:])


def test_a_store_that_is_one_array(tmp_path: Path) -> None:
    array = zarr.open_array(
        str(tmp_path / "scan.zarr"), mode="w", shape=(2, 3, 4, 5), chunks=(1, 3, 4, 5), dtype="u2"
    )
    array[...] = STACK.reshape(2, 3, 4, 5)
    scan = open_scan(tmp_path / "scan.zarr")
    assert (scan.scan_shape, scan.dataset) == ((2, 3), None)
    np.testing.assert_array_equal(scan.read(2, 6), STACK[2:])


def test_named_axes(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.zarr", 2, data=np.moveaxis(STACK, 0, 2))
    scan = open_scan(path, axes=("y", "x", "n"))
    np.testing.assert_array_equal(scan.read(1, 3), STACK[1:3])


def test_the_scales_of_zspy(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.zspy", 2, **{"Experiments/s/data": STACK.reshape(2, 3, 4, 5)})
    root = zarr.open_group(str(path), mode="a")
    for i, (scale, unit) in enumerate([(0.1, "nm"), (0.1, "nm"), (0.2, "1/nm"), (0.2, "1/nm")]):
        root.create_group(f"Experiments/s/axis-{i}").attrs.update(scale=scale, units=unit)
    scan = open_scan(path)
    assert scan.metadata["scan_step_A"] == pytest.approx(1.0)
    assert scan.metadata["dk_invA"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("arrays", "dataset", "message"),
    [
        ({"a": STACK, "b": STACK}, None, r"^data\.dataset: s\.zarr has 2 arrays that fit.*a \[6"),
        ({"a": STACK}, "c", r"^data\.dataset: s\.zarr has no array 'c'\. It holds: a \[6, 4, 5\]"),
        ({}, None, r"^data\.dataset: s\.zarr has 0 arrays that fit.*It holds: none"),
        ({"a": STACK * 1j}, None, r"^data: s\.zarr:a holds complex128"),
    ],
)
def test_the_choice(
    tmp_path: Path, arrays: dict[str, Any], dataset: str | None, message: str
) -> None:
    path = write(tmp_path / "s.zarr", 2, **arrays)
    with pytest.raises(DataError, match=message):
        open_scan(path, dataset=dataset)


def test_damaged_notes(tmp_path: Path) -> None:
    path = write(tmp_path / "s.zarr", 2, a=STACK)
    (path / "a" / ".zarray").write_text("{")
    with pytest.raises(DataError, match=r"s\.zarr: cannot be read as zarr"):
        open_scan(path)


def test_a_damaged_chunk(tmp_path: Path) -> None:
    path = write(tmp_path / "s.zarr", 2, a=STACK)
    (path / "a" / "2.0.0").write_bytes(b"not compressed")
    with pytest.raises(DataError, match=r"s\.zarr:a: cannot be read as zarr"):
        open_scan(path)
