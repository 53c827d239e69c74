"""HDF5 scans: any path, any shape, and a helpful refusal of everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import load_array, open_scan

STACK = np.arange(12 * 4 * 6, dtype=np.uint16).reshape(12, 4, 6)
RASTER = STACK.reshape(3, 4, 4, 6)
UNKNOWN = 300  # a number that The HDF Group keeps for tests


def write(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
    return path


def is_open(path: Path) -> bool:
    """Whether this process holds the file open: HDF5 then refuses to write it."""
    try:
        with h5py.File(path, "r+"):
            return False
    except OSError:
        return True


@pytest.mark.parametrize("dataset", ["entry/data/counts", "/entry/data/counts", None])
def test_a_stack(tmp_path: Path, dataset: str | None) -> None:
    path = write(tmp_path / "scan.h5", **{"entry/data/counts": STACK})
    with open_scan(path, dataset=dataset) as scan:
        assert scan.shape == STACK.shape
        assert scan.scan_shape is None
        assert scan.dtype == STACK.dtype
        assert scan.dataset == "entry/data/counts"
        assert scan.source == "scan.h5:/entry/data/counts"
        np.testing.assert_array_equal(scan.read(3, 7), STACK[3:7])


def test_a_raster(tmp_path: Path) -> None:
    with open_scan(write(tmp_path / "scan.h5", data=RASTER)) as scan:
        assert scan.scan_shape == (3, 4)
        assert scan.shape == STACK.shape
        np.testing.assert_array_equal(scan.read(0, 12), STACK)


def test_the_extension_does_not_matter(tmp_path: Path) -> None:
    with open_scan(write(tmp_path / "scan.emd", data=STACK)) as scan:
        assert scan.shape == STACK.shape


def test_the_truth_is_no_measurement(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", **{"data": STACK, "truth/phase": np.zeros((2, 9, 9))})
    with open_scan(path) as scan:
        assert scan.dataset == "data"
    with open_scan(path, dataset="truth/phase") as scan:
        assert scan.shape == (2, 9, 9)


def test_attributes_become_plain_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", data=STACK)
    with h5py.File(path, "a") as file:
        file.attrs["energy_kv"] = np.float64(300)
        file.attrs["pixel_size_A"] = [0.2, 0.3]
        file.attrs["format"] = "text"
    with open_scan(path) as scan:
        assert scan.metadata == {"energy_kv": 300.0, "pixel_size_A": [0.2, 0.3], "format": "text"}
        assert type(scan.metadata["energy_kv"]) is float


def test_links_are_followed(tmp_path: Path) -> None:
    """A NeXus master file only links to the files with the data."""
    write(tmp_path / "part.h5", data=STACK)
    master = tmp_path / "master.h5"
    with h5py.File(master, "w") as file:
        file["entry/outside"] = h5py.ExternalLink("part.h5", "data")
        file["entry/inside"] = h5py.SoftLink("/entry/outside")
        file["entry/nowhere"] = h5py.SoftLink("/absent")
    for name in ("entry/outside", "entry/inside"):
        with open_scan(master, dataset=name) as scan:
            np.testing.assert_array_equal(scan.read(2, 3), STACK[2:3])
    with pytest.raises(DataError, match="has no dataset 'entry/nowhere'"):
        open_scan(master, dataset="entry/nowhere")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("entry/cuonts", r"has no dataset 'entry/cuonts'\. Did you mean 'entry/counts'\?"),
        (
            "qqq",
            r"has no dataset 'qqq'\. It holds: .*entry/counts \[12, 4, 6\], entry/nothing \[\]",
        ),
        ("entry", r"'entry' in .* is a group\. It holds: entry/counts \[12, 4, 6\]"),
        ("/", "is a group"),
        ("mask", r"mask has shape \(4, 6\); patterns are \[N, Ny, Nx\]"),
        ("entry/nothing", r"entry/nothing has shape \(\)"),
        ("wave", "wave holds complex64, but patterns are real"),
        ("names", "names holds .*, but patterns are real"),
        ("switches", "switches holds bool, but patterns are real"),
        ("empty", r"empty has shape \(0, 4, 6\), which holds no patterns"),
        ("line", r"line has shape \(3, 1, 6\), which holds no patterns"),
    ],
)
def test_a_wrong_dataset(tmp_path: Path, dataset: str, message: str) -> None:
    path = write(
        tmp_path / "scan.h5",
        **{
            "entry/counts": STACK,
            "entry/nothing": h5py.Empty("f4"),
            "mask": np.ones((4, 6)),
            "wave": np.zeros((2, 4, 6), np.complex64),
            "names": np.array([[[b"ab"]]]),
            "switches": np.zeros((2, 4, 6), bool),
            "empty": np.zeros((0, 4, 6)),
            "line": np.zeros((3, 1, 6)),
        },
    )
    with pytest.raises(DataError, match=message) as caught:
        open_scan(path, dataset=dataset)
    assert caught.value.field.startswith("data")
    assert not is_open(path)


def test_an_ambiguous_file(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", a=STACK, b=RASTER)
    with pytest.raises(DataError, match=r"^data\.dataset: .*more than one 3-D or 4-D.*a \[12, 4"):
        open_scan(path)


@pytest.mark.parametrize("content", [{}, {"mask": np.ones((4, 6)), "nothing": h5py.Empty("f4")}])
def test_a_file_without_patterns(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^data\.dataset: .* has no 3-D or 4-D dataset"):
        open_scan(write(tmp_path / "scan.h5", **content))


def test_a_long_listing_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", **{f"d{i:02}": np.zeros(1) for i in range(20)})
    with pytest.raises(DataError, match=r"d11 \[1\] and 8 more\.$"):
        open_scan(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", data=STACK)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be opened as HDF5.*Is the file complete\?"):
        open_scan(path)


def test_damaged_values(tmp_path: Path) -> None:
    """A checksum that is wrong shows only when the values are read."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", data=STACK, chunks=STACK.shape, fletcher32=True)
        start = data.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[start] ^= 0xFF
    path.write_bytes(content)
    with open_scan(path) as scan, pytest.raises(DataError, match=r"^scan\.h5:/data: cannot be re"):
        scan.read(0, 1)
    with pytest.raises(DataError, match=r"^probe: scan\.h5"):
        load_array("probe", path, None, (3,))


def write_with_unknown_filter(path: Path) -> None:
    with h5py.File(path, "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk(STACK.shape)
        creation.set_filter(UNKNOWN, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(STACK.shape)
        kind = h5py.h5t.py_create(STACK.dtype)
        dataset = h5py.h5d.create(file.id, b"data", kind, space, dcpl=creation)
        dataset.write_direct_chunk((0, 0, 0), STACK.tobytes())


def test_a_missing_filter(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    write_with_unknown_filter(path)
    message = rf"compressed with a filter .*{UNKNOWN}.*pip install 'fastpty\[readers\]'"
    with pytest.raises(DataError, match=message):
        open_scan(path)
    assert not is_open(path)
    with pytest.raises(DataError, match=message):
        load_array("probe", path, None, (3,))


def test_a_scan_is_closed(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", data=STACK)
    scan = open_scan(path)
    assert is_open(path)
    scan.close()
    assert not is_open(path)
    scan.close()  # twice is no error


def test_an_error_in_the_block_closes_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", data=STACK)
    with pytest.raises(KeyboardInterrupt), open_scan(path):
        raise KeyboardInterrupt
    assert not is_open(path)
