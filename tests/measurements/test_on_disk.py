"""Patterns in a scratch file: the same values as in memory, and no trace."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpty.errors import DataError, OutputError
from fastpty.io import RawScan
from fastpty.measurements import Patterns, PatternSource
from fastpty.measurements.on_disk import PatternFile
from tests.measurements.test_patterns import TYPES, counts, scan_of
from tests.recon_cases import Tiny, make_tiny, tiny_run


@pytest.mark.parametrize("kind", TYPES)
def test_the_same_as_in_memory(kind: str, tmp_path: Path) -> None:
    """To the last bit of the scale, so that it does not matter to a run that is resumed."""
    data, mask = counts(kind, (40, 4, 6)), np.ones((4, 6), bool)
    mask[1, 2] = False
    there = Patterns.load(scan_of(data), mask=mask)
    disk = Patterns.load(scan_of(data), mask=mask, room=there.nbytes - 1, scratch=tmp_path)
    assert Patterns.load(scan_of(data), room=there.nbytes, scratch=tmp_path).on_disk is None
    assert disk.on_disk == tmp_path
    assert not disk.on_device
    assert list(tmp_path.iterdir()) == []
    assert (disk.scale, disk.dtype, disk.nbytes) == (there.scale, there.dtype, there.nbytes)
    np.testing.assert_array_equal(disk.mean, there.mean)
    index = torch.tensor([39, 0, 7, 7])
    assert torch.equal(disk.batch(index), there.batch(index))
    out = disk.recorded_buffer(4)
    disk.gather(index, out)
    assert torch.equal(out, there.recorded(index))


def test_a_batch_of_which_no_pattern_is_here(tmp_path: Path) -> None:
    """One of several processes may have none of a small batch."""
    disk = Patterns.load(scan_of(counts("<u2")), room=1, scratch=tmp_path)
    assert disk.recorded(torch.empty(0, dtype=torch.int64)).shape == (0, *disk.shape[1:])


@pytest.mark.parametrize("room", [40 * 24 * 2 - 1, 40 * 24 * 4 - 1])
def test_counts_that_outgrow_16_bits(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some pieces have been written, to the disk or to memory."""
    data = counts("<u2", (40, 4, 6)).astype(np.uint32)
    data[33, 2, 2] = 2**17
    pieces = RawScan.pieces
    monkeypatch.setattr(RawScan, "pieces", lambda scan: pieces(scan, 1000 / 2**20))
    there = Patterns.load(scan_of(data))
    disk = Patterns.load(scan_of(data), room=room, scratch=tmp_path)
    assert disk.on_disk == tmp_path
    assert disk.dtype == np.float32
    assert disk.scale == there.scale
    index = torch.arange(40)
    assert torch.equal(disk.counts(index), there.counts(index))


@pytest.mark.parametrize("size", [1, 5, 23, 30])
def test_batches(size: int, tmp_path: Path) -> None:
    patterns = Patterns.load(scan_of(counts("<u2", (23, 3, 4))), room=1, scratch=tmp_path)
    order = np.random.default_rng(1).permutation(23)
    batches = list(PatternSource(patterns).batches(order, size))
    assert torch.cat([batch.index for batch in batches]).tolist() == order.tolist()
    for batch in batches:
        assert torch.equal(patterns.scaled(batch.recorded), patterns.batch(batch.index))


def test_a_device_reads_through_its_buffers(tmp_path: Path) -> None:
    """On its way to a device a batch is read into the memory that is copied."""
    patterns = Patterns.load(scan_of(counts("<u2")), room=1, scratch=tmp_path)
    patterns.to(torch.device("meta"))
    assert not patterns.on_device
    assert patterns.counts(torch.tensor([4, 0])).device.type == "meta"


def test_a_run_from_the_disk(tmp_path: Path) -> None:
    """Bit by bit that from memory, whose memory the config makes too small for the patterns."""
    tiny = make_tiny(tmp_path)
    scratch = tmp_path / "scratch"
    there, disk = (
        tiny_run(tiny, memory=memory, data={"scratch": str(scratch)})
        for memory in ("auto", 30 * 24 * 20 * 4 / 2**30)
    )
    assert there.memory.place == "device"
    assert disk.memory.place == str(scratch)
    disk.parts.largest = None  # there is no memory for whole batches, either
    for run in (there, disk):
        run.run()
    assert disk.history.loss == there.history.loss
    for name, tensor in there.model.unknowns.items():
        assert torch.equal(disk.model.unknowns[name], tensor)
    assert disk.results().r_factor == there.results().r_factor


def test_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    message = (
        rf"^data\.scratch: {re.escape(str(tmp_path))} has no room .* Name a folder on a larger"
    )
    with pytest.raises(OutputError, match=message):
        Patterns.load(scan_of(counts("<u2")), room=1, scratch=tmp_path)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OutputError, match=r"data\.scratch: .*file has no room"):
        PatternFile(path, (1, 2, 2), np.dtype(np.uint8))


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another thread was reading."""
    patterns = Patterns.load(scan_of(counts("<u2")), room=1, scratch=tmp_path)

    def broken(*args: Any) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(DataError, match=r"data\.scratch: the scratch file .* Input/output error"):
        list(PatternSource(patterns).batches(np.arange(5), 2))


PEAK = """
import sys
from pathlib import Path
import numpy as np
from fastpty.config import ReconConfig, validate_config
from fastpty.io import RawScan
from fastpty.recon import Reconstruction
from tests.peak_memory import peak_memory
from tests.recon_cases import TINY, merged, tiny_run, Tiny

tiny_run(Tiny(Path(sys.argv[1]), *[None] * 5)).engine.run_iteration(1)
one = np.random.default_rng(0).poisson(9.0, (64, 128, 128)).astype(np.uint16)
shape = (80 * 120, 128, 128)
scan = RawScan("many", shape, one.dtype, lambda a, b: one[np.arange(a, b) % 64], (80, 120))
changes = {"memory": 0.25, "scan": {"step": 0.02}, "data": {"scratch": sys.argv[1]},
           "plan": [{"iterations": 1, "scan": {"center": [10, 10]}}], "object": {"slices": 1}}
config = validate_config(ReconConfig, merged(TINY, changes))
before = peak_memory()
run = Reconstruction.from_config(config, Path(sys.argv[1]), scan=scan)
run.run()
print(peak_memory() - before, run.measurements.patterns.nbytes, run.memory.place)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_patterns_larger_than_the_memory(tmp_path: Path) -> None:
    """0.29 GiB of them, from the first reading to the end of the run, in 0.25 GiB: as much as
    reading takes, in pieces of 64 MiB."""
    tiny: Tiny = make_tiny(tmp_path)
    command = [sys.executable, "-c", PEAK, str(tiny.folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    peak, patterns, place = done.stdout.split()
    assert place == str(tmp_path)
    assert int(patterns) > 0.29 * 2**30
    assert int(peak) < 0.25 * 2**30
