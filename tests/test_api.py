"""``fastpty.reconstruct``: what the command does, with arrays in place of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

import fastpty
from fastpty.config import ReconConfig, validate_config
from fastpty.engines import IterationReport
from fastpty.errors import ConfigError, DataError, OutputError
from fastpty.job import run_job
from fastpty.recon import Observer, Reconstruction
from fastpty.results import Results, read_results
from tests.recon_cases import TINY, Tiny, make_tiny, merged, write_config


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def counts(tiny: Tiny) -> NDArray[np.float32]:
    with h5py.File(tiny.folder / "tiny.h5") as file:
        return np.asarray(file["data"])


@pytest.fixture(scope="module")
def expected(tiny: Tiny) -> Results:
    """From the file, by the way that the command takes."""
    run = Reconstruction.from_config(validate_config(ReconConfig, TINY), tiny.folder)
    run.run()
    return run.results()


def without(section: str, *names: str) -> dict[str, Any]:
    return merged(TINY, {section: dict.fromkeys(names)})


def assert_same(found: Results, expected: Results) -> None:
    assert found.history.loss == expected.history.loss
    for name in ("amplitude", "phase", "probe", "positions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_config_file(tiny: Tiny, expected: Results) -> None:
    assert_same(fastpty.reconstruct(write_config(tiny), quiet=True), expected)


def test_a_dict_with_an_array(counts: NDArray[np.float32], expected: Results) -> None:
    config = without("data", "path", "dataset")
    assert_same(fastpty.reconstruct(config, counts, quiet=True), expected)
    assert "data" in config and config["data"] == {}, "the caller's dict was changed"


def test_an_array_instead_of_the_file_that_the_config_names(
    tiny: Tiny, counts: NDArray[np.float32], expected: Results
) -> None:
    """Such as patterns that were corrected first; `dataset` goes with the file."""
    config = merged(TINY, {"data": {"path": "elsewhere.h5", "dataset": None}})
    assert_same(fastpty.reconstruct(config, counts, quiet=True), expected)


def test_an_open_dataset_is_read_in_pieces(tiny: Tiny, expected: Results) -> None:
    with h5py.File(tiny.folder / "tiny.h5") as file:
        found = fastpty.reconstruct(without("data", "path", "dataset"), file["data"], quiet=True)
    assert_same(found, expected)


def test_a_tensor(counts: NDArray[np.float32], expected: Results) -> None:
    import torch

    config = without("data", "path", "dataset")
    assert_same(fastpty.reconstruct(config, torch.from_numpy(counts), quiet=True), expected)


def test_a_checked_config(tiny: Tiny, expected: Results) -> None:
    config = validate_config(ReconConfig, TINY)
    assert_same(fastpty.reconstruct(config, folder=tiny.folder, quiet=True), expected)


def test_arrays_in_place_of_paths(tiny: Tiny, counts: NDArray[np.float32]) -> None:
    """Positions and probe from memory are those from the file."""
    with h5py.File(tiny.folder / "tiny.h5") as file:
        positions, probe = file["positions_A"][:], file["probe"][:]
    changes = {
        "scan": {"step": None, "positions": {"path": positions, "unit": "angstrom"}},
        "probe": {"start": {"path": probe}},
        "data": {"path": counts.reshape(-1, *counts.shape[2:]), "dataset": None},
    }
    found = fastpty.reconstruct(merged(TINY, changes), quiet=True)
    scan = {"step": None, "positions": {"path": "tiny.h5", "dataset": "positions_A"}}
    scan["positions"]["unit"] = "angstrom"  # type: ignore[index]
    start = {"start": {"path": "tiny.h5", "dataset": "probe"}}
    from_file = merged(TINY, {"scan": scan, "probe": start})
    assert_same(found, fastpty.reconstruct(from_file, folder=tiny.folder, quiet=True))


def test_an_output_folder_holds_what_the_command_writes(
    tiny: Tiny, counts: NDArray[np.float32], tmp_path: Path
) -> None:
    with h5py.File(tiny.folder / "tiny.h5") as file:
        probe = file["probe"][:]
    config = merged(without("data", "path", "dataset"), {"probe": {"start": {"path": probe}}})
    found = fastpty.reconstruct(config, counts, output=tmp_path / "out", quiet=True)
    assert_same(read_results(tmp_path / "out" / "reconstruction.h5"), found)
    written = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text(encoding="utf-8"))
    np.testing.assert_array_equal(np.load(written["probe"]["start"]["path"]), probe)
    with pytest.raises(OutputError, match="earlier run"):
        fastpty.reconstruct(config, counts, output=tmp_path / "out", quiet=True)


def test_a_stopped_run_is_resumed(
    counts: NDArray[np.float32], tmp_path: Path, expected: Results
) -> None:
    config = without("data", "path", "dataset")

    def stop(run: Reconstruction, report: IterationReport) -> None:
        run.stop_requested = run.iteration == 2

    first = fastpty.reconstruct(config, counts, output=tmp_path, observers=[stop], quiet=True)
    assert len(first.history.loss) == 2
    found = fastpty.reconstruct(config, counts, output=tmp_path, resume=True, quiet=True)
    assert_same(found, expected)


def test_a_run_goes_on_with_its_own_arrays(
    tiny: Tiny, counts: NDArray[np.float32], tmp_path: Path
) -> None:
    """Others are refused, and do not take the place of those that the folder's config names."""
    with h5py.File(tiny.folder / "tiny.h5") as file:
        positions = file["positions_A"][:]

    def go_on(positions: NDArray[np.float64], **how: Any) -> Results:
        scan = {"step": None, "positions": {"path": positions, "unit": "angstrom"}}
        config = merged(without("data", "path", "dataset"), {"scan": scan})
        return fastpty.reconstruct(config, counts, output=tmp_path / "out", quiet=True, **how)

    def stop(run: Reconstruction, report: IterationReport) -> None:
        run.stop_requested = True

    go_on(positions, observers=[stop])
    with pytest.raises(DataError, match=r"^scan\.positions\.path: has other values than .*npy"):
        go_on(positions[::-1], resume=True)
    assert len(go_on(positions, resume=True).history.loss) > 1


