"""The weighted sum of the terms that a config switches on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastpty.config.solve import LossConfig
from fastpty.loss import gaussian_loss, sparse_loss, total_loss
from fastpty.model import Model
from tests.tolerances import tolerance

CORNER = torch.tensor([[0, 0], [2, 3], [1, 1]])
INDEX = torch.tensor([2, 0])
MASK = torch.tensor(np.random.default_rng(1).random((4, 5)) < 0.7)


@pytest.fixture
def model() -> Model:
    generator = torch.Generator().manual_seed(0)
    return Model(
        amplitude=torch.ones(1, 2, 8, 9),
        phase=torch.randn(1, 2, 8, 9, generator=generator),
        probe=torch.ones(1, 4, 5, dtype=torch.complex64),
        corner=CORNER,
        shift=torch.zeros(3, 2),
        positions_start=CORNER.numpy().astype(np.float64),
        power_start=20.0,
    )


def test_the_sum_and_its_terms(model: Model) -> None:
    generator = torch.Generator().manual_seed(1)
    intensity, measured = torch.rand(2, 2, 4, 5, generator=generator)
    config = LossConfig(gaussian={"weight": 2, "power": 0.7}, sparse={"weight": 0.3})
    total, terms = total_loss(config, model, INDEX, intensity, measured, MASK)
    expected = {
        "gaussian": 2 * gaussian_loss(intensity, measured, 0.7, MASK),
        "sparse": 0.3 * sparse_loss(model.phase, CORNER[INDEX], (4, 5)),
    }
    assert list(terms) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, **tolerance("product", torch.float32))
    torch.testing.assert_close(
        total, expected["gaussian"] + expected["sparse"], **tolerance("product", torch.float32)
    )


def test_a_term_that_is_off_is_not_there(model: Model) -> None:
    intensity = torch.ones(2, 4, 5)
    total, terms = total_loss(LossConfig(), model, INDEX, intensity, intensity * 2, None)
    assert list(terms) == ["gaussian"]
    assert total == terms["gaussian"]
