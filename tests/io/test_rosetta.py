"""Formats that RosettaSciIO reads: its writers where it has them, else byte by byte."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan
from fastpty.io.rosetta import EXTENSIONS
from tests.io.writers import write_dm

pytest.importorskip("rsciio")

STACK = np.arange(6 * 8 * 8, dtype=np.uint16).reshape(6, 8, 8)
RASTER = STACK.reshape(2, 3, 8, 8)
LENGTHS = [(0.5, "nm"), (0.5, "nm"), (0.2, "1/nm"), (0.2, "1/nm")]


def signal(array: np.ndarray, axes: list[tuple[float, str]] = LENGTHS) -> dict[str, Any]:
    """As its writers want it; the last two axes are the pattern's."""
    axes = axes[-array.ndim :]
    return {
        "data": array,
        "axes": [
            {
                "_type": "UniformDataAxis",
                "size": size,
                "index_in_array": i,
                "name": "abcd"[i],
                "scale": scale,
                "offset": 0.0,
                "units": unit,
                "navigate": i < array.ndim - 2,
            }
            for i, (size, (scale, unit)) in enumerate(zip(array.shape, axes, strict=True))
        ],
        "metadata": {
            "General": {"title": "scan"},
            "Signal": {"signal_type": ""},
            "Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "camera_length": 100.0}},
        },
        "original_metadata": {},
        "learning_results": {},
        "package_info": {"package": "test", "package_version": "0"},
        "package": "test",
        "package_version": "0",
        "attributes": {"_lazy": False, "ragged": False},
        "models": {},
        "tmp_parameters": {"filename": "scan"},
    }


def write(plugin: str, path: Path, array: np.ndarray, **options: Any) -> Path:
    importlib.import_module(f"rsciio.{plugin}").file_writer(str(path), signal(array), **options)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("plugin", "name", "form"),
    [
        ("hspy", "scan.hspy", "hdf5"),
        ("emd", "scan.emd", "hdf5"),
        ("nexus", "scan.nxs", "hdf5"),
        ("tiff", "scan.tif", "tiff"),
        ("blockfile", "scan.blo", "rosettasciio"),
        ("tvips", "scan_000.tvips", "rosettasciio"),
    ],
)
@pytest.mark.parametrize("array", [STACK, RASTER], ids=["stack", "raster"])
def test_what_its_writers_write(
    tmp_path: Path, plugin: str, name: str, form: str, array: np.ndarray
) -> None:
    if plugin == "blockfile":
        array = (array % 251).astype(np.uint8)
    write(plugin, tmp_path / name.replace("_000", ""), array)
    with open_scan(tmp_path / name) as scan:
        assert (scan.format, scan.shape) == (form, STACK.shape)
        np.testing.assert_array_equal(scan.read(0, 6), array.reshape(STACK.shape))
        np.testing.assert_array_equal(scan.read(2, 5), array.reshape(STACK.shape)[2:5])
        if plugin in ("hspy", "emd", "nexus", "blockfile") and array.ndim == 4:
            assert scan.scan_shape == (2, 3)
        if plugin in ("hspy", "emd"):
            assert scan.metadata["dk_invA"] == pytest.approx(0.02)
        if plugin == "hspy":
            assert scan.metadata["energy_kv"] == 200.0
            assert scan.metadata["camera_length_mm"] == 100.0


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("array", [STACK, RASTER], ids=["stack", "raster"])
@pytest.mark.parametrize("extension", ["", ".tif"])
def test_gatan(tmp_path: Path, version: int, array: np.ndarray, extension: str) -> None:
    path = tmp_path / f"scan{extension or f'.dm{version}'}"
    write_dm(path, array, LENGTHS[-array.ndim :], version=version, kilovolts=300.0)
    scan = open_scan(path)
    assert (scan.format, scan.shape, scan.dtype) == ("rosettasciio", STACK.shape, STACK.dtype)
    assert scan.scan_shape == ((2, 3) if array.ndim == 4 else None)
    assert scan.metadata["energy_kv"] == 300.0
    assert scan.metadata["camera_length_mm"] == 115.0
    assert scan.metadata["dk_invA"] == pytest.approx(0.02)
    np.testing.assert_array_equal(scan.read(1, 5), STACK[1:5])


