"""``fastpty tune``: the study around the trials, whose reconstructions are a formula here."""

from __future__ import annotations

import csv
import errno
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastpty.config import ReconConfig, load_config
from fastpty.errors import ConfigError, DataError, OutputError
from fastpty.tune import ledger, search_output
from fastpty.tune import search as search_module
from tests.tune.cases import SEARCH, Formula, search, write_base

DEFOCUS, ROTATION = "beam.aberrations.defocus", "scan.rotation_deg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_base(tmp_path)
    return tmp_path


def trials(folder: Path, output: str = "out") -> list[dict[str, str]]:
    with (folder / output / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def comparable(folder: Path, output: str) -> list[dict[str, Any]]:
    """The trials, but for what a run that was stopped may have done otherwise."""
    content = json.loads((folder / output / ledger.LEDGER_NAME).read_text())
    return list(content["trials"])


def test_the_sampler_finds_the_bottom(folder: Path, formula: type[Formula]) -> None:
    summary = search(folder, sampler={"name": "tpe", "startup": 5}, trials=20).summary
    assert summary["states"] == {"complete": 20, "pruned": 0, "failed": 0}
    values = summary["best"]["values"]
    assert abs(values[DEFOCUS] - 80) < 25
    assert abs(values[ROTATION] - 3) < 3
    assert summary["importances"].keys() == values.keys()


def test_the_first_trial_is_the_base(folder: Path, formula: type[Formula]) -> None:
    search(folder, trials=2)
    first, second = trials(folder)
    assert (float(first[DEFOCUS]), float(first[ROTATION])) == (150, -6)
    assert float(second[DEFOCUS]) != 150
    search(folder, "other", trials=1, try_base=False)
    assert float(trials(folder, "other")[0][DEFOCUS]) != 150


def test_a_base_outside_of_the_range_gives_the_other_values(
    folder: Path, formula: type[Formula]
) -> None:
    narrow = {DEFOCUS: {"low": 0, "high": 100}, ROTATION: {"low": -10, "high": 10}}
    search(folder, search=narrow, trials=1)
    (first,) = trials(folder)
    assert 0 <= float(first[DEFOCUS]) <= 100
    assert float(first[ROTATION]) == -6


def test_a_base_on_a_step_that_is_no_binary_fraction(folder: Path, formula: type[Formula]) -> None:
    write_base(folder, scan={"rotation_deg": 1.2})
    steps = {DEFOCUS: {"low": 0, "high": 200}, ROTATION: {"low": 0.1, "high": 9.9, "step": 0.1}}
    search(folder, search=steps, trials=1)
    assert float(trials(folder)[0][ROTATION]) == pytest.approx(1.2)


def test_what_is_sought_has_its_kind(folder: Path, formula: type[Formula]) -> None:
    study = {
        "object.slices": {"low": 2, "high": 8, "step": 3},
        "optimise.batch_size": {"low": 4, "high": 64, "log": True},
        "optimise.optimiser.name": {"choices": ["Adam", "NAdam"]},
        "constraints.positive_phase": {"choices": [False, True]},
        DEFOCUS: {"low": 10, "high": 20, "step": 2.5},
    }
    search(folder, search=study, trials=12, sampler="random")
    found = comparable(folder, "out")
    assert {r["values"]["object.slices"] for r in found} == {2, 5, 8}
    assert all(isinstance(r["values"]["optimise.batch_size"], int) for r in found)
    assert {r["values"]["optimise.optimiser.name"] for r in found} == {"Adam", "NAdam"}
    assert {r["values"]["constraints.positive_phase"] for r in found} == {False, True}
    assert {r["values"][DEFOCUS] % 2.5 for r in found} == {0.0}


@pytest.mark.parametrize("objective", ["contrast", "free_r_factor"])
def test_an_objective(folder: Path, formula: type[Formula], objective: str) -> None:
    summary = search(folder, objective=objective, trials=6).summary
    values = [float(row[objective]) for row in trials(folder)]
    best = max(values) if objective == "contrast" else min(values)
    assert summary["best"]["numbers"][objective] == best


def test_the_best_config_is_the_base_with_the_best_values(
    folder: Path, formula: type[Formula]
) -> None:
    """Without what made the trials short, and from any folder."""
    best = search(folder).summary["best"]
    config = load_config(ReconConfig, folder / "out" / "best.yaml")
    expected = load_config(ReconConfig, folder / "base.yaml")
    assert expected.beam is not None
    expected.data.path = str(folder / "tiny.h5")
    expected.beam.aberrations["defocus"] = best["values"][DEFOCUS]
    expected.scan.rotation_deg = best["values"][ROTATION]
    assert config == expected


@pytest.mark.parametrize("stop_in", [0, 4])
def test_a_stopped_search_goes_on(folder: Path, formula: type[Formula], stop_in: int) -> None:
    """With the trials of one that was not stopped; the one that was is begun anew."""
    pruner = {"name": "median", "startup": 2, "warmup": 1}
    search(folder, "unbroken", pruner=pruner)
    formula.begun, formula.stop_in = 0, stop_in
    stopped = search(folder, "stopped", pruner=pruner)
    assert not stopped.finished
    assert stopped.summary["trials"] == stop_in
    states = [r["state"] for r in comparable(folder, "stopped")]
    assert states[-1] == "running"
    resumed = search(folder, "stopped", pruner=pruner, resume=True)
    assert resumed.finished
    assert comparable(folder, "stopped") == comparable(folder, "unbroken")


def test_trials_that_were_interrupted_are_repeated(folder: Path, formula: type[Formula]) -> None:
    """As several workers leave them: the numbers of those that ended have gaps."""
    search(folder)
    path = folder / "out" / ledger.LEDGER_NAME
    content = json.loads(path.read_text())
    cut = [r | {"state": "running", "losses": [], "numbers": {}} for r in content["trials"][2:4]]
    content["trials"][2:4] = cut
    path.write_text(json.dumps(content))
    formula.begun = 0
    search(folder, resume=True)
    assert formula.begun == 2
    again = comparable(folder, "out")
    assert [r["values"] for r in again[2:4]] == [r["values"] for r in cut]
    assert {r["state"] for r in again} == {"complete"}


def test_more_trials_are_added(folder: Path, formula: type[Formula]) -> None:
    search(folder, "once", trials=7)
    search(folder, "twice", trials=4)
    formula.begun = 0
    search(folder, "twice", trials=7, resume=True)
    assert formula.begun == 3
    assert comparable(folder, "twice") == comparable(folder, "once")
    assert search(folder, "twice", trials=3, resume=True).summary["trials"] == 7
    assert formula.begun == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"objective": "r_factor"}, "objective"),
        ({"set": {"optimise.iterations": 9}}, "set.data.leave_out, set.optimise.iterations"),
        (
            {"search": SEARCH["search"] | {DEFOCUS: {"low": 0, "high": 300}}},
            "search.beam.aberrations.defocus.high",
        ),
    ],
)
def test_another_study_is_not_gone_on_with(
    folder: Path, formula: type[Formula], changes: dict[str, Any], field: str
) -> None:
    search(folder, trials=1)
    with pytest.raises(ConfigError, match="differs from the study that --resume") as caught:
        search(folder, resume=True, **changes)
    assert caught.value.field == field


