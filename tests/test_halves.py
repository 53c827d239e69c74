"""``fastpty frc`` from a config: two runs of half the data each, and how they are gone on with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fastpty import job
from fastpty.config import ReconConfig, load_config, validate_config
from fastpty.errors import ConfigError, DataError, OutputError
from fastpty.halves import HALVES, reconstruct_halves
from fastpty.recon import Observer, Reconstruction
from fastpty.resolution import Resolution, compare_results
from fastpty.results import read_results
from tests.recon_cases import TINY, Tiny, make_tiny, merged


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def halves(
    tiny: Tiny,
    output: Path,
    *,
    split: str = "chessboard",
    resume: bool = False,
    overwrite: bool = False,
    **changes: Any,
) -> Resolution | None:
    config = validate_config(ReconConfig, merged(TINY, changes))
    console = Console(file=io.StringIO())
    return reconstruct_halves(
        config, tiny.folder, output, console, split=split, resume=resume, overwrite=overwrite
    )


def test_each_half_is_a_run_of_its_own(tiny: Tiny, tmp_path: Path) -> None:
    """On the same canvas, with a plan; its config repeats it, and positions move in one of them."""
    plan = [{"iterations": 1, "scan": {"rows": [0, 4]}}, {"iterations": 1}]
    found = halves(tiny, tmp_path, plan=plan, constraints={"recentre_positions": False})
    assert found is not None
    results = [read_results(tmp_path / name / "reconstruction.h5") for name in HALVES]
    assert found.correlation == compare_results(*results).correlation
    assert results[0].phase.shape == results[1].phase.shape
    assert (results[0].phase != results[1].phase).any()
    moved = [(r.positions != r.positions_start).any(axis=1) for r in results]
    assert (moved[0] != moved[1]).all()
    row, column = np.divmod(np.flatnonzero(moved[0]), 6)
    assert ((row + column) % 2 == 0).all()
    copies = [load_config(ReconConfig, tmp_path / name / "config.yaml", []) for name in HALVES]
    assert [copy.data.half.part for copy in copies if copy.data.half] == [1, 2]
    assert [copy.seed for copy in copies] == [0, 1]
    # Each half is judged by the other one too.
    assert [r.agreement["left_out"]["patterns"] for r in results] == [15, 15]


def test_a_random_split(tiny: Tiny, tmp_path: Path) -> None:
    halves(tiny, tmp_path, split="random", seed=5, constraints={"recentre_positions": False})
    results = [read_results(tmp_path / name / "reconstruction.h5") for name in HALVES]
    moved = [(r.positions != r.positions_start).any(axis=1) for r in results]
    assert (moved[0] != moved[1]).all()
    row, column = np.divmod(np.flatnonzero(moved[0]), 6)
    assert len(set(((row + column) % 2).tolist())) == 2


class Stop(Observer):
    """Ctrl-C in the first iteration of one half."""

    def __init__(self, part: int) -> None:
        self.part = part

    def iterated(self, run: Reconstruction, report: Any) -> None:
        half = run.config.data.half
        run.stop_requested = half is not None and half.part == self.part and run.iteration == 1


@pytest.mark.parametrize("part", [1, 2])
def test_a_stopped_half_goes_on(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """With the same numbers as without the stop; a half that was finished is not run again."""
    unbroken = halves(tiny, tmp_path / "unbroken")
    output = tmp_path / "stopped"
    run = Reconstruction.run
    monkeypatch.setattr(
        Reconstruction, "run", lambda self, observers: run(self, [*observers, Stop(part)])
    )
    assert halves(tiny, output) is None
    assert not (output / "frc.csv").exists()
    assert (output / "half_2").exists() == (part == 2)
    monkeypatch.undo()
    resumed = halves(tiny, output, resume=True)
    assert resumed is not None
    assert unbroken is not None
    assert resumed.summary() == unbroken.summary()


def test_nothing_earlier_is_overwritten_and_nothing_is_begun(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "half_2").mkdir()
    (tmp_path / "half_2" / job.RESULT_NAME).write_bytes(b"results")
    with pytest.raises(OutputError, match=r"half_2: holds the reconstruction\.h5 of an earlier"):
        halves(tiny, tmp_path)
    assert not (tmp_path / "half_1").exists()
    assert halves(tiny, tmp_path, overwrite=True) is not None
    with pytest.raises(OutputError, match=r"holds an earlier frc\.csv"):
        halves(tiny, tmp_path)


def test_what_has_not_begun_does_not_go_on(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--resume: there is no .*half_1"):
        halves(tiny, tmp_path, resume=True)


def test_a_list_of_positions_has_no_chessboard(tiny: Tiny, tmp_path: Path) -> None:
    np.save(tiny.folder / "stack.npy", tiny.patterns.astype(np.float32))
    positions = {"path": "tiny.h5", "dataset": "positions_A", "unit": "angstrom"}
    changes = {
        "data": {"path": "stack.npy", "dataset": None},
        "scan": {"step": None, "positions": positions},
    }
    with pytest.raises(ConfigError, match=r"data\.half\.split: is chessboard, .*Use random"):
        halves(tiny, tmp_path, **changes)
    assert halves(tiny, tmp_path, split="random", **changes) is not None
