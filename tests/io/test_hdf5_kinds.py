"""HDF5 as other programs write it: the right dataset, axes and scales without being told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

STACK = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)
RASTER = STACK.reshape(2, 3, 4, 5)


def write_emd1(path: Path, **calibration: Any) -> Path:
    """py4DSTEM 0.14 and later; the layout is that of its package emdfile, version 0.0.16."""
    with h5py.File(path, "w") as file:
        file.attrs.update(
            emd_group_type="file", version_major=1, version_minor=0, authoring_program="emdfile"
        )
        root = file.create_group("datacube_root")
        root.attrs.update(emd_group_type="root", python_class="Root")
        cube = root.create_group("datacube")
        cube.attrs.update(emd_group_type="array", python_class="DataCube")
        cube["data"] = RASTER
        units = ("A", "A", "A^-1", "A^-1")
        for i, (step, unit) in enumerate(zip((0.5, 0.5, 0.02, 0.02), units, strict=True)):
            cube[f"dim{i}"] = [0.0, step]  # the first two of a linear axis
            cube[f"dim{i}"].attrs["units"] = unit
        image = root.create_group("probe")  # 3-D as well, and no scan
        image.attrs.update(emd_group_type="array", python_class="Probe")
        image["data"] = np.zeros((2, 4, 5))
        bundle = root.create_group("metadatabundle/calibration")
        for name, value in calibration.items():
            bundle[name] = value
    return path


def test_py4dstem(tmp_path: Path) -> None:
    with open_scan(write_emd1(tmp_path / "scan.h5")) as scan:
        assert (scan.dataset, scan.scan_shape) == ("datacube_root/datacube/data", (2, 3))
        assert scan.metadata["scan_step_A"] == 0.5
        assert scan.metadata["dk_invA"] == 0.02
        np.testing.assert_array_equal(scan.read(0, 6), STACK)


def test_py4dstems_calibration_counts_more_than_the_axes(tmp_path: Path) -> None:
    given = {
        "Q_pixel_size": 0.03,
        "Q_pixel_units": "A^-1",
        "R_pixel_size": 0.07,
        "R_pixel_units": "nm",
        "QR_rotation_degrees": 12.0,
    }
    with open_scan(write_emd1(tmp_path / "scan.h5", **given)) as scan:
        assert scan.metadata["scan_step_A"] == pytest.approx(0.7)
        assert scan.metadata["dk_invA"] == 0.03
        assert scan.metadata["qr_rotation_deg"] == 12.0


@pytest.mark.parametrize("reverse", [False, True])
def test_emd_of_the_ncem(tmp_path: Path, reverse: bool) -> None:
    """Writers differ in the order of the axes; their units say which it is."""
    axes = [(0.1, "[n_m]"), (0.1, "[n_m]"), (0.2, "1/nm"), (0.2, "1/nm")]
    if reverse:
        axes = axes[::-1]
    with h5py.File(tmp_path / "scan.emd", "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group("data/scan")
        group.attrs["emd_group_type"] = 1
        group["data"] = RASTER.T if reverse else RASTER
        for i, (step, unit) in enumerate(axes, 1):
            group[f"dim{i}"] = step * np.arange(group["data"].shape[i - 1])
            group[f"dim{i}"].attrs["units"] = np.bytes_(unit)
    with open_scan(tmp_path / "scan.emd") as scan:
        assert (scan.shape, scan.scan_shape) == (STACK.shape, (2, 3))
        assert scan.metadata["scan_step_A"] == pytest.approx(1.0)
        assert scan.metadata["dk_invA"] == pytest.approx(0.02)
        np.testing.assert_array_equal(scan.read(1, 6), STACK[1:])


def test_velox(tmp_path: Path) -> None:
    """Frames are last, a chunk each; what the microscope notes is JSON in bytes."""
    notes = {
        "Optics": {"AccelerationVoltage": "300000", "CameraLength": "0.115"},
        "BinaryResult": {
            "PixelSize": {"height": "2e8", "width": "2e8"},
            "PixelUnitX": "1/m",
            "PixelUnitY": "1/m",
        },
    }
    text = np.frombuffer(json.dumps(notes).encode().ljust(600, b"\0"), np.uint8)
    with h5py.File(tmp_path / "scan.emd", "w") as file:
        file["Version"] = [json.dumps({"format": "Velox", "version": "1.9"}).encode()]
        image = file.create_group("Data/Image/0123")
        image.create_dataset("Data", data=np.moveaxis(STACK, 0, 2), chunks=(4, 5, 1))
        image["Metadata"] = np.stack([text, text], axis=1)
        file["Data/Image/4567/Data"] = np.zeros((4, 5), "u2")
    with open_scan(tmp_path / "scan.emd") as scan:
        assert (scan.dataset, scan.shape) == ("Data/Image/0123/Data", STACK.shape)
        np.testing.assert_array_equal(scan.read(2, 5), STACK[2:5])
        assert scan.metadata["energy_kv"] == 300.0
        assert scan.metadata["camera_length_mm"] == pytest.approx(115.0)
        assert scan.metadata["dk_invA"] == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["gone", "data/gone", "entry/data", "Version", "data"])
@pytest.mark.parametrize("external", [False, True])
def test_links_to_nowhere_do_not_matter(tmp_path: Path, name: str, external: bool) -> None:
    link = h5py.ExternalLink("absent.h5", "x") if external else h5py.SoftLink("/absent")
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["scan"] = STACK
        file[name] = link
    with open_scan(tmp_path / "scan.h5") as scan:
        assert scan.dataset == "scan"


def test_a_kind_with_several_scans_asks(tmp_path: Path) -> None:
    path = write_emd1(tmp_path / "scan.h5")
    with h5py.File(path, "a") as file:
        file.copy("datacube_root/datacube", "datacube_root/second")
    with pytest.raises(DataError, match=r"^data\.dataset: .*more than one 3-D or 4-D"):
        open_scan(path)
    with open_scan(path, dataset="datacube_root/second/data") as scan:
        assert scan.metadata["scan_step_A"] == 0.5


@pytest.mark.parametrize("notes", [b"no json", b'{"Optics": 3}', b"\xff\xfe"])
def test_notes_that_are_damaged_are_left_out(tmp_path: Path, notes: bytes) -> None:
    with h5py.File(tmp_path / "scan.emd", "w") as file:
        file["Version"] = [b'{"format": "Velox"}']
        image = file.create_group("Data/Image/0123")
        image["Data"] = np.moveaxis(STACK, 0, 2)
        image["Metadata"] = np.frombuffer(notes, np.uint8)[:, None]
    with open_scan(tmp_path / "scan.emd") as scan:
        assert scan.metadata == {}


@pytest.mark.parametrize(
    ("axes", "array"),
    [
        (("n", "y", "x"), STACK),
        (("y", "x", "n"), np.moveaxis(STACK, 0, 2)),
        (("x", "n", "y"), STACK.transpose(2, 0, 1)),
        (("slow", "fast", "y", "x"), RASTER),
        (("x", "y", "fast", "slow"), RASTER.T),
        (("fast", "y", "slow", "x"), RASTER.transpose(1, 2, 0, 3)),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_named_axes(
    tmp_path: Path, axes: tuple[str, ...], array: np.ndarray, chunked: bool
) -> None:
    chunks = tuple(1 if name in ("n", "slow", "fast") else 2 for name in axes) if chunked else None
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("data", data=array, chunks=chunks)
    with open_scan(tmp_path / "scan.h5", axes=axes) as scan:
        assert scan.shape == STACK.shape
        assert scan.scan_shape == ((2, 3) if "slow" in axes else None)
        for start in range(6):
            for stop in range(start + 1, 7):
                np.testing.assert_array_equal(scan.read(start, stop), STACK[start:stop])


def test_axes_of_another_rank(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", STACK)
    with pytest.raises(DataError, match=r"^data\.axes: names 4 axes, but scan\.npy has 3: \[6, 4,"):
        open_scan(tmp_path / "scan.npy", axes=("slow", "fast", "y", "x"))
