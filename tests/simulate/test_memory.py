"""Data larger than the memory, disks that are too small, and runs that are stopped."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastpty.errors import ConfigError, OutputError
from fastpty.simulate import SimulateConfig, run, simulate
from fastpty.simulate.scratch import Scratch
from tests.simulate.conftest import MakeConfig
from tests.tolerances import bound

PEAK = """
import json, sys
from pathlib import Path
import torch
from fastpty.simulate import SimulateConfig, simulate
from tests.peak_memory import peak_memory
torch.set_num_threads(1)
config = SimulateConfig(**json.loads(sys.argv[1]))
before = peak_memory()
simulate(config, Path(sys.argv[2]))
print(before, peak_memory())
"""


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def peaks_of(config: SimulateConfig, output: Path) -> tuple[int, int]:
    """Bytes that a process of its own held at most, before the simulation and in all."""
    command = [sys.executable, "-c", PEAK, config.model_dump_json(), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    return before, after


@pytest.mark.slow
@linux
def test_memory_does_not_grow_with_the_positions(make_config: MakeConfig, tmp_path: Path) -> None:
    """The study's 200 x 200 positions over the area of 20 x 20, on a small detector."""
    peaks = []
    for count in (20, 200):
        config = make_config(
            scan={"shape": (count, count), "step_A": (8 / count, 8 / count)},
            detector={"dose_e_per_A2": 1e6},
            grid={"oversample": 1},
            specimen={"frozen_phonons": 2},
        )
        peaks.append(peaks_of(config, tmp_path / f"{count}.h5")[1])
    patterns = 4 * 200**2 * 32**2
    # What remains are a few numbers for each position.
    assert peaks[1] - peaks[0] < bound("per position") * patterns


@pytest.mark.slow
@linux
@pytest.mark.parametrize("phonons", [0, 1])
def test_the_estimate_of_the_memory(make_config: MakeConfig, tmp_path: Path, phonons: int) -> None:
    config = make_config(
        specimen={"frozen_phonons": phonons, "thickness_A": 20.0},
        scan={"shape": (3, 3), "step_A": (40.0, 40.0)},
        grid={"memory_limit_GiB": 0.01},
    )
    with pytest.raises(ConfigError, match="needs about") as refused:
        simulate(config, tmp_path / "a.h5")
    estimate = float(refused.value.found.split("about ")[1].split()[0]) * 2**30
    allowed = config.model_copy(
        update={"grid": config.grid.model_copy(update={"memory_limit_GiB": 4.0})}
    )
    before, after = peaks_of(allowed, tmp_path / "a.h5")
    assert 1 / bound("memory") < (after - before) / estimate < bound("memory")


def test_an_array_on_the_disk(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((7, 4, 4)).astype(np.float32)
    with Scratch(tmp_path / "a.h5", 7, 4, reserve=10_000) as patterns:
        assert len(patterns) == 7
        assert not patterns[0:7].any()
        patterns[0:7] += values
        patterns[5:20] += values[5:]  # as in an array, what lies beyond is left out
        patterns.release()
        np.testing.assert_array_equal(patterns[:5], values[:5])
        np.testing.assert_array_equal(patterns[5:], 2 * values[5:])
    assert list(tmp_path.iterdir()) == []


@linux
def test_the_room_is_taken_at_the_start(make_config: MakeConfig, tmp_path: Path) -> None:
    """For patterns in float32 and the result in 16 bits, the latter given back before writing."""
    sizes = []

    def look(done: int, total: int) -> None:
        sizes.append(sum(os.fstat(handle).st_size for handle in open_files(tmp_path)))

    config = make_config(detector={"dose_e_per_A2": 1e4, "dtype": "uint16"})
    simulate(config, tmp_path / "a.h5", look)
    assert set(sizes) == {12 * 32 * 32 * (4 + 2)}


def open_files(folder: Path) -> list[int]:
    """This process's open files in a folder, those without a name too."""
    handles = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return [
        handle
        for handle in handles
        if os.path.lexists(f"/proc/self/fd/{handle}")
        and os.readlink(f"/proc/self/fd/{handle}").startswith(str(folder))
    ]


def test_a_disk_that_is_too_small_is_found_at_once(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(run, "add_patterns", lambda *args, **options: pytest.fail("too late"))
    with pytest.raises(OutputError, match=r"has no room for .* No space left"):
        simulate(make_config(), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def before(tmp_path: Path) -> dict[str, bytes]:
    """An earlier file, which must stay."""
    (tmp_path / "a.h5").write_bytes(b"earlier")
    return content(tmp_path)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@linux
def test_a_disk_that_fills_while_the_file_is_written(
    make_config: MakeConfig,
    tmp_path: Path,
    before: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = os.pwrite

    def full(handle: int, values: Any, place: int) -> int:
        if len(open_files(tmp_path)) > 1 and place > 2000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, values, place)

    monkeypatch.setattr(os, "pwrite", full)
    config = make_config(detector={"dose_e_per_A2": 1e4})
    with pytest.raises(OutputError, match="No space left"):
        simulate(config, tmp_path / "a.h5")
    assert content(tmp_path) == before


@linux
@pytest.mark.parametrize("when", ["computing", "writing"])
def test_ctrl_c_leaves_no_trace(
    make_config: MakeConfig,
    tmp_path: Path,
    before: dict[str, bytes],
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    if when == "writing":
        monkeypatch.setattr("fastpty.simulate.writer.expose", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(make_config(), tmp_path / "a.h5", stop if when == "computing" else None)
    assert content(tmp_path) == before
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_do_not_change_the_counts(
    make_config: MakeConfig, tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(detector={"dose_e_per_A2": 1e4})
    with h5py.File(simulate(config, tmp_path / "whole.h5")) as file:
        expected = file["data"][()]
    monkeypatch.setattr("fastpty.simulate.writer.PATTERNS_PER_CHUNK", chunk)
    with h5py.File(simulate(config, tmp_path / "parts.h5")) as file:
        assert file["data"].chunks[1] == chunk
        np.testing.assert_array_equal(file["data"][()], expected)
        assert json.loads(file.attrs["config"])["scan"]["shape"] == [3, 4]
