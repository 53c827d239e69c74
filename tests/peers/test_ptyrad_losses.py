"""Every loss and its gradient against PtyRAD 1.0.0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from fastpty.config.loss import LossConfig
from fastpty.forward import simulate_patterns
from fastpty.loss import (
    gaussian_loss,
    pacbed_loss,
    poisson_loss,
    similarity_loss,
    sparse_loss,
    total_loss,
)
from tests.peers.agreement import assert_agrees, model_of, ptyrad, tensors
from tests.peers.ptyrad_inputs import BATCH, FORWARD, flat_rim, patterns, state

MISFITS: dict[str, Callable[..., torch.Tensor]] = {
    "single": partial(gaussian_loss, power=0.5),
    "single, power": partial(gaussian_loss, power=0.3),
    "poissn": partial(poisson_loss, power=1.0, eps=1e-6),
    "poissn, power": partial(poisson_loss, power=0.5, eps=1e-3),
    "pacbed": partial(pacbed_loss, power=0.2),
    "pacbed, power": partial(pacbed_loss, power=1.0),
}
CASE = FORWARD["tilt and thickness"]
BATCHED = torch.tensor(BATCH)


@pytest.mark.parametrize("name", MISFITS)
def test_misfit_to_the_patterns(name: str) -> None:
    simulated, measured = (torch.from_numpy(a) for a in patterns())
    simulated.requires_grad_()
    value = MISFITS[name](simulated, measured)
    value.backward()
    agree(name, value, {"intensity": simulated.grad})


@pytest.mark.parametrize(("name", "power"), [("sparse", 1), ("sparse, power", 2)])
def test_sparse(name: str, power: int) -> None:
    """PtyRAD cuts the patches out; fastpty counts how many hold a voxel."""
    given = tensors(state(CASE))
    phase = given["phase"].requires_grad_()
    value = sparse_loss(phase, given["corner"][BATCHED], CASE.window, power, given["occupancy"])
    value.backward()
    agree(name, value, {"phase": phase.grad})


@pytest.mark.parametrize(("name", "parts"), [("simlar", "both"), ("simlar, phase", "phase")])
def test_similarity(name: str, parts: str) -> None:
    """Without blur and blocks patches and object give the same."""
    given = tensors(state(CASE))
    leaves = {k: given[k].requires_grad_() for k in ("amplitude", "phase")}
    value = similarity_loss(
        *leaves.values(),
        given["corner"][BATCHED],
        CASE.window,
        parts=parts,
        blur=0.0,
        occupancy=given["occupancy"],
    )
    value.backward()
    agree(name, value, {k: leaf.grad for k, leaf in leaves.items() if leaf.grad is not None})


def test_similarity_of_what_a_blur_leaves() -> None:
    """fastpty blurs the object, PtyRAD each patch: here one patch is the object, and nothing varies
    near its edges. A ``scale_factor`` of 1/b is a block of b."""
    leaves = {k: leaf.requires_grad_() for k, leaf in tensors(flat_rim()).items()}
    window = leaves["phase"].shape[-2:]
    value = similarity_loss(
        *leaves.values(),
        torch.zeros(1, 2, dtype=torch.int64),
        (window[0], window[1]),
        blur=1.5,
        blocks=(2, 2, 4),
        occupancy=torch.tensor([0.25, 0.75], dtype=torch.float64),
    )
    value.backward()
    inner = (..., slice(4, -4), slice(4, -4))
    theirs = ptyrad("loss/simlar, blurred")
    assert_agrees(value, theirs["value"], "ptyrad")
    # What a voxel near the edge takes back from beyond it is another matter.
    for name, leaf in leaves.items():
        assert_agrees(leaf.grad[inner], theirs[name][inner], "ptyrad", name)


def agree(name: str, value: torch.Tensor, gradients: dict[str, torch.Tensor]) -> None:
    theirs = ptyrad(f"loss/{name}")
    assert {"value", *gradients} == set(theirs)
    assert_agrees(value, theirs["value"], "ptyrad", name)
    for what, gradient in gradients.items():
        assert_agrees(gradient, theirs[what], "ptyrad", what)


def test_all_of_them_through_the_model() -> None:
    """The weighted sum as a config gives it, and the gradient of everything that a fit moves."""
    model = model_of(state(CASE))
    names = ("amplitude", "phase", "probe", "shift", "tilt", "thickness")
    leaves: dict[str, torch.Tensor] = {name: getattr(model, name) for name in names}
    for leaf in leaves.values():
        leaf.requires_grad_()
    intensity = simulate_patterns(model, BATCHED)
    config = LossConfig(
        gaussian={"weight": 1.0, "power": 0.5},
        poisson={"weight": 0.3},
        pacbed={"weight": 0.5, "power": 0.2},
        sparse={"weight": 0.1},
        similarity={"weight": 0.1, "blur": 0.0},
    )
    theirs = ptyrad("loss/all")
    measured = torch.fft.ifftshift(theirs["measured"].double(), dim=(-2, -1))
    value, terms = total_loss(config, model, BATCHED, intensity, measured, None)
    value.backward()
    assert_agrees(value, theirs["value"], "ptyrad propagated")
    assert_agrees(torch.stack(list(terms.values())), theirs["terms"], "ptyrad propagated")
    gradients = {name: leaf.grad for name, leaf in leaves.items()}
    gradients["probe"] = torch.view_as_real(gradients["probe"])
    for name, gradient in gradients.items():
        assert_agrees(gradient, theirs[name], "ptyrad propagated", name)
