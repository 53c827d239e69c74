"""Plans: what a stage says goes over the sections, and is checked as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastpty.config import ReconConfig, validate_config
from fastpty.config.load import parse_value
from fastpty.config.plan import Stage, overlay
from fastpty.errors import ConfigError
from tests.config.complete import COMPLETE, check


def plan_of(*stages: dict[str, Any], overrides: tuple[str, ...] = ()) -> ReconConfig:
    text = yaml.safe_dump([{"iterations": 5, **stage} for stage in stages], width=10_000)
    return check(*overrides, f"plan={text}")


def stage_of(stage: dict[str, Any], *overrides: str) -> Stage:
    (found,) = plan_of(stage, overrides=overrides).stages
    return found


def test_without_a_plan_the_sections_are_the_stage() -> None:
    config = check("optimise.iterations=7")
    (stage,) = config.stages
    assert (stage.name, stage.field, stage.iterations, config.iterations) == ("", "", 7, 7)
    assert stage.scan.full
    assert stage.optimise == config.optimise
    assert stage.loss == config.loss
    assert stage.constraints == config.constraints


def test_stages_follow_each_other() -> None:
    config = plan_of({"name": "a"}, {"iterations": 3}, {"name": "c", "iterations": 2})
    assert [(s.number, s.name, s.field, s.iterations) for s in config.stages] == [
        (0, "a", "plan.0.", 5),
        (1, "stage 2", "plan.1.", 3),
        (2, "c", "plan.2.", 2),
    ]
    assert config.iterations == 10


def test_what_a_stage_leaves_out_is_that_of_the_section() -> None:
    stage = stage_of(
        {"optimise": {"phase": {"start": 3}, "batch_size": 7}}, "optimise.phase.lr=0.1"
    )
    assert (stage.optimise.phase.lr, stage.optimise.phase.start) == (0.1, 3)
    assert stage.optimise.batch_size == 7
    assert stage.optimise.probe == check().optimise.probe


@pytest.mark.parametrize(
    ("base", "part", "std"),
    [
        ("{std: 0.7}", True, 0.7),
        ("{std: 0.7}", {}, 0.7),
        ("{std: 0.7}", {"every": 2}, 0.7),
        ("{std: 0.7}", {"std": 0.3}, 0.3),
        ("off", True, 0.4),
        ("off", {"every": 2}, 0.4),
        ("{std: 0.7}", False, None),
        ("{std: 0.7}", None, None),
    ],
)
def test_switches(base: str, part: Any, std: float | None) -> None:
    stage = stage_of({"constraints": {"blur_xy": part}}, f"constraints.blur_xy={base}")
    blur = stage.constraints.blur_xy
    assert (None if blur is None else blur.std) == std


def test_another_loss() -> None:
    stage = stage_of({"loss": {"gaussian": False, "poisson": True}})
    assert stage.loss.gaussian is None
    assert stage.loss.poisson is not None


def test_another_optimiser_brings_its_own_options() -> None:
    base = ("optimise.optimiser={name: SGD, momentum: 0.9}", "optimise.phase.options.nesterov=on")
    same = stage_of({"optimise": {"optimiser": {"dampening": 0.0}, "phase": {"lr": 1}}}, *base)
    assert same.optimise.options_for("phase") == {
        "momentum": 0.9,
        "dampening": 0.0,
        "nesterov": True,
    }
    other = stage_of({"optimise": {"optimiser": {"name": "Adam", "eps": 1e-6}}}, *base)
    assert other.optimise.options_for("phase") == {"eps": 1e-6}


def test_a_schedule_goes_as_a_whole() -> None:
    base = "optimise.schedule={warmup: 2, plateau: 3}"
    assert stage_of({"optimise": {"schedule": {"step": 4}}}, base).optimise.schedule.warmup == 0
    assert stage_of({"optimise": {"schedule": {}}}, base).optimise.schedule.constant
    assert stage_of({}, base).optimise.schedule.plateau == 3


def test_decays_end_with_their_stage() -> None:
    config = plan_of(
        {"iterations": 4},
        {"iterations": 9, "optimise": {"probe": {"schedule": {"decay": "linear"}}}},
        overrides=("optimise.schedule={decay: cosine}", "optimise.iterations=50"),
    )
    first, second = (stage.optimise for stage in config.stages)
    assert first.schedule.until == 4
    assert (second.schedule.until, second.probe.schedule.until) == (9, 9)
    # Written down: with more iterations the rates of those before stay.
    content = config.model_dump(mode="json")
    content["plan"][1]["iterations"] = 20
    again = validate_config(ReconConfig, content).stages[1].optimise
    assert (again.schedule.until, again.probe.schedule.until) == (9, 9)


def test_what_is_written_reads_back() -> None:
    config = plan_of(
        {"scan": {"center": [2, 3]}, "constraints": {"blur_xy": False, "positive_phase": True}},
        {"optimise": {"optimiser": {"name": "LBFGS"}}},
        overrides=("optimise.schedule={decay: cosine}", "optimise.accumulate=3"),
    )
    assert validate_config(ReconConfig, config.model_dump(mode="json")) == config


def test_nobodys_content_is_changed() -> None:
    plan = [{"iterations": 3, "optimise": {"probe": {"schedule": {"decay": "linear"}}}}]
    content = {**COMPLETE, "plan": plan}
    before = yaml.safe_dump(content)
    validate_config(ReconConfig, content)
    assert yaml.safe_dump(content) == before


def test_full_batch_leaves_what_belongs_to_batches_behind() -> None:
    stage = stage_of(
        {"optimise": {"optimiser": {"name": "LBFGS", "history_size": 4}}},
        "optimise.accumulate=3",
        "optimise.schedule.step=5",
        "optimise.probe={schedule: {decay: linear}, options: {eps: 1e-6}}",
    )
    assert stage.optimise.accumulate == 1
    assert stage.optimise.schedule_for("probe").constant
    assert stage.optimise.options_for("probe") == {"history_size": 4}


LBFGS = {"optimiser": {"name": "LBFGS"}}


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"optimise": {"phase": {"lrr": 1}}}, r"optimise\.phase\.lrr: unknown key\. Did you mean"),
        ({"optimise": {"fase": {}}}, r"optimise\.fase: unknown key\. Did you mean 'phase'\?"),
        (
            {"optimise": {"phase": {"lr": -1}}},
            r"optimise\.phase\.lr: must be at least 0; found -1\. It means: learning rate",
        ),
        ({"loss": {"gauss": True}}, r"loss\.gauss: unknown key\. Did you mean 'gaussian'\?"),
        ({"loss": {"gaussian": False}}, r"loss: gaussian, poisson, pacbed are all off"),
        ({"constraints": {"blur_xy": 3}}, r"constraints\.blur_xy: must be a mapping with"),
        ({"constraints": {"custom": [{"cal": 1}]}}, r"constraints\.custom\.0\.call: is required"),
        ({"optimise": {"iterations": 5}}, r"optimise\.iterations: belongs into plan\.1\.iter"),
        ({"optimise": 5}, r"optimise: must be a mapping of names to values; found 5"),
        ({"iterations": 0}, r"iterations: must be at least 1; found 0"),
        ({"name": ""}, r"name: "),
        ({"nam": "x"}, r"nam: unknown key\. Did you mean 'name'\?"),
        ({"scan": "ful"}, r"scan: must be full, or a mapping .*; found 'ful'"),
        ({"scan": {"centre": [1, 2]}}, r"scan\.centre: unknown key\. Did you mean 'center'\?"),
        ({"scan": {"center": [0, 2]}}, r"scan\.center\.0: must be at least 1; found 0"),
        (
            {"scan": {"center": [1, 2], "sub": [1, 2]}},
            r"scan: center and sub exclude each other; keep one",
        ),
        (
            {"scan": {"sub": [1, 2], "columns": [1, 2]}},
            r"scan: sub and rows and columns exclude each other",
        ),
        ({"scan": {"rows": [2, 2]}}, r"scan: rows = \[2, 2\] holds none; it must be \[a, b\]"),
        (
            {"optimise": {"optimiser": {"name": "LBFGS", "history": 3}}},
            r"optimise\.optimiser\.history: unknown key\. Did you mean 'history_size'\?",
        ),
        (
            {"optimise": {"optimiser": {"name": "LBFGS", "history_size": 0.5}}},
            r"optimise\.optimiser\.history_size: must be a whole number, at least 1; found 0\.5",
        ),
        (
            {"optimise": {**LBFGS, "accumulate": 2}},
            r"optimise: optimiser\.name = LBFGS adds .* accumulate = 2 would do nothing",
        ),
        (
            {"optimise": {**LBFGS, "probe": {"schedule": {"step": 2}}}},
            r"optimise: .*a schedule \(of probe\) has no meaning; remove it",
        ),
        (
            {"optimise": {**LBFGS, "probe": {"options": {"history_size": 2}}}},
            r"optimise: .*probe\.options have no meaning; put them beside optimiser\.name",
        ),
        ({"optimise": {"tilt": {"lr": 1}}}, r"optimise\.tilt\.lr = 1 would do nothing: a single"),
        ({"constraints": {"smooth_tilt": True}}, r"constraints\.smooth_tilt would do nothing"),
    ],
)
def test_refusals_name_the_stage(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"plan\.1\.{message}"):
        plan_of({}, stage)


def test_weights_have_bounds_that_full_batch_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"^optimise: .*knows no bounds.* occupancy\.lr = 0"):
        check("optimise.optimiser.name=LBFGS", "object.modes=2", "optimise.occupancy.lr=0.1")


def test_every_fault_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of({"optimise": {"phase": {"lr": -1}}, "loss": {"x": 1}}, {"constraints": {"y": 1}})
    for place in ("plan.0.optimise.phase.lr", "plan.0.loss.x", "plan.1.constraints.y"):
        assert f"{place}: " in str(caught.value)


def test_items_of_a_list_are_set_by_their_number() -> None:
    stages = "plan=[{iterations: 5}, {iterations: 6}]"
    config = check(stages, "plan.1.iterations=9", "plan.0.optimise.phase.lr=0.5")
    assert [stage.iterations for stage in config.stages] == [5, 9]
    assert config.stages[0].optimise.phase.lr == 0.5
    for beyond in ("plan.2.iterations=1", "plan.first.iterations=1"):
        with pytest.raises(ConfigError, match=r"^--set: plan is a list of 2, whose items are nam"):
            check(stages, beyond)


def test_the_base_is_left_alone() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert overlay(base, {"a": {"c": 4}}) == {"a": {"b": 1, "c": 4}, "d": 3}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_the_page_shows_what_is_valid() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        config = validate_config(ReconConfig, {**COMPLETE, **parse_value(block)})
        assert config.plan or config.convergence.patience
