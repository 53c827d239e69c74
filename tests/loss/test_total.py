"""The weighted sum of the terms that a config switches on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastpty.config.loss import LossConfig
from fastpty.loss import (
    gaussian_loss,
    pacbed_loss,
    poisson_loss,
    similarity_loss,
    sparse_loss,
    total_loss,
)
from fastpty.model import Model
from tests.config.test_rules import fields_of
from tests.tolerances import tolerance

CORNER = torch.tensor([[0, 0], [2, 3], [1, 1]])
INDEX = torch.tensor([2, 0])
MASK = torch.tensor(np.random.default_rng(1).random((4, 5)) < 0.7)
WINDOW = (4, 5)


@pytest.fixture
def model() -> Model:
    return some_model()


def some_model() -> Model:
    """Two object modes."""
    generator = torch.Generator().manual_seed(0)
    amplitude, phase = torch.randn(2, 2, 2, 8, 9, generator=generator)
    return Model(
        amplitude=amplitude,
        phase=phase,
        probe=torch.ones(1, *WINDOW, dtype=torch.complex64),
        corner=CORNER,
        shift=torch.zeros(3, 2),
        positions_start=CORNER.numpy().astype(np.float64),
        power_start=20.0,
        occupancy=torch.tensor([0.6, 0.4]),
    )


def some_patterns() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    intensity, measured = torch.rand(2, 2, *WINDOW, generator=generator)
    return intensity, measured


# Every field of every term, away from its default.
SETTINGS: dict[str, dict[str, Any]] = {
    "gaussian": {"weight": 2.0, "power": 0.7, "eps": 1e-3, "form": "ratio"},
    "poisson": {"weight": 0.6, "power": 0.9, "eps": 1e-2},
    "pacbed": {"weight": 0.4, "power": 0.3, "eps": 1e-3},
    "sparse": {"weight": 0.3, "power": 2.0},
    "similarity": {"weight": 0.2, "parts": "phase", "blur": 0.7, "blocks": [2, 1, 3]},
}


def test_the_sum_and_its_terms(model: Model) -> None:
    pair = some_patterns()
    total, terms = total_loss(LossConfig(**SETTINGS), model, INDEX, *pair, MASK)
    corner, occupancy = CORNER[INDEX], model.occupancy
    expected = {
        "gaussian": 2.0 * gaussian_loss(*pair, 0.7, MASK, eps=1e-3, form="ratio"),
        "poisson": 0.6 * poisson_loss(*pair, 0.9, MASK, eps=1e-2),
        "pacbed": 0.4 * pacbed_loss(*pair, 0.3, MASK, eps=1e-3),
        "sparse": 0.3 * sparse_loss(model.phase, corner, WINDOW, 2.0, occupancy),
        "similarity": 0.2
        * similarity_loss(
            model.amplitude,
            model.phase,
            corner,
            WINDOW,
            parts="phase",
            blur=0.7,
            blocks=(2, 1, 3),
            occupancy=occupancy,
        ),
    }
    assert list(terms) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, **tolerance("product", torch.float32))
    torch.testing.assert_close(total, sum(expected.values()), **tolerance("product", torch.float32))


FIELDS = [name for name, _ in fields_of(LossConfig) if "." in name]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_does_something(model: Model, field: str) -> None:
    name, _, inner = field.partition(".")
    pair = some_patterns()
    losses = [
        total_loss(LossConfig(**{name: settings}), model, INDEX, *pair, MASK)[0]
        for settings in ({}, {inner: SETTINGS[name][inner]})
    ]
    assert losses[0] != losses[1]


def test_a_term_that_is_off_is_not_there(model: Model) -> None:
    intensity = torch.ones(2, *WINDOW)
    total, terms = total_loss(LossConfig(), model, INDEX, intensity, intensity * 2, None)
    assert list(terms) == ["gaussian"]
    assert total == terms["gaussian"]


@pytest.mark.parametrize("name", ["poisson", "pacbed"])
def test_another_misfit_alone(model: Model, name: str) -> None:
    config = LossConfig(**{"gaussian": False, name: True})
    intensity, measured = some_patterns()
    intensity.requires_grad_()
    total, terms = total_loss(config, model, INDEX, intensity, measured, MASK)
    assert list(terms) == [name]
    (gradient,) = torch.autograd.grad(total, intensity)
    assert gradient[:, MASK].any()
