"""The optimise section: options of the optimiser, schedules, and what cannot be combined."""

from __future__ import annotations

import typing

import pytest
import torch

from fastpty.config import ReconConfig, validate_config
from fastpty.config.optimise import OptimiseConfig
from fastpty.config.optimisers import OptimiserName, options_of
from fastpty.errors import ConfigError
from tests.config.complete import COMPLETE, check

NAMES = list(typing.get_args(OptimiserName))


def optimise(*overrides: str) -> OptimiseConfig:
    return check(*[f"optimise.{override}" for override in overrides]).optimise


@pytest.mark.parametrize("name", NAMES)
def test_every_option_takes_its_own_default(name: str) -> None:
    found = optimise("probe.lr=0", f"optimiser.name={name}")
    content = found.model_dump(mode="json")
    content["optimiser"].update(options_of(name))
    again = OptimiseConfig(**content)
    assert again.optimiser.options == options_of(name)
    assert again.optimiser.name == name


@pytest.mark.parametrize("own", ["lr", "foreach", "fused", "capturable", "maximize", "params"])
def test_what_is_the_engines_is_no_option(own: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimise\.optimiser\.{own}: unknown key"):
        optimise(f"optimiser.{own}=1")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optimiser={name: SGD, betas: [0.9, 0.99]}",
            r"optimiser\.betas: unknown key\. Known: name, momentum, dampening, weight_decay",
        ),
        (
            "optimiser={name: SGD, momentun: 0.9}",
            r"optimiser\.momentun: .* Did you mean 'mom",
        ),
        ("phase.options={qqqqq: 1}", r"phase\.options\.qqqqq: unknown key\. Known: betas, eps"),
        ("optimiser.eps=small", r"optimiser\.eps: must be a number like 1e-08; found 'small'"),
        ("optimiser.eps=.nan", r"optimiser\.eps: must be a number like 1e-08; found nan"),
        ("optimiser.eps=on", r"optimiser\.eps: must be a number like 1e-08; found True"),
        ("optimiser.amsgrad=1", r"optimiser\.amsgrad: must be true or false; found 1"),
        ("optimiser.betas=0.9", r"optimiser\.betas: must be a list like \[0\.9, 0\.999\]; found"),
        ("optimiser.betas=[0.9]", r"optimiser\.betas: must be a list like"),
        ("optimiser.betas=[2, 0.9]", r"optimiser\.betas: is refused by Adam: Invalid beta"),
        (
            "optimiser={name: SGD, nesterov: on}",
            r"optimiser\.nesterov: is refused by SGD: Nesterov",
        ),
        ("probe.options={eps: -1}", r"probe\.options\.eps: is refused by Adam: Invalid epsilon"),
        ("probe.options=on", r"probe\.options: cannot be switched on or off"),
    ],
)
def test_options_that_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimise\.{message}"):
        optimise(override)


def test_every_fault_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        optimise("phase.options={qqqqq: 1, eps: x}", "probe.options.betas=3")
    for place in ("phase.options.qqqqq", "phase.options.eps", "probe.options.betas"):
        assert f"optimise.{place}: " in str(caught.value)


def test_options_that_need_each_other() -> None:
    """Nesterov's step needs a momentum, which may be that for all."""
    assert optimise("optimiser={name: SGD, nesterov: on, momentum: 0.9}").optimiser.options == {
        "nesterov": True,
        "momentum": 0.9,
    }
    found = optimise("optimiser={name: SGD, momentum: 0.9}", "phase.options.nesterov=on")
    assert found.options_for("phase") == {"momentum": 0.9, "nesterov": True}
    assert found.options_for("probe") == {"momentum": 0.9}
    with pytest.raises(
        ConfigError, match=r"^optimise\.phase\.options\.momentum: is refused by SGD"
    ):
        optimise(
            "optimiser={name: SGD, momentum: 0.9, nesterov: on}", "phase.options={momentum: 0}"
        )


