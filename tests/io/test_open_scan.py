"""Choosing a reader, reading in pieces, and refusals that all formats share."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpty.errors import DataError
from fastpty.io import READERS, RawScan, load_array, open_scan


def write(path: Path, array: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        with h5py.File(path, "w") as file:
            file["data"] = array
    return path


@settings(
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_pieces_are_the_whole(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever the size of the pieces, aligned to the rows of the scan or not."""
    slow, fast = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 7))
    patterns = np.arange(slow * fast * 6, dtype=np.uint16).reshape(-1, 2, 3)
    shape = data.draw(st.sampled_from([patterns.shape, (slow, fast, 2, 3)]))
    kind = data.draw(st.sampled_from(["h5", "npy"]))
    per_piece = data.draw(st.integers(1, slow * fast + 1))
    path = write(tmp_path / f"scan.{kind}", patterns.reshape(shape))
    with open_scan(path) as scan:
        # One pattern has 12 bytes; the half keeps the division away from a rounding.
        pieces = list(scan.pieces(megabytes=(per_piece + 0.5) * 12 / 2**20))
        starts = [start for start, _ in pieces]
        assert starts == list(range(0, slow * fast, per_piece))
        np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), patterns)


def test_a_pattern_larger_than_a_piece() -> None:
    scan = RawScan("s", (3, 8, 8), np.dtype("f8"), lambda a, b: np.zeros((b - a, 8, 8)))
    assert [start for start, _ in scan.pieces(megabytes=1e-9)] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["h5", "npy"])
def test_scan_shape(tmp_path: Path, kind: str) -> None:
    stack = write(tmp_path / f"stack.{kind}", np.zeros((6, 2, 2)))
    raster = write(tmp_path / f"raster.{kind}", np.zeros((2, 3, 2, 2)))
    with open_scan(stack, scan_shape=(3, 2)) as scan:
        assert scan.scan_shape == (3, 2)
    with open_scan(raster, scan_shape=(2, 3)) as scan:
        assert scan.scan_shape == (2, 3)
    with pytest.raises(DataError, match=r"^data\.scan_shape: is \[2, 2\], 4 positions.*holds 6"):
        open_scan(stack, scan_shape=(2, 2))
    with pytest.raises(DataError, match=r"^data\.scan_shape: is \[3, 2\], but raster.*is \[2, 3\]"):
        open_scan(raster, scan_shape=(3, 2))
    with pytest.raises(DataError, match=r"^data\.scan_shape: is \[-3, -2\]\. .*at least 1"):
        open_scan(stack, scan_shape=(-3, -2))


def test_a_forced_format(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.npy", np.zeros((2, 4, 4)))
    assert open_scan(path, format="npy").shape == (2, 4, 4)
    with pytest.raises(DataError, match="cannot be opened as HDF5"):
        open_scan(path, format="hdf5")
    with pytest.raises(DataError, match="no whole number of EMPAD frames"):
        open_scan(path, format="empad")
    with pytest.raises(DataError, match=r"^data\.format: is 'jpeg'.*Known: auto, dectris, .*raw"):
        open_scan(path, format="jpeg")


NOISE = np.random.default_rng(0).integers(0, 256, 4096, np.uint8).tobytes()
SUFFIXES = sorted({suffix for reader in READERS.values() for suffix in reader.extensions})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("content", [b"", b"\0", NOISE, bytes(4096)], ids=["no", "1", "any", "0"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, suffix: str, content: bytes) -> None:
    """Every reader refuses by the file's name, whatever its parser runs into."""
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"scan") as caught:
        open_scan(path)
    assert len(str(caught.value)) < 800


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", sorted(READERS))
@pytest.mark.parametrize("content", [b"", NOISE], ids=["empty", "any"])
def test_a_file_that_is_not_what_the_config_says(
    tmp_path: Path, format: str, content: bytes
) -> None:
    path = tmp_path / "scan.dm4"
    path.write_bytes(content)
    with pytest.raises(DataError):
        open_scan(path, format=format)


@pytest.mark.parametrize("suffix", [".raw", ".tif", ".mib", ".dm4", ".mat", ".zarr", ".npy", ""])
@pytest.mark.parametrize("kind", ["h5", "npy"])
def test_the_content_counts_more_than_the_name(tmp_path: Path, suffix: str, kind: str) -> None:
    path = write(tmp_path / f"right.{kind}", np.zeros((2, 4, 4)))
    path = path.rename(tmp_path / f"wrong{suffix}")
    with open_scan(path) as scan:
        assert scan.format == {"h5": "hdf5", "npy": "npy"}[kind]


VALUES = {
    "dataset": "data",
    "axes": ("n", "y", "x"),
    "pattern_shape": (4, 4),
    "dtype": "uint16",
    "offset": 1,
    "gap": 0,
}


@pytest.mark.parametrize("format", sorted(READERS))
@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_field_has_a_meaning_or_is_refused(tmp_path: Path, format: str, name: str) -> None:
    (tmp_path / "scan.bin").write_bytes(NOISE + b"x")
    with pytest.raises(DataError) as caught:
        open_scan(tmp_path / "scan.bin", format=format, **{name: VALUES[name]})
    refused = "but has no meaning for" in str(caught.value)
    assert refused == (name not in READERS[format].fields)
    if refused:
        assert caught.value.field == f"data.{name}"
        assert READERS[format].title in str(caught.value)


def test_a_description_of_raw_values_does_not_hide_what_a_file_is(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", np.zeros((2, 4, 4)))
    with pytest.raises(
        DataError, match=r"^data\.dtype: is 'uint16'.*an HDF5 file, which 'scan\.h5"
    ):
        open_scan(path, dtype="uint16")


def test_an_error_after_opening_closes_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.h5", np.zeros((2, 4, 4)))
    with pytest.raises(DataError):
        open_scan(path, scan_shape=(3, 3))
    with h5py.File(path, "r+"):
        pass


def test_an_unknown_file(tmp_path: Path) -> None:
    (tmp_path / "scan.txt").write_text("1 2 3")
    message = r"^data\.format: 'scan\.txt' is none of the formats.*one of dectris, mat, hdf5, .*raw"
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path / "scan.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scna.h5", r"scna\.h5' does not exist\. Did you mean 'scan\.h5'\?"),
        ("zzz", r"zzz' does not exist\. Check the path\."),
        ("no/scan.h5", r"does not exist\. There is no folder '.*no' either\."),
        ("folder.h5", r"folder\.h5' is a folder.*ame a file in it\."),
    ],
)
def test_no_file(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / "scan.h5", np.zeros((2, 4, 4)))
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(DataError, match=rf"^data\.path: .*{message}"):
        open_scan(tmp_path / name)
    with pytest.raises(DataError, match=rf"^data\.mask\.path: .*{message}"):
        load_array("data.mask", tmp_path / name, None, (2,))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "scan.npy", np.zeros((2, 4, 4)))

    def refuse(self: Path, *args: object, **others: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"^data\.path: .*scan\.npy' cannot be read .*denied"):
        open_scan(path)
    with pytest.raises(DataError, match=r"^data\.mask\.path: .*scan\.npy' cannot be read"):
        load_array("data.mask", path, None, (2,))


def test_the_config_knows_every_reader() -> None:
    from fastpty.config.data import DataConfig

    choices = DataConfig.model_json_schema()["properties"]["format"]["enum"]
    assert choices == ["auto", *READERS]