def test_another_base_is_not_gone_on_with(folder: Path, formula: type[Formula]) -> None:
    search(folder, trials=1)
    write_base(folder, seed=3)
    with pytest.raises(ConfigError, match=r"^base\.seed: differs .*3 instead of 0"):
        search(folder, resume=True)


def test_nothing_earlier_is_overwritten(folder: Path, formula: type[Formula]) -> None:
    with pytest.raises(DataError, match=r"--resume: there is no .*study\.json"):
        search(folder, resume=True)
    search(folder, trials=2)
    with pytest.raises(OutputError, match=r"holds the study\.json of an earlier study"):
        search(folder, trials=1)
    search(folder, trials=1, overwrite=True)
    assert len(trials(folder)) == 1
    (folder / "out" / ledger.LEDGER_NAME).write_text("{")
    with pytest.raises(DataError, match="damaged or no study"):
        search(folder, resume=True)


def test_nothing_of_an_earlier_study_is_left(folder: Path, formula: type[Formula]) -> None:
    """Whose best values would pass for those of the study that replaced it."""
    search(folder, trials=2)
    own = folder / "out" / "mine.png"
    earlier = [folder / "out" / name for name in ("slices.png", "objects/0000.npz")]
    earlier[1].parent.mkdir()
    for path in (own, *earlier):
        path.touch()
    formula.fails_above = -1
    assert search(folder, trials=2, overwrite=True).summary["best"] is None
    assert not any(path.exists() for path in (folder / "out" / "best.yaml", *earlier))
    assert own.exists()


def test_a_trial_that_fails_is_told_and_avoided(folder: Path, formula: type[Formula]) -> None:
    """So are values that the config refuses together, and a run that lacks the objective."""
    formula.fails_above = 100
    summary = search(folder, trials=20, sampler={"name": "tpe", "startup": 8}).summary
    rows = trials(folder)
    failed = [row for row in rows if float(row[DEFOCUS]) > 100]
    assert summary["states"]["failed"] == len(failed) > 0
    for row in failed:
        assert (row["state"], row["loss"]) == ("failed", "")
        assert row["reason"] == "optimise: phase became infinite. Lower the rates."
    share = len([row for row in rows[:9] if row in failed]) / 9
    assert len([row for row in rows[9:] if row in failed]) / 11 < share
    assert summary["best"]["values"][DEFOCUS] <= 100


