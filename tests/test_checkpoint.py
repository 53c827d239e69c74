"""Checkpoints: a resumed run is the unbroken one, and nothing else is taken for a checkpoint."""

from __future__ import annotations

import errno
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.errors import ConfigError, DataError
from fastpty.recon import Reconstruction
from tests.recon_cases import WINDOW, Tiny, make_tiny, tiny_run

# Noise of every kind that a resumed run must repeat: shuffling, moments, unknowns that start and
# stop, constraints that act at times.
LIVELY: dict[str, Any] = {
    "loss": {"sparse": {"weight": 0.05}},
    "constraints": {"blur_xy": {"std": 0.4, "every": 2}, "positive_phase": {"start": 5}},
    "output": {"snapshots": [0, 2, 4, "final"]},
}
OPTIMISE: dict[str, Any] = {"positions": {"lr": 0.2, "start": 2, "stop": 5}, "probe": {"start": 4}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def written(tiny: Tiny, tmp_path: Path) -> Path:
    """A checkpoint of the tiny run after its three iterations."""
    run = tiny_run(tiny)
    run.run()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def lively_run(tiny: Tiny, iterations: int, **changes: Any) -> Reconstruction:
    return tiny_run(tiny, **(LIVELY | changes), optimise={**OPTIMISE, "iterations": iterations})


def _assert_same(actual: Reconstruction, expected: Reconstruction) -> None:
    """Bit by bit, but for the time that it took."""
    assert actual.iteration == expected.iteration
    for name, tensor in expected.model.unknowns.items():
        assert torch.equal(actual.model.unknowns[name], tensor), name
    assert torch.equal(actual.model.corner, expected.model.corner)
    assert np.array_equal(actual.model.positions_start, expected.model.positions_start)
    for name in ("loss", "terms", "displacement"):
        assert getattr(actual.history, name) == getattr(expected.history, name), name
    assert len(actual.history.seconds) == len(expected.history.seconds)
    assert [s.iteration for s in actual.snapshots] == [s.iteration for s in expected.snapshots]
    for a, e in zip(actual.snapshots, expected.snapshots, strict=True):
        assert np.array_equal(a.index, e.index)
        assert np.array_equal(a.measured, e.measured)
        assert np.array_equal(a.simulated, e.simulated)
        assert a.r_factor == e.r_factor


@pytest.mark.parametrize("stopped_after", [1, 3, 5])
def test_resumed_equals_unbroken(tiny: Tiny, tmp_path: Path, stopped_after: int) -> None:
    """The first part had fewer iterations: its final snapshot is none of the whole run."""
    unbroken = lively_run(tiny, 6)
    unbroken.run()
    first = lively_run(tiny, stopped_after)
    first.run()
    assert first.snapshots[-1].iteration == stopped_after
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    resumed = lively_run(tiny, 6)
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    assert resumed.iteration == stopped_after
    resumed.run()
    _assert_same(resumed, unbroken)


def test_a_finished_run_comes_back_as_it_was(tiny: Tiny, tmp_path: Path) -> None:
    run = lively_run(tiny, 3)
    run.run()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    again = lively_run(tiny, 3)
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    again.run()
    _assert_same(again, run)
    # As text, in which a constraint's iterations of rest, which are NaN, are equal too.
    assert repr(again.history) == repr(run.history)


def test_masked_snapshots_keep_their_mask(tiny: Tiny, tmp_path: Path) -> None:
    good = np.ones(WINDOW, bool)
    good[3, 4] = False
    np.save(tmp_path / "mask.npy", good)
    masked = {"mask": {"path": str(tmp_path / "mask.npy")}}
    run = tiny_run(tiny, data=masked)
    run.run()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    again = tiny_run(tiny, data=masked)
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    for snapshot in again.snapshots:
        assert snapshot.mask is not None
        assert np.array_equal(snapshot.mask, good)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimise": {"phase": {"lr": 0.5}}},
            r"^optimise.phase.lr: differs .* 0.5 instead of 0.02",
        ),
        ({"seed": 3}, "^seed: differs from the run that --resume goes on with: 3 instead of 0"),
        ({"object": {"slices": 3}}, "^object.slices: differs"),
        ({"probe": {"modes": 3}}, "^probe.modes: differs"),
        ({"loss": {"sparse": {"weight": 1.0}}}, "^loss.sparse: differs"),
        (
            {"seed": 3, "optimise": {"batch_size": 5}},
            "^optimise.batch_size, seed: differs .*: 5 instead of 8, 3 instead of 0",
        ),
    ],
)
def test_another_config_is_refused(
    tiny: Tiny, written: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_checkpoint(tiny_run(tiny, **changes), written)


def test_what_does_not_change_the_fit_may_change(tiny: Tiny, written: Path) -> None:
    run = tiny_run(
        tiny,
        optimise={"iterations": 7},
        output={"checkpoint_every": 1, "folder": "elsewhere"},
        device="auto",
        truth="tiny.h5",
        data={"path": str(tiny.folder / "tiny.h5")},
    )
    read_checkpoint(run, written)
    assert run.iteration == 3


def test_other_data_are_refused(tiny: Tiny, written: Path, tmp_path: Path) -> None:
    """The same path may hold other patterns, of the same shape even."""
    shutil.copy(tiny.folder / "tiny.h5", tmp_path)
    with h5py.File(tmp_path / "tiny.h5", "r+") as file:
        file["data"][2, 3] *= 1.5
    run = tiny_run(replace(tiny, folder=tmp_path))
    before = run.model.phase.clone()
    with pytest.raises(DataError, match=r"was made from other data: other values in arrays of "):
        read_checkpoint(run, written)
    assert run.iteration == 0
    assert torch.equal(run.model.phase, before)


def test_positions_in_another_order_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    """Of a raster that is turned round the mean and the deviation are the same."""
    listed = {"path": "order.npy", "unit": "pixel"}
    changes = {"scan": {"step": None, "positions": listed}}
    np.save(tiny.folder / "order.npy", tiny.positions)
    write_checkpoint(tiny_run(tiny, **changes), tmp_path / "c.pt")
    np.save(tiny.folder / "order.npy", tiny.positions[::-1])
    with pytest.raises(DataError, match="was made from other data"):
        read_checkpoint(tiny_run(tiny, **changes), tmp_path / "c.pt")


def test_data_of_another_shape_are_refused(written: Path, tmp_path: Path) -> None:
    run = tiny_run(make_tiny(tmp_path, (20, 20)))
    message = r"other data: \[30, 24, 20\] patterns and .*; these are \[30, 20, 20\] and"
    with pytest.raises(DataError, match=message):
        read_checkpoint(run, written)


def test_a_missing_one(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--resume: there is no .*none\.pt"):
        read_checkpoint(tiny_run(tiny), tmp_path / "none.pt")


def _assert_refused(run: Reconstruction, path: Path) -> None:
    """In one line that names the file and the way out."""
    with pytest.raises(DataError, match=re.escape(path.name)) as caught:
        read_checkpoint(run, path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("Start a new run without --resume.")


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_one(tiny: Tiny, written: Path, kept: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(kept * len(content))])
    _assert_refused(tiny_run(tiny), written)


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 1000,
        b"format: fastpty\n",
        pickle.dumps(Path, 2),
        pickle.dumps({"a": 1}, 2),
        b"PK\x03\x04",
    ],
    ids=["zeros", "text", "code", "pickle", "zip"],
)
def test_a_foreign_file(tiny: Tiny, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    _assert_refused(tiny_run(tiny), path)


@pytest.mark.parametrize(
    "state",
    [[1, 2], {"epoch": 3}, {"format_version": 1}, {"format_version": 99}],
    ids=["list", "other", "empty", "newer"],
)
def test_a_foreign_state(tiny: Tiny, tmp_path: Path, state: Any) -> None:
    path = tmp_path / "foreign.pt"
    torch.save(state, path)
    _assert_refused(tiny_run(tiny), path)


def test_a_flipped_bit_is_noticed(tiny: Tiny, written: Path) -> None:
    """In the middle of the largest entry lie numbers; between entries lies padding."""
    with zipfile.ZipFile(written) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(written.read_bytes())
    content[largest.header_offset + largest.file_size // 2] ^= 64
    written.write_bytes(content)
    _assert_refused(tiny_run(tiny), written)


def test_it_holds_plain_data_only(written: Path) -> None:
    """No code runs on reading: torch's own guard takes it."""
    state = torch.load(written, weights_only=True)
    assert state["iteration"] == 3


def test_a_failed_write_keeps_the_earlier_one(
    tiny: Tiny, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tiny_run(tiny), written)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


# The kernel refuses what goes beyond the limit, as it does on a full disk.
LIMITED = """
import resource, signal, sys
from pathlib import Path
from fastpty.checkpoint import write_checkpoint
from tests.recon_cases import Tiny, tiny_run
run = tiny_run(Tiny(Path(sys.argv[1]), *[None] * 5))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_checkpoint(run, Path(sys.argv[2]))
except OSError as error:
    print("OSError:", error)
"""


def test_a_write_that_the_system_refuses(tiny: Tiny, written: Path) -> None:
    """torch reports a failed write as a RuntimeError; it must not end the run."""
    pytest.importorskip("resource", reason="POSIX")
    before = written.read_bytes()
    assert len(before) > 20_000
    command = [sys.executable, "-c", LIMITED, str(tiny.folder), str(written)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.startswith("OSError: writing failed")
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]
