"""NumPy files, alone and in archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan
from fastpty.io.npy import read_npy

STACK = np.arange(12 * 4 * 6, dtype=np.float32).reshape(12, 4, 6)
RASTER = STACK.reshape(3, 4, 4, 6)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("array", "scan_shape"), [(STACK, None), (RASTER, (3, 4))])
def test_npy(
    tmp_path: Path, array: np.ndarray, scan_shape: tuple[int, int] | None, order: str
) -> None:
    np.save(tmp_path / "scan.npy", np.asarray(array, order=order))
    scan = open_scan(tmp_path / "scan.npy")
    assert (scan.shape, scan.scan_shape, scan.dataset) == (STACK.shape, scan_shape, None)
    np.testing.assert_array_equal(scan.read(5, 11), STACK[5:11])


def test_npy_is_mapped_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", RASTER)
    assert isinstance(read_npy(tmp_path / "scan.npy", None, (4,)), np.memmap)
    patterns = open_scan(tmp_path / "scan.npy").read(0, 2)
    assert not patterns.flags.writeable
    assert not patterns.flags.owndata


def test_npy_is_known_by_its_content(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", STACK)
    (tmp_path / "scan.npy").rename(tmp_path / "12:30.dat")
    scan = open_scan(tmp_path / "12:30.dat")
    assert scan.shape == STACK.shape
    assert scan.dataset is None


@pytest.mark.parametrize("suffix", [".npz", ".NPZ"])
def test_npz_with_one_candidate(tmp_path: Path, suffix: str) -> None:
    np.savez(tmp_path / "scan.npz", counts=RASTER, mask=np.ones((4, 6)))
    path = (tmp_path / "scan.npz").rename(tmp_path / f"scan{suffix}")
    scan = open_scan(path)
    assert scan.dataset == "counts"
    assert scan.scan_shape == (3, 4)
    np.testing.assert_array_equal(scan.read(0, 12), STACK)


def test_npz_with_several_candidates(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, first=STACK, second=STACK + 1)
    with pytest.raises(DataError, match=r"^data\.dataset: .* 2 arrays that fit.*first, second"):
        open_scan(path)
    np.testing.assert_array_equal(open_scan(path, dataset="second").read(0, 12), STACK + 1)


@pytest.mark.parametrize(
    ("name", "dataset", "message"),
    [
        ("scan.npz", "x", r"^data\.dataset: scan\.npz has no array 'x'\. It holds: mask"),
        ("scan.npz", None, r"^data\.dataset: scan\.npz has 0 arrays that fit"),
        ("scan.npz", "mask", r"has shape \(4, 6\); patterns are"),
        ("scan.npy", "x", r"^data\.dataset: is 'x', but scan\.npy holds one array\. Remove it"),
        ("short.npy", None, r"short\.npy: cannot be read as npy or npz .*complete\?"),
        ("short.npz", None, r"short\.npz: cannot be read as npy or npz .*complete\?"),
        ("objects.npy", None, r"objects\.npy: cannot be read as npy or npz"),
        ("wave.npy", None, "wave.npy holds complex128, but patterns are real"),
    ],
)
def test_refusals(tmp_path: Path, name: str, dataset: str | None, message: str) -> None:
    np.savez(tmp_path / "scan.npz", mask=np.ones((4, 6)))
    np.save(tmp_path / "scan.npy", STACK)
    np.save(tmp_path / "wave.npy", STACK.astype(complex))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    for kind in ("npy", "npz"):
        content = (tmp_path / f"scan.{kind}").read_bytes()
        (tmp_path / f"short.{kind}").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path / name, dataset=dataset)


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez_compressed(path, counts=STACK)
    content = bytearray(path.read_bytes())
    content[100:140] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as npy or npz"):
        open_scan(path)
