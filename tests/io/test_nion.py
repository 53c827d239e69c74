"""Nion Swift: ndata (a zip) and its HDF5 twin, with the scales of their JSON."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

RASTER = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
PROPERTIES: dict[str, Any] = {
    "dimensional_calibrations": [
        {"offset": 0.0, "scale": 0.05, "units": "nm"},
        {"offset": 0.0, "scale": 0.06, "units": "nm"},
        {"offset": -0.02, "scale": 0.0005, "units": "rad"},
        {"offset": -0.02, "scale": 0.0005, "units": "rad"},
    ],
    "metadata": {"instrument": {"high_tension": 60000.0}},
}
KNOWN = {"scan_step_A": [0.5, pytest.approx(0.6)], "mrad_per_pixel": 0.5, "energy_kv": 60.0}


def write_ndata(
    path: Path,
    array: np.ndarray,
    properties: Any = PROPERTIES,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    stream = io.BytesIO()
    np.save(stream, array)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("data.npy", stream.getvalue())
        archive.writestr("metadata.json", json.dumps(properties))
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_ndata(tmp_path: Path, compression: int) -> None:
    scan = open_scan(write_ndata(tmp_path / "scan.ndata", RASTER, compression=compression))
    assert (scan.format, scan.shape, scan.scan_shape) == ("nion", (6, 4, 6), (2, 3))
    assert scan.metadata == KNOWN
    np.testing.assert_array_equal(scan.read(1, 5), RASTER.reshape(6, 4, 6)[1:5])


def test_ndata_is_mapped(tmp_path: Path) -> None:
    scan = open_scan(write_ndata(tmp_path / "scan.ndata", RASTER))
    patterns = scan.read(0, 2)
    assert not patterns.flags.owndata
    assert not patterns.flags.writeable


def test_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = RASTER
        file["data"].attrs["properties"] = json.dumps(PROPERTIES)
    with open_scan(tmp_path / "scan.h5") as scan:
        assert (scan.format, scan.dataset, scan.metadata) == ("hdf5", "data", KNOWN)


def test_exported_hdf5(tmp_path: Path) -> None:
    """Items are numbered; an image may have been exported with the scan."""
    with h5py.File(tmp_path / "scan.nhdf", "w") as file:
        for name, array in (("0", RASTER[0, 0]), ("1", RASTER)):
            file[f"data/{name}"] = array
            file[f"data/{name}"].attrs["properties"] = json.dumps(PROPERTIES)
    with open_scan(tmp_path / "scan.nhdf") as scan:
        assert (scan.dataset, scan.metadata) == ("data/1", KNOWN)


def test_scales_of_the_library_are_one_level_down(tmp_path: Path) -> None:
    notes = {"data_sources": [{"dimensional_calibrations": PROPERTIES["dimensional_calibrations"]}]}
    scan = open_scan(write_ndata(tmp_path / "scan.ndata", RASTER, notes))
    assert scan.metadata == {name: KNOWN[name] for name in ("scan_step_A", "mrad_per_pixel")}


@pytest.mark.parametrize("properties", [{}, [], {"dimensional_calibrations": [None]}])
def test_a_file_without_scales(tmp_path: Path, properties: Any) -> None:
    scan = open_scan(write_ndata(tmp_path / "scan.ndata", RASTER, properties))
    assert scan.metadata == {}


def test_an_image_is_no_scan(tmp_path: Path) -> None:
    path = write_ndata(tmp_path / "scan.ndata", RASTER[0, 0])
    with pytest.raises(DataError, match=r"^data: scan\.ndata has shape \(4, 6\); patterns are"):
        open_scan(path)


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_truncated_file(tmp_path: Path, keep: float) -> None:
    path = write_ndata(tmp_path / "scan.ndata", RASTER)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"scan\.ndata: cannot be read as Nion ndata .*complete"):
        open_scan(path)


def test_notes_that_are_no_json(tmp_path: Path) -> None:
    path = write_ndata(tmp_path / "scan.ndata", RASTER)
    path.write_bytes(path.read_bytes().replace(b'{"dimensional', b"{{dimensional"))
    with pytest.raises(DataError, match="cannot be read as Nion ndata"):
        open_scan(path)