def test_axes_can_be_named(tmp_path: Path) -> None:
    """Gatan's own 4D-STEM keeps the pattern's axes first where it was so saved."""
    path = write_dm(tmp_path / "scan.dm4", np.ascontiguousarray(RASTER.T), LENGTHS)
    scan = open_scan(path, axes=("x", "y", "fast", "slow"))
    np.testing.assert_array_equal(scan.read(0, 6), STACK)


def write_mrc(path: Path, array: np.ndarray) -> Path:
    """MRC2014: 1024 bytes of header, sections after it (Cheng et al., J. Struct. Biol. 2015)."""
    header = np.zeros(256, "<i4")
    header[:10] = [*array.shape[::-1], 6, 0, 0, 0, *array.shape[::-1]]  # mode 6 is uint16
    header[10:13] = np.float32(array.shape[::-1]).view("<i4")
    header[16:19] = 1, 2, 3
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = int.from_bytes(b"DD\0\0", "little")
    path.write_bytes(header.tobytes() + array.astype("<u2").tobytes())
    return path


@pytest.mark.parametrize("name", ["scan.mrc", "scan.dat"])
def test_mrc(tmp_path: Path, name: str) -> None:
    scan = open_scan(write_mrc(tmp_path / name, STACK), scan_shape=(2, 3))
    assert (scan.format, scan.scan_shape) == ("rosettasciio", (2, 3))
    np.testing.assert_array_equal(scan.read(0, 6), STACK)


def test_an_image_is_no_scan(tmp_path: Path) -> None:
    path = write_dm(tmp_path / "image.dm4", STACK[0], LENGTHS[2:])
    message = r"^data\.dataset: image\.dm4 \(DigitalMicrograph\) has 0 signals that can be a scan"
    with pytest.raises(DataError, match=message):
        open_scan(path)


@pytest.mark.parametrize("dataset", ["x", "7"])
def test_signals_go_by_number(tmp_path: Path, dataset: str) -> None:
    path = write_dm(tmp_path / "scan.dm4", STACK, LENGTHS[1:])
    with pytest.raises(DataError, match=rf"^data\.dataset: is '{dataset}'.*signals by number\..*0"):
        open_scan(path, dataset=dataset)
    assert open_scan(path, dataset="0").shape == STACK.shape


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keep", [10, 40, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["dm3", "dm4", "blo", "mrc"])
def test_a_truncated_file(tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / f"scan.{kind}"
    if kind == "blo":
        write("blockfile", path, (RASTER % 251).astype(np.uint8))
    elif kind == "mrc":
        write_mrc(path, STACK)
    else:
        write_dm(path, STACK, LENGTHS[1:], version=int(kind[2]))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(DataError, match=rf"scan\.{kind}.*[Ii]s (the file|it) complete"):
        open_scan(path)


def test_a_format_that_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "scan.xyz").write_text("1 2 3")
    with pytest.raises(DataError, match=r"extension '\.xyz', which RosettaSciIO does not know"):
        open_scan(tmp_path / "scan.xyz", format="rosettasciio")


def test_it_knows_every_extension_that_is_sent_to_it() -> None:
    rsciio = importlib.import_module("rsciio")
    known = {f".{e.lower()}" for p in rsciio.IO_PLUGINS for e in p["file_extensions"]}
    assert known >= EXTENSIONS


@pytest.mark.parametrize(
    ("package", "name"),
    [("rsciio", "scan.dm4"), ("tifffile", "scan.tif"), ("zarr", "scan.zarr"), ("scipy", "s.mat")],
)
def test_a_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    """The extra is named, whichever package it is."""
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    if name.endswith("zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".zgroup").write_text("{}")
    elif name.endswith("tif"):
        (tmp_path / name).write_bytes(b"II*\0")
    else:
        (tmp_path / name).write_bytes(b"")
    message = rf"^{name}: needs the package '{package}' .*pip install 'fastpty\[readers\]'"
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path / name)
