"""The files of studies: what they refuse, and what is refused before the first trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastpty.config import validate_config
from fastpty.errors import ConfigError
from fastpty.tune import AblateConfig, TuneConfig
from fastpty.tune.base import holds_whole_numbers, read_base
from fastpty.tune.config import RangeConfig
from tests.tune.cases import SEARCH, Formula, ablate, search, write_base

DEFOCUS = "beam.aberrations.defocus"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, r"^trails: unknown key\. Did you mean 'trials'"),
        ({"search": {}}, r"^search: names no field"),
        ({"search": {DEFOCUS: {"low": 1}}}, "give low and high, or choices"),
        ({"search": {DEFOCUS: {"low": 2, "high": 1}}}, "low = 2 must be less than high = 1"),
        ({"search": {DEFOCUS: {"low": 0, "high": 1, "log": True}}}, "log needs low above 0"),
        (
            {"search": {DEFOCUS: {"low": 1, "high": 2, "step": 1, "log": True}}},
            "log and step exclude each other",
        ),
        ({"search": {DEFOCUS: {"low": 0, "choices": [1, 2]}}}, "choices and low exclude"),
        ({"search": {DEFOCUS: {"choices": [1]}}}, r"must be two values or more; found \[1\]"),
        ({"sampler": "annealing"}, "sampler.name: must be 'gp', 'tpe' or 'random'"),
        ({"objective": "speed"}, "objective: must be 'loss', "),
        (
            {"search": {"loss.sparse.weight": {"low": 0, "high": 1}}},
            "objective is loss, and search changes loss.sparse.weight: .* use r_factor",
        ),
        (
            {"search": {"plan.0.loss.sparse.weight": {"low": 0, "high": 1}}},
            "search changes plan.0.loss.sparse.weight",
        ),
        (
            {
                "search": {"loss.sparse.weight": {"low": 0, "high": 1}},
                "objective": "r_factor",
                "pruner": "median",
            },
            "pruner is median, which goes by losses, and search changes loss.sparse.weight",
        ),
    ],
)
def test_a_search_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate_config(TuneConfig, SEARCH | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": {}}, r"^vary: names no field"),
        ({"vary": {"object.slices": [1]}}, "object.slices must have two values or more; found 1"),
        ({"vary": {"object.slices": 2}}, "must be a list of values, or a mapping of variants"),
        ({"vary": {"a": {"one": {}, "two": 2}}}, "a.two must be a mapping of fields to values"),
        ({"seeds": [1, 1]}, "must be one seed or more, each once"),
        (
            {
                "vary": {"object.slices": [1, 2], "a": {"one": {}, "two": {"object.slices": 3}}},
                "design": "product",
            },
            "object.slices and a both change object.slices; in a product",
        ),
        ({"vary": {"seed": [1, 2]}}, "changes seed, which comes from seeds"),
        ({"vary": {"a": {"one": {}, "two": {"seed": 2}}}}, "changes seed, which comes from seeds"),
        ({"set": {"seed": 2}}, "changes seed, which comes from seeds"),
    ],
)
def test_an_ablation_is_refused(changes: dict[str, Any], message: str) -> None:
    study = {"base": "base.yaml", "vary": {"object.slices": [1, 2]}}
    with pytest.raises(ConfigError, match=message):
        validate_config(AblateConfig, study | changes)


def test_a_name_stands_for_its_section() -> None:
    study = validate_config(TuneConfig, SEARCH | {"sampler": "gp", "pruner": "median"})
    assert study.sampler.name == "gp"
    assert study.pruner.name == "median"


def test_switches_can_be_tried() -> None:
    given = {"constraints.positive_phase": {"choices": [False, True]}}
    study = validate_config(TuneConfig, SEARCH | {"search": given})
    assert study.search["constraints.positive_phase"].choices == [False, True]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"search": {"object.slics": {"low": 1, "high": 4}}}, "search.object.slics", "'slices'"),
        ({"search": {"probe.modes": {"low": 0, "high": 4}}}, "search.probe.modes", "at least 1"),
        (
            {"search": {"object.slices": {"low": 1.5, "high": 4}}},
            "search.object.slices",
            "a whole number",
        ),
        (
            {"search": {"optimise.optimiser.name": {"choices": ["Adam", "Eve"]}}},
            "search.optimise.optimiser.name",
            "Eve",
        ),
        ({"search": {"seed.x": {"low": 0, "high": 1}}}, "search.seed.x", "seed"),
        ({"set": {"optimise.iteration": 3}}, "set", "iteration: unknown key"),
        ({"base": "other.yaml"}, None, "no such file"),
        ({"objective": "free_r_factor", "set": {}}, "objective", "data.leave_out is 0"),
    ],
)
def test_nothing_runs_in_vain(
    tmp_path: Path,
    formula: type[Formula],
    changes: dict[str, Any],
    field: str | None,
    message: str,
) -> None:
    write_base(tmp_path, seed=1)
    with pytest.raises(Exception, match=message) as caught:
        search(tmp_path, **changes)
    assert field is None or caught.value.field == field
    assert not (tmp_path / "out").exists()
    assert formula.begun == 0


def test_an_ablation_of_a_field_that_is_none(tmp_path: Path, formula: type[Formula]) -> None:
    write_base(tmp_path)
    with pytest.raises(ConfigError, match=r"^vary\.object\.slics: object\.slics = 1 is refused"):
        ablate(tmp_path, vary={"object.slics": [1, 2]})
    with pytest.raises(ConfigError, match=r"^vary\.a\.two: is refused: object\.slices: must be a"):
        ablate(tmp_path, vary={"a": {"one": {}, "two": {"object.slices": "x"}}})


def test_a_ptyrad_file_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("init_params: {}\n")
    with pytest.raises(ConfigError, match=r"is a PtyRAD file\. .*fastpty convert"):
        search(tmp_path)


@pytest.mark.parametrize(
    ("name", "given", "whole"),
    [
        ("object.slices", {"low": 1, "high": 8}, True),
        ("optimise.batch_size", {"low": 8, "high": 64, "log": True}, True),
        ("plan.0.optimise.batch_size", {"low": 8, "high": 64}, True),
        ("plan.0.iterations", {"low": 8, "high": 64}, True),
        ("scan.rotation_deg", {"low": -5, "high": 5}, False),
        ("beam.aberrations.defocus", {"low": -5, "high": 5}, False),
        ("scan.step", {"low": 1, "high": 5}, False),
        ("beam.aberrations.defocus", {"low": -5, "high": 5, "step": 5}, True),
        ("beam.aberrations.defocus", {"low": -5, "high": 5, "step": 2.5}, False),
        ("object.slices", {"low": 1.5, "high": 8}, False),
    ],
)
def test_which_fields_hold_whole_numbers(name: str, given: dict[str, Any], whole: bool) -> None:
    assert holds_whole_numbers(name, validate_config(RangeConfig, given)) is whole


def test_the_values_of_trials_go_over_set(tmp_path: Path) -> None:
    write_base(tmp_path)
    study = validate_config(TuneConfig, SEARCH | {"set": {"probe.modes": 3, "seed": 5}})
    base = read_base(study, tmp_path)
    config = base.config({"probe.modes": 1})
    assert (config.probe.modes, config.seed) == (1, 5)
    whole = base.config({"probe.modes": 1}, whole=True)
    assert (whole.probe.modes, whole.seed) == (1, 0)