@pytest.mark.parametrize(
    ("name", "reason"), [("Muon", "takes matrices only"), ("SparseAdam", "takes sparse gradients")]
)
def test_optimisers_that_are_of_no_use(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimise\.optimiser\.name: {name} {reason}"):
        optimise(f"optimiser.name={name}")


@pytest.mark.parametrize(
    ("name", "dtype", "words"),
    [
        ("Muon", torch.float32, "2D"),
        ("SparseAdam", torch.float32, "dense gradients"),
        ("Adafactor", torch.complex64, "complex"),
    ],
)
def test_torch_refuses_them_too(name: str, dtype: torch.dtype, words: str) -> None:
    """The reasons that are given are those of the torch installed, if that has the optimiser."""
    if not hasattr(torch.optim, name):
        pytest.skip(f"torch {torch.__version__} has no {name}")
    unknown = torch.ones(2, 6, 5, dtype=dtype, requires_grad=True)
    unknown.grad = torch.ones_like(unknown)
    with pytest.raises((ValueError, RuntimeError), match=words):
        getattr(torch.optim, name)([unknown]).step()


def test_an_optimiser_that_torch_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Adafactor")
    message = r"^optimise\.optimiser: Adafactor is not in torch .*; update torch"
    with pytest.raises(ConfigError, match=message):
        optimise("optimiser.name=Adafactor")


def test_real_numbers_only() -> None:
    with pytest.raises(ConfigError, match=r"^optimise: .*Adafactor takes real numbers only"):
        optimise("optimiser.name=Adafactor")
    assert optimise("optimiser.name=Adafactor", "probe.lr=0").optimiser.name == "Adafactor"


@pytest.mark.parametrize("where", ["schedule", "probe.schedule"])
def test_step_sizes_that_no_schedule_changes(where: str) -> None:
    with pytest.raises(ConfigError, match=r"^optimise: .*Rprop finds the size of its steps itself"):
        optimise("optimiser.name=Rprop", f"{where}.step=3")
    assert optimise("optimiser.name=Rprop", f"{where}={{}}").schedule.constant


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("{step: 5, plateau: 3}", "step and plateau exclude each other; keep one"),
        ("{decay: linear, step: 3}", "decay and step exclude each other"),
        ("{decay: exponential, floor: 0}", "floor must be greater than 0 with decay: exponential"),
        ("{hold: 3}", "hold has no meaning without decay"),
        ("{until: 3, step: 2}", "until has no meaning without decay"),
        (
            "{warmup: 5, hold: 5, decay: linear, until: 10}",
            r"until = 10 must be after warmup \+ hold = 10",
        ),
    ],
)
@pytest.mark.parametrize("where", ["schedule", "positions.schedule"])
def test_schedules_that_are_refused(where: str, schedule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimise\.{where}: {message}"):
        optimise(f"{where}={schedule}")


def test_an_unknown_decay() -> None:
    with pytest.raises(ConfigError, match=r"^optimise\.schedule\.decay: must be 'linear', 'cos"):
        optimise("schedule.decay=square")


def test_an_unknown_has_its_own_schedule_or_that_of_all() -> None:
    found = optimise("schedule.step=5", "phase.schedule={}", "probe.schedule.plateau=3")
    assert found.schedule_for("amplitude") is found.schedule
    assert found.schedule_for("phase").constant
    assert found.schedule_for("probe").plateau == 3


def test_a_decay_knows_its_end() -> None:
    found = optimise("iterations=50", "schedule.decay=cosine", "phase.schedule={decay: linear}")
    assert found.schedule.until == found.phase.schedule.until == 50
    assert optimise("schedule={decay: cosine, until: 7}").schedule.until == 7
    assert optimise("iterations=3", "schedule={hold: 7, decay: cosine}").schedule.until == 8
    assert optimise("schedule.step=3").schedule.until is None


def test_what_is_written_reads_back() -> None:
    config = check(
        "optimise.iterations=3",
        "optimise.optimiser={name: SGD, momentum: 0.9}",
        "optimise.phase.options={nesterov: on}",
        "optimise.schedule={warmup: 2, hold: 40, decay: cosine}",
        "optimise.probe.schedule={decay: exponential}",
    )
    assert validate_config(ReconConfig, config.model_dump(mode="json")) == config


def test_nobodys_section_is_changed() -> None:
    """The end of a decay is written into a copy."""
    given = OptimiseConfig(schedule={"decay": "linear"}, probe={"schedule": {"decay": "linear"}})
    for iterations in (5, 9):
        ending = given.ending(iterations)
        assert ending.iterations == ending.schedule.until == iterations
        assert ending.probe.schedule.until == iterations
    assert given.schedule.until is given.probe.schedule.until is None


@pytest.mark.parametrize(("given", "found"), [("auto", "auto"), ("on", True), ("off", False)])
def test_tiles(given: str, found: object) -> None:
    assert optimise(f"tiles={given}").tiles is found


@pytest.mark.parametrize("value", ["yess", "2", "null"])
def test_tiles_is_a_switch_or_auto(value: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^optimise\.tiles: must be 'auto', True or False; found"
    ):
        optimise(f"tiles={value}")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("optimiser.name=AdamW", "optimiser.name must be Adam, found AdamW"),
        ("optimiser.weight_decay=0.1", "weight_decay moves all of the amplitude in every step"),
        ("phase.options={amsgrad: on}", "amsgrad, of the phase, is not known there"),
        (
            "optimiser.betas=[0.9, 0.95]",
            r"betas = \[0.9, 0.95\], of the amplitude, forget too fast",
        ),
        ("optimiser.betas=[0.5, 0.0]", r"betas = \[0.5, 0.0\], of the amplitude, forget too fast"),
    ],
)
def test_tiles_need_plain_adam(options: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimise: tiles = on cannot be: {reason}"):
        optimise("tiles=on", options)
    assert optimise("tiles=auto", options).tiles == "auto"


@pytest.mark.parametrize(
    "options", ["probe.options={weight_decay: 0.1}", "optimiser.betas=[0.9, 0.99]"]
)
def test_what_tiles_do_not_mind(options: str) -> None:
    assert optimise("tiles=on", options).tiles is True


@pytest.mark.parametrize("grouping", ["compactt", "hilbert", "on"])
def test_an_unknown_grouping(grouping: str) -> None:
    with pytest.raises(ConfigError, match=r"^optimise\.grouping: "):
        optimise(f"grouping={grouping}")


def test_the_default_is_plain_adam() -> None:
    found = validate_config(ReconConfig, COMPLETE).optimise
    assert (found.optimiser.name, found.optimiser.options) == ("Adam", {})
    assert (found.grouping, found.accumulate) == ("random", 1)
    assert found.schedule.constant