def test_values_that_exclude_each_other_fail_by_themselves(
    folder: Path, formula: type[Formula]
) -> None:
    """A single slice has no thickness to be fitted."""
    both = {
        "object.slices": {"choices": [1, 2]},
        "optimise.thickness.lr": {"choices": [0, 0.1]},
    }
    search(folder, search=both, trials=10, sampler="random")
    for row in trials(folder):
        refused = row["object.slices"] == "1" and row["optimise.thickness.lr"] == "0.1"
        assert (row["state"] == "failed") == refused
        assert ("a single slice" in row["reason"]) == refused


def test_best_values_that_the_base_refuses_without_set(
    folder: Path, formula: type[Formula]
) -> None:
    """A single slice has no thickness. The trials are not lost for that."""
    write_base(folder, object={"slices": 1}, optimise={"thickness": {"lr": 0}})
    study = {
        "set": {"object.slices": 2, "optimise.iterations": 4},
        "search": {"optimise.thickness.lr": {"low": 0.01, "high": 0.1}},
    }
    best = search(folder, trials=2, **study).summary["best"]
    assert 0.01 <= best["values"]["optimise.thickness.lr"] <= 0.1
    assert len(trials(folder)) == 2
    assert not (folder / "out" / "best.yaml").exists()


def test_a_search_of_which_no_trial_is_complete(folder: Path, formula: type[Formula]) -> None:
    formula.fails_above = -1
    summary = search(folder, trials=3).summary
    assert summary["best"] is None
    assert summary["states"]["failed"] == 3
    assert not (folder / "out" / "best.yaml").exists()
    assert not (folder / "out" / "history.png").exists()


@pytest.mark.parametrize(
    ("pruner", "objective"),
    [("median", "contrast"), ("percentile", "loss"), ("hyperband", "loss")],
)
def test_bad_trials_are_given_up(
    folder: Path, formula: type[Formula], pruner: str, objective: str
) -> None:
    """By their losses, whatever is sought; never the best of all."""
    section = {"name": pruner, "startup": 3, "warmup": 1, "keep": 50}
    search(folder, pruner=section, objective=objective, trials=16, sampler="random")
    found = comparable(folder, "out")
    pruned = [r for r in found if r["state"] == "pruned"]
    assert pruned
    assert all(len(r["losses"]) < 4 and not r["numbers"].get("loss") for r in pruned)
    complete = [r["losses"][-1] for r in found if r["state"] == "complete"]
    # At their last iteration they were behind the best.
    assert all(r["losses"][-1] - 1 / len(r["losses"]) + 1 / 4 > min(complete) for r in pruned)


def test_no_trial_begins_after_the_timeout(
    folder: Path, formula: type[Formula], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module.time, "monotonic", lambda: 10.0 * formula.begun)
    assert search(folder, timeout=25).summary["trials"] == 3
    formula.begun = 0
    assert search(folder, timeout=25, resume=True).summary["trials"] == 6


def test_a_full_disk(folder: Path, formula: type[Formula], monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials before are kept, and the study goes on from there."""
    search(folder, "unbroken", trials=4)
    atomic = ledger.atomic_path

    @contextmanager
    def full(target: Path) -> Any:
        if formula.begun == 7:  # four of the unbroken, then the third
            raise OSError(errno.ENOSPC, "No space left on device")
        with atomic(target) as path:
            yield path

    monkeypatch.setattr(ledger, "atomic_path", full)
    with pytest.raises(OutputError, match=r"No space left .*Make room, then go on with --resume"):
        search(folder, trials=4)
    monkeypatch.setattr(ledger, "atomic_path", atomic)
    search(folder, trials=4, resume=True)
    assert comparable(folder, "out") == comparable(folder, "unbroken")


def test_the_tables(folder: Path, formula: type[Formula]) -> None:
    search(folder, trials=6)
    assert trials(folder)[0].keys() >= {"trial", "state", DEFOCUS, ROTATION, "loss", "reason"}
    best, *_ = sorted(float(row["loss"]) for row in trials(folder))
    lines = (folder / "out" / "trials.tex").read_text().splitlines()
    assert f"${best:.4g}$" in lines[4]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ([DEFOCUS, ROTATION], {"history.png", "slices.png", "landscape.png"}),
        ([ROTATION], {"history.png", "slices.png"}),
    ],
)
def test_the_figures(
    folder: Path,
    formula: type[Formula],
    monkeypatch: pytest.MonkeyPatch,
    fields: list[str],
    names: set[str],
) -> None:
    drawn = {}
    monkeypatch.setattr(
        search_output, "write_figure", lambda path, draw: drawn.update({path.name: draw()})
    )
    study = {name: SEARCH["search"][name] for name in fields}
    search(folder, search=study, trials=3, sampler="random")
    assert drawn.keys() == names


def test_what_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = search_module.require_optuna.__globals__["importlib"].util
    monkeypatch.setattr(find, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"optuna: is not installed, .*fastpty\[tuning\]"):
        search(folder)
