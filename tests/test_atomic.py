"""Files are written whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import pytest

from fastpty.atomic import atomic_hdf5, atomic_path


@pytest.fixture(params=[True, False], ids=["replacing", "new"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file to write, there already or not."""
    path = tmp_path / "result.h5"
    if request.param:
        path.write_text("old")
    return path


def state(folder: Path) -> dict[str, str]:
    """Every file, hidden ones too, with its content."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_block_that_ends_well(target: Path) -> None:
    with atomic_path(target) as path:
        assert path.parent == target.parent
        assert path.suffix == target.suffix
        path.write_text("new")
        assert not target.exists() or target.read_text() == "old"
    assert state(target.parent) == {"result.h5": "new"}


def test_a_name_as_text(tmp_path: Path) -> None:
    with atomic_path(str(tmp_path / "a.txt")) as path:
        path.write_text("new")
    assert state(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1), OSError(errno.ENOSPC, "full")]
)
def test_an_error_in_the_block(target: Path, error: BaseException) -> None:
    before = state(target.parent)
    with pytest.raises(type(error)), atomic_path(target) as path:
        path.write_text("half")
        raise error
    assert state(target.parent) == before


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_full_disk_at_the_end(target: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems find out only when the data go to the disk."""
    before = state(target.parent)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space left"), atomic_path(target) as path:
        path.write_text("new")
    assert state(target.parent) == before


def test_the_data_are_on_the_disk_before_the_name(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def recorded_sync(handle: int) -> None:
        steps.append("fsync")
        sync(handle)

    def recorded_replace(self: Path, other: Path) -> Path:
        steps.append("replace")
        return replace(self, other)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    with atomic_path(target) as path:
        path.write_text("new")
    assert steps == ["fsync", "replace"]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "absent" / "a.txt"):
        pytest.fail("the block must not run")
    assert state(tmp_path) == {}


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError), atomic_path(tmp_path / "a.txt") as path:
        path.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_is_that_of_a_plain_file(target: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_path(target) as path:
            path.write_text("new")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_two_writers_do_not_meet(target: Path) -> None:
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert state(target.parent) == {"result.h5": "first"}


def test_an_hdf5_file(target: Path) -> None:
    with atomic_hdf5(target) as file:
        file["a"] = [1, 2]
        assert not target.exists() or target.read_text() == "old"
    with h5py.File(target) as file:
        assert file["a"][()].tolist() == [1, 2]
    assert list(target.parent.iterdir()) == [target]


def test_an_error_in_an_hdf5_file(target: Path) -> None:
    before = state(target.parent)
    with pytest.raises(KeyboardInterrupt), atomic_hdf5(target) as file:
        file["a"] = [1, 2]
        raise KeyboardInterrupt
    assert state(target.parent) == before
