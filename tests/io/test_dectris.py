"""Dectris masters: linked files, their compression, the detector's mask, and missing parts."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan
from tests.io.writers import write_dectris

STACK = np.arange(12 * 4 * 6, dtype=np.uint16).reshape(12, 4, 6)
PARTS = [STACK[:5], STACK[5:10], STACK[10:]]


def test_the_parts_are_one_scan(tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    with open_scan(write_dectris(tmp_path, PARTS)) as scan:
        assert (scan.format, scan.shape, scan.dtype) == ("dectris", STACK.shape, STACK.dtype)
        assert scan.mask is None
        for start, stop in [(0, 12), (4, 6), (5, 10), (11, 12), (3, 11)]:
            np.testing.assert_array_equal(scan.read(start, stop), STACK[start:stop])


def test_the_files_are_compressed_as_the_detector_does(tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    write_dectris(tmp_path, PARTS)
    with h5py.File(tmp_path / "scan_data_000001.h5") as file:
        creation = file["entry/data/data"].id.get_create_plist()
        assert creation.get_filter(0)[0] == 32008  # bitshuffle, with lz4


def test_bad_pixels_become_the_mask(tmp_path: Path) -> None:
    """Gaps, dead and noisy pixels have different bits; any of them is bad."""
    mask = np.zeros((4, 6), np.uint32)
    mask[1, 2], mask[3, 5], mask[0, 0] = 1, 2, 1 << 8
    patterns = STACK.copy()
    patterns[:, mask > 0] = 2**16 - 1
    with open_scan(write_dectris(tmp_path, [patterns], mask)) as scan:
        assert scan.mask is not None
        np.testing.assert_array_equal(scan.mask, mask == 0)


@pytest.mark.parametrize("mask", [np.zeros((4, 6), "u4"), np.ones((8, 12), "u4")])
def test_a_mask_that_says_nothing(tmp_path: Path, mask: np.ndarray) -> None:
    """All pixels good, or a list for frames that were not binned."""
    with open_scan(write_dectris(tmp_path, [STACK], mask)) as scan:
        assert scan.mask is None


def test_what_the_master_says(tmp_path: Path) -> None:
    master = write_dectris(
        tmp_path,
        PARTS,
        detector__description=np.bytes_("Dectris ARINA"),
        detector__count_time=1e-5,
        detector__bit_depth_image=16,
        beam__incident_energy=2e5,
        detector__detectorSpecific__ntrigger=3,
        detector__detectorSpecific__nimages=4,
    )
    with open_scan(master) as scan:
        assert scan.scan_shape == (3, 4)
        assert scan.metadata == {
            "detector": "Dectris ARINA",
            "exposure_ms": 0.01,
            "energy_kv": 200.0,
            "bit_depth": 16,
        }


def test_a_missing_part(tmp_path: Path) -> None:
    master = write_dectris(tmp_path, PARTS)
    (tmp_path / "scan_data_000002.h5").unlink()
    message = (
        r"^scan_master\.h5: links to 'scan_data_000002\.h5' \(data_000002 of 3\), which is not in"
    )
    with pytest.raises(DataError, match=message):
        open_scan(master)
    with open_scan(master, scan_mismatch="crop", scan_shape=(3, 4)) as scan:
        assert scan.scan_shape == (1, 4)


def test_no_part_at_all(tmp_path: Path) -> None:
    master = write_dectris(tmp_path, [STACK])
    (tmp_path / "scan_data_000001.h5").unlink()
    with pytest.raises(DataError, match=r"links to 'scan_data_000001\.h5'"):
        open_scan(master, scan_mismatch="crop")


@pytest.mark.parametrize("cut", [200, 10**9])
def test_a_truncated_part(tmp_path: Path, cut: int) -> None:
    master = write_dectris(tmp_path, PARTS)
    part = tmp_path / "scan_data_000002.h5"
    part.write_bytes(part.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"^scan_data_000002\.h5: cannot be read as part of scan_m"):
        open_scan(master)


def test_parts_that_differ(tmp_path: Path) -> None:
    master = write_dectris(tmp_path, [STACK, STACK[:, :, :4]])
    message = r"^scan_data_000002\.h5:.*holds frames of \(4, 4\) uint16, but scan_data_000001"
    with pytest.raises(DataError, match=message):
        open_scan(master)


def test_another_hdf5_file_is_no_master(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = STACK
    with pytest.raises(DataError, match=r"^scan\.h5: is no Dectris master.*_master\.h5"):
        open_scan(tmp_path / "scan.h5", format="dectris")


def test_closing_closes_the_parts_too(tmp_path: Path) -> None:
    scan = open_scan(write_dectris(tmp_path, PARTS))
    scan.close()
    scan.close()
    with h5py.File(tmp_path / "scan_data_000001.h5", "r+"):
        pass
