"""The ptychographical iterative engines in a config: their fields, and what cannot be combined."""

from __future__ import annotations

import pytest

from fastpty.config import ReconConfig, validate_config
from fastpty.config.pie import PIE_ENGINES, PieConfig, fields_of
from fastpty.errors import ConfigError
from tests.config.complete import COMPLETE, check

SPECIAL = {"momentum_every": 7}


@pytest.mark.parametrize("engine", ["gradient", *PIE_ENGINES])
@pytest.mark.parametrize("field", PieConfig.model_fields)
def test_a_step_belongs_to_engines(engine: str, field: str) -> None:
    """What has no meaning is refused by name; the rest arrives."""
    value = SPECIAL.get(field, 0.125)
    overrides = (f"optimise.engine={engine}", f"optimise.pie.{field}={value}")
    if field in fields_of(engine):
        config = check(*overrides).optimise
        assert getattr(config.pie.settings(engine), field) == value
        return
    with pytest.raises(ConfigError, match=rf"^optimise\.pie\.{field}: has no meaning with engine"):
        check(*overrides)


def test_the_papers_steps_are_the_defaults() -> None:
    found = {engine: PieConfig().settings(engine) for engine in PIE_ENGINES}
    # ePIE: both factors 1, denominators the maxima.
    epie = found["epie"]
    assert (epie.object_step, epie.probe_step, epie.object_share, epie.probe_share) == (1, 1, 1, 1)
    assert found["pie"].object_share < 0.01
    assert found["rpie"].object_share < 1
    assert [found[engine].momentum_every > 0 for engine in PIE_ENGINES] == [False] * 3 + [True]
    assert all(settings.position_step == 0 for settings in found.values())


def test_an_unknown_engine() -> None:
    with pytest.raises(ConfigError, match=r"^optimise\.engine: must be 'gradient', 'pie', 'epie'"):
        check("optimise.engine=dm")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["optimise.optimiser.name=SGD"],
            r"optimise: .*engine = epie has no optimiser; remove opt",
        ),
        (["optimise.tiles=on"], r"optimise: .*engine = epie has no optimiser to go by tiles"),
        (["optimise.accumulate=2"], r"optimise: .*accumulate = 2 would do nothing; use a larger"),
        (["optimise.schedule.step=3"], r"optimise: .*schedule \(of amplitude\) has no meaning"),
        (["optimise.probe.schedule.step=3"], r"optimise: .*schedule \(of probe\) has no meaning"),
        (["optimise.phase.options={eps: 1e-7}"], r"optimise: .*remove phase\.options"),
        (["optimise.tilt.lr=1"], r"optimise: .*keep tilt fixed by tilt\.lr = 0"),
        (["detector.blur=0.5"], r"config: optimise\.engine = epie knows no detector\.blur"),
        (["loss={gaussian: off, poisson: on}"], r"config: .*whose misfit is loss\.gaussian"),
        (["loss.gaussian.power=0.4"], r"config: .*whose misfit is loss\.gaussian with power: 0\.5"),
        (["loss.sparse=on"], r"config: loss\.sparse would do nothing: optimise\.engine = epie"),
    ],
)
def test_what_has_no_meaning_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{message}"):
        check("optimise.engine=epie", *overrides)


def test_a_stage_of_another_engine_leaves_behind_what_is_not_its_own() -> None:
    config = check(
        "optimise.schedule.decay=cosine",
        "optimise.accumulate=2",
        "optimise.optimiser={name: RMSprop, momentum: 0.5}",
        "optimise.probe.options={momentum: 0.2}",
        "plan=[{iterations: 3, optimise: {engine: epie}}, {iterations: 2}]",
    )
    first, second = (stage.optimise for stage in config.stages)
    assert (first.engine, first.method, first.accumulate) == ("epie", "epie", 1)
    assert first.schedule.constant
    assert (second.engine, second.method, second.accumulate) == ("gradient", "RMSprop", 2)
    back = check(
        "optimise.engine=mpie",
        "optimise.pie={momentum_every: 9, object_step: 0.25}",
        "plan=[{iterations: 3}, {iterations: 3, optimise: {engine: rpie}}, "
        "{iterations: 2, optimise: {engine: gradient, optimiser: {name: LBFGS}}}]",
    )
    steps = [stage.optimise.pie.object_step for stage in back.stages]
    assert steps == [0.25, None, None]
    assert [stage.optimise.method for stage in back.stages] == ["mpie", "rpie", "LBFGS"]


def test_faults_are_told_where_the_stage_stands() -> None:
    plan = "plan=[{iterations: 3}, {iterations: 3, optimise: {engine: epie, "
    with pytest.raises(ConfigError, match=r"^plan\.1\.optimise\.pie\.momentum_every: has no mean"):
        check(plan + "pie: {momentum_every: 3}}}]")
    with pytest.raises(ConfigError, match=r"plan\.1\.loss\.sparse would do nothing"):
        check(plan + "batch_size: 1}, loss: {sparse: on}}]")


def test_what_moves() -> None:
    """The probe of PIE is known; positions need a step; a rate of 0 keeps anything fixed."""
    moving = {
        engine: [
            name
            for name in ("amplitude", "phase", "probe", "positions", "tilt")
            if check(f"optimise.engine={engine}").moves(name)
        ]
        for engine in ("gradient", "pie", "epie")
    }
    assert moving["gradient"] == ["amplitude", "phase", "probe", "positions"]
    assert moving["pie"] == ["amplitude", "phase"]
    assert moving["epie"] == ["amplitude", "phase", "probe"]
    free = check("optimise.engine=epie", "optimise.pie.position_step=1", "optimise.probe.lr=0")
    assert free.moves("positions")
    assert not free.moves("probe")


def test_a_search() -> None:
    """It has the steps of rpie, and moves positions by itself; its section is its own."""
    given = check("optimise.engine=search").optimise
    assert given.projects
    assert given.moves("positions")
    assert given.pie.settings("search") == given.pie.settings("rpie")
    plan = "plan=[{iterations: 2}, {iterations: 3, optimise: {engine: rpie}}]"
    stages = check("optimise.engine=search", "optimise.search.folds=3", plan).stages
    assert [stage.optimise.search.folds for stage in stages] == [3, 4]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimise.pie.position_step=0.5"], r"optimise\.pie\.position_step: has no meaning"),
        (["optimise.positions.lr=0"], r"optimise\.positions\.lr: keeps positions fixed"),
        (["object.modes=2"], r"config: .*search with object\.modes = 1"),
        (
            ["optimise.engine=rpie", "optimise.search.radius=3"],
            r"optimise\.search\.radius: has no meaning with engine: rpie",
        ),
    ],
)
def test_what_a_search_refuses(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{message}"):
        check("optimise.engine=search", *overrides)


def test_what_is_written_reads_back() -> None:
    config = check("optimise.engine=mpie", "optimise.pie={momentum_every: 9, position_step: 0.5}")
    assert validate_config(ReconConfig, config.model_dump(mode="json")) == config
    assert validate_config(ReconConfig, COMPLETE).optimise.engine == "gradient"