def test_observers_and_functions_watch(tiny: Tiny) -> None:
    seen: list[str] = []

    class Watch(Observer):
        def started(self, run: Reconstruction) -> None:
            seen.append("started")

        def ended(self, run: Reconstruction) -> None:
            seen.append("ended")

    def say(run: Reconstruction, report: IterationReport) -> None:
        assert report.loss == run.history.loss[-1]
        seen.append(f"iteration {run.iteration}")

    config = merged(TINY, {"optimise": {"iterations": 2}})
    fastpty.reconstruct(config, folder=tiny.folder, observers=[Watch(), say], quiet=True)
    assert seen == ["started", "iteration 1", "iteration 2", "ended"]


def test_changes_go_over_the_config(tiny: Tiny) -> None:
    changes = {"optimise.iterations": np.int64(1), "object.slices": 1}
    found = fastpty.reconstruct(TINY, changes=changes, folder=tiny.folder, quiet=True)
    assert len(found.history.loss) == 1
    assert found.phase.shape[1] == 1


def test_results_begin_another_run(tiny: Tiny, expected: Results) -> None:
    config = merged(
        TINY,
        {
            "start": {"file": expected, "take": ["object", "probe", "positions"]},
            "optimise": {n: {"lr": 0} for n in ("amplitude", "phase", "probe", "positions")},
        },
    )
    found = fastpty.reconstruct(config, folder=tiny.folder, quiet=True)
    np.testing.assert_array_equal(found.phase, expected.phase)


def test_it_prints_as_the_command_does(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    fastpty.reconstruct(TINY, folder=tiny.folder)
    assert "iteration 3/3" in capsys.readouterr().out
    fastpty.reconstruct(TINY, folder=tiny.folder, quiet=True)
    assert capsys.readouterr().out == ""


def test_the_job_and_the_api_are_one(tiny: Tiny, tmp_path: Path, expected: Results) -> None:
    from rich.console import Console

    config = validate_config(ReconConfig, TINY)
    report = run_job(config, tiny.folder, tmp_path, Console(quiet=True))
    assert_same(report.results, expected)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"resume": True}, "resume"),
        ({"overwrite": True}, "overwrite"),
        ({"resume": True, "overwrite": True, "output": "out"}, "resume"),
        ({"observers": [3]}, "observers"),
        ({"changes": {"optimise.iterations": {1, 2}}}, "changes"),
        ({"changes": {"optimise.iteration": 1}}, "optimise.iteration"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], field: str, tiny: Tiny) -> None:
    with pytest.raises(ConfigError) as caught:
        fastpty.reconstruct(TINY, folder=tiny.folder, quiet=True, **arguments)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("data", "changes", "field"),
    [
        (np.zeros((3, 4)), {}, "data"),
        (np.zeros((5, 6, 24, 20), complex), {}, "data"),
        ([1, 2, 3], {}, "data"),
        (np.ma.masked_less(np.arange(14400.0).reshape(5, 6, 24, 20), 3), {}, "data"),
        (np.ones((5, 6, 24, 20)), {"dataset": "data"}, "data.dataset"),
        (np.ones((5, 6, 24, 20)), {"format": "npy"}, "data.format"),
        (np.ones((5, 6, 24, 20)), {"scan_shape": [3, 10]}, "data.scan_shape"),
    ],
)
def test_wrong_data_are_named(data: Any, changes: dict[str, Any], field: str) -> None:
    config = merged(without("data", "path", "dataset"), {"data": changes})
    with pytest.raises(DataError) as caught:
        fastpty.reconstruct(config, data, quiet=True)
    assert caught.value.field == field


def test_an_array_where_no_file_belongs() -> None:
    config = merged(TINY, {"scan": {"rotation_deg": np.zeros(3)}})
    with pytest.raises(ConfigError, match=r"scan.rotation_deg: is an array of shape \[3\]"):
        fastpty.reconstruct(config, quiet=True)


def test_gaps_in_an_array_are_no_values() -> None:
    positions = np.ma.masked_equal(np.arange(60.0).reshape(30, 2), 7)
    config = merged(TINY, {"scan": {"step": None, "positions": {"path": positions}}})
    with pytest.raises(DataError, match=r"scan\.positions\.path: is a masked array; 1 of"):
        fastpty.reconstruct(config, quiet=True)


def test_paths_are_paths(tiny: Tiny, expected: Results) -> None:
    """In a dict and in the changes as in a call."""
    config = merged(TINY, {"data": {"path": tiny.folder / "tiny.h5"}})
    assert_same(fastpty.reconstruct(config, quiet=True), expected)
    changes = {"data.path": tiny.folder / "tiny.h5"}
    assert_same(fastpty.reconstruct(TINY, changes=changes, quiet=True), expected)


def test_no_data_at_all() -> None:
    with pytest.raises(ConfigError, match=r"data\.path"):
        fastpty.reconstruct(without("data", "path", "dataset"), quiet=True)
