"""Constraints of one's own, named in the config."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastpty.config.solve import ConstraintsConfig
from fastpty.constraints import apply_constraints
from fastpty.errors import ConfigError
from tests.config.complete import check
from tests.constraints.small_model import OFF, small_model

HERE = "tests.constraints.own_functions"


def applied(*entries: dict[str, Any], iteration: int = 1, **others: Any) -> torch.Tensor:
    """The phase afterwards, of a model that starts with 1 everywhere."""
    model = small_model()
    with torch.no_grad():
        model.phase.fill_(1.0)
    config = ConstraintsConfig(**(OFF | others), custom=list(entries))
    apply_constraints(model, config, iteration)
    assert (model.phase == model.phase[0, 0, 0, 0]).all()
    return model.phase.detach()[0, 0, 0, 0]


def test_they_act_in_order() -> None:
    add, double = ({"call": f"{HERE}:{name}"} for name in ("add_phase", "double_phase"))
    assert applied(add, double) == 4
    assert applied(double, add) == 3
    assert applied(add, add) == 3


def test_they_act_after_the_built_in_ones() -> None:
    assert (
        applied({"call": f"{HERE}:add_phase", "options": {"amount": -3}}, positive_phase=True) < 0
    )


def test_options_are_keywords() -> None:
    assert applied({"call": f"{HERE}:add_phase", "options": {"amount": 5}}) == 6
    assert applied({"call": f"{HERE}:Settings.lift", "options": {"by": 2}}) == 3


@pytest.mark.parametrize(
    ("iteration", "acts"), [(2, False), (3, True), (4, False), (5, True), (7, False)]
)
def test_schedule(iteration: int, acts: bool) -> None:
    entry = {"call": f"{HERE}:double_phase", "start": 3, "stop": 6, "every": 2}
    assert applied(entry, iteration=iteration) == (2 if acts else 1)


def test_a_new_tensor_is_refused() -> None:
    message = (
        r"constraints\.custom\.1\.call: .*replace_phase has put a new tensor in the place of "
        r"phase\. Write into the tensor that is there"
    )
    with pytest.raises(ConfigError, match=message):
        applied({"call": f"{HERE}:double_phase"}, {"call": f"{HERE}:replace_phase"})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{}", r"custom\.0\.call: is required and missing"),
        ("{call: math}", r"custom\.0\.call: must look like package\.module:name; found 'math'"),
        ("{call: 'a b:c'}", r"custom\.0\.call: must look like package\.module:name"),
        ("{call: ':c'}", r"custom\.0\.call: must look like package\.module:name"),
        ("{call: 3}", r"custom\.0\.call: must be text; found 3"),
        (
            "{call: 'no_such_module:f'}",
            r"custom\.0\.call: 'no_such_module' cannot be imported .*PYTHONPATH",
        ),
        (f"{{call: '{HERE}:add_phas'}}", r"custom\.0\.call: '.*' has no 'add_phas'; check"),
        (
            f"{{call: '{HERE}:NOT_A_FUNCTION'}}",
            r"custom\.0\.call: .* is not a function but of type int; name a function",
        ),
        (
            f"{{call: '{HERE}:add_phase', options: {{amont: 1}}}}",
            r"custom\.0: .*takes \(model.*unexpected keyword argument 'amont'; change options",
        ),
        (
            f"{{call: '{HERE}:Settings.lift'}}",
            r"custom\.0: .*missing a required argument: 'by'; change options",
        ),
        (f"{{call: '{HERE}:add_phase', every: 0}}", r"custom\.0\.every: must be at least 1"),
        (
            f"{{call: '{HERE}:add_phase', start: 4, stop: 3}}",
            r"custom\.0: stop = 3 is before start",
        ),
        (
            f"{{call: '{HERE}:add_phase', evry: 2}}",
            r"custom\.0\.evry: unknown key\. Did you mean 'ev",
        ),
        (
            f"{{call: '{HERE}:add_phase', options: 2}}",
            r"custom\.0\.options: must be a mapping of nam",
        ),
    ],
)
def test_refusals(entry: str, message: str) -> None:
    """When the config is read, not an hour later."""
    with pytest.raises(ConfigError, match=rf"^constraints\.{message}"):
        check(f"constraints.custom=[{entry}]")


@pytest.mark.parametrize("value", ["off", "null", "[]"])
def test_none_of_them(value: str) -> None:
    assert check(f"constraints.custom={value}").constraints.custom == []


@pytest.mark.parametrize("value", ["on", "3", "{call: 'math:sin'}"])
def test_only_a_list_will_do(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^constraints\.custom: .*list"):
        check(f"constraints.custom={value}")


def test_a_config_with_them_is_kept_as_text() -> None:
    """As checkpoints and results do."""
    entry = f"{{call: '{HERE}:add_phase', options: {{amount: 2}}}}"
    config = check(f"constraints.custom=[{entry}]")
    assert type(config).model_validate_json(config.model_dump_json()) == config
