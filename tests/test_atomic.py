"""Files are written whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
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
    with atomic_hdf5(target) as (file, _):
        file["a"] = [1, 2]
        assert not target.exists() or target.read_text() == "old"
    with h5py.File(target) as file:
        assert file["a"][()].tolist() == [1, 2]
    assert list(target.parent.iterdir()) == [target]


def test_an_error_in_an_hdf5_file(target: Path) -> None:
    before = state(target.parent)
    with pytest.raises(KeyboardInterrupt), atomic_hdf5(target) as (file, _):
        file["a"] = [1, 2]
        raise KeyboardInterrupt
    assert state(target.parent) == before


@pytest.mark.parametrize("room", [0, 700, 5000, 100_000])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_an_hdf5_file_that_the_disk_has_no_room_for(
    target: Path, room: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in HDF5's work it happens: the file is closed, the error comes out."""
    before = state(target.parent)
    write, raised = os.pwrite, []

    def full(handle: int, content: memoryview, place: int) -> int:
        if place + len(content) > room:
            raised.append(error)
            raise error
        return write(handle, content, place)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(type(error)) as caught, atomic_hdf5(target) as (file, _):
        data = file.create_dataset("a", (300, 50, 20), "u2", chunks=(1, 50, 20), compression="gzip")
        for i in range(300):
            data[i] = np.random.default_rng(i).integers(0, 2**16, (50, 20))
        file["b"] = data[7]
        assert (file["b"][()] == data[7]).all()
    assert caught.value is error
    assert raised == [error]
    assert state(target.parent) == before


def test_a_full_disk_is_told_in_the_block(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"), atomic_hdf5(target) as (file, check):
        check()
        monkeypatch.setattr(os, "pwrite", full)
        file.create_dataset("a", data=np.zeros(1000))
        file.flush()
        check()
        pytest.fail("the block must have ended")


def test_a_write_that_the_disk_takes_in_part(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda h, content, place: write(h, content[:100], place))
    values = np.arange(1000.0)
    with atomic_hdf5(target) as (file, _):
        file["a"] = values
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["a"], values)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_and_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """HDF5 tidies up once more then."""
    program = (
        "import resource, signal, sys\n"
        "import numpy as np\n"
        "from fastpty.atomic import atomic_hdf5\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        "    with atomic_hdf5(sys.argv[1]) as (file, _):\n"
        "        file['a'] = np.zeros(100_000)\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.h5")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []
