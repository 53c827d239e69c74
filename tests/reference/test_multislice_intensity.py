"""multislice_intensity against explicit sums, and its gradients to second order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty import reference
from tests.reference import explicit
from tests.reference.cases import CASES, DTYPES, OPTICS, Case, assert_near, cases, gradients

NAMES = ("probe", "obj", "shift", "thickness", "tilt", "occupancy")


def inputs_of(case: Case, dtype: torch.dtype, shared_tilt: bool = False) -> dict[str, torch.Tensor]:
    """All floating inputs, the object complex."""
    return {
        "probe": case.probe(dtype),
        "obj": case.obj(dtype),
        "shift": case.shift(dtype),
        "thickness": case.thickness(dtype),
        "tilt": case.tilt(dtype, shared=shared_tilt),
        "occupancy": case.occupancy(dtype),
    }


def intensity(case: Case, optics: dict[str, Any]) -> Any:
    """The op as a function of the six inputs in the order of ``NAMES``."""

    def function(*inputs: torch.Tensor) -> torch.Tensor:
        named = dict(zip(NAMES, inputs, strict=True))
        return reference.multislice_intensity(corner=case.corner(), **named, **optics)

    return function


def compare(case: Case, dtype: torch.dtype, shared_tilt: bool, optics: dict[str, Any]) -> None:
    inputs = inputs_of(case, dtype, shared_tilt)
    out, *grads = gradients(intensity(case, optics), case, *inputs.values())
    wide = {name: explicit.double(x) for name, x in inputs.items()} | optics
    wide["corner"] = case.corner().numpy()
    assert_near(out, explicit.multislice_intensity(**wide), "chain")
    expected = explicit.multislice_intensity_adjoint(
        explicit.double(case.gradient_like(out)), **wide
    )
    size = float(torch.as_tensor(expected["occupancy"]).abs().max())
    for name, actual in zip(NAMES, grads, strict=True):
        wanted = expected[name]
        if case.Nz == 1 and name == "tilt":
            assert not actual.any()  # nothing is propagated, nothing is tilted
        else:
            assert_near(actual, wanted, "chain", size if name in {"thickness", "tilt"} else 0.0)


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("shared_tilt", [True, False], ids=["shared", "each"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES[:-1], ids=str)
def test_matches_explicit_sums(
    case: Case, dtype: torch.dtype, shared_tilt: bool, optics: dict[str, Any]
) -> None:
    compare(case, dtype, shared_tilt, optics)


@settings(max_examples=15, derandomize=True)
@given(case=cases(), shared_tilt=st.booleans(), optics=st.sampled_from(list(OPTICS)))
def test_matches_explicit_sums_anywhere(case: Case, shared_tilt: bool, optics: str) -> None:
    compare(case, torch.complex128, shared_tilt, OPTICS[optics])


def test_no_position() -> None:
    case = CASES[-1]
    out, *grads = gradients(
        intensity(case, OPTICS["fresnel"]), case, *inputs_of(case, torch.complex64).values()
    )
    assert out.shape == (0, *case.window)
    assert not any(grad.any() for grad in grads)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_amplitude_and_phase(dtype: torch.dtype) -> None:
    """grad_A = Re(conj(e^{i phi}) grad_O), grad_phi = A Im(conj(e^{i phi}) grad_O): at every A,
    so that a pixel that reached zero can come back."""
    case = CASES[0]
    inputs = inputs_of(case, dtype)
    inputs.pop("obj")

    def pair(amplitude: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        return reference.multislice_intensity(
            obj=(amplitude, phase), corner=case.corner(), **inputs, **OPTICS["fresnel"]
        )

    def whole(obj: torch.Tensor) -> torch.Tensor:
        return reference.multislice_intensity(
            obj=obj, corner=case.corner(), **inputs, **OPTICS["fresnel"]
        )

    amplitude, phase = case.amplitude(dtype), case.phase(dtype)
    assert bool((amplitude == 0).any())
    assert bool((amplitude < 0).any())
    out, grad_amplitude, grad_phase = gradients(pair, case, amplitude, phase)
    expected, grad_obj = gradients(whole, case, case.obj(dtype))
    turned = torch.polar(torch.ones_like(phase), -phase) * grad_obj
    assert_near(out, expected, "chain")
    assert_near(grad_amplitude, turned.real, "chain")
    assert_near(grad_phase, amplitude * turned.imag, "chain")


SMALL = Case(2, 2, 2, 3, (3, 4), (5, 5))


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("shared_tilt", [True, False], ids=["shared", "each"])
def test_gradcheck(shared_tilt: bool, optics: dict[str, Any]) -> None:
    inputs = [x.requires_grad_() for x in inputs_of(SMALL, torch.complex128, shared_tilt).values()]
    assert torch.autograd.gradcheck(intensity(SMALL, optics), inputs, fast_mode=True)


def test_gradcheck_pair_and_one_thickness() -> None:
    """The object as amplitude and phase, one thickness for all gaps, no occupancy."""
    dtype = torch.complex128
    named = inputs_of(SMALL, dtype)
    thickness = torch.tensor(3.0, dtype=torch.float64)
    leaves = [named["probe"], SMALL.amplitude(dtype), SMALL.phase(dtype), named["shift"]]

    def function(
        probe: torch.Tensor,
        amplitude: torch.Tensor,
        phase: torch.Tensor,
        shift: torch.Tensor,
        thickness: torch.Tensor,
    ) -> torch.Tensor:
        return reference.multislice_intensity(
            probe, (amplitude, phase), SMALL.corner(), shift, thickness, **OPTICS["fresnel"]
        )

    inputs = [x.requires_grad_() for x in (*leaves, thickness)]
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("name", NAMES)
def test_taylor_remainder_is_of_second_order(name: str) -> None:
    """L(x + h d) - L(x) - h <grad, d> falls fourfold when h is halved: a gradient that is wrong
    by any factor would let it fall twofold."""
    case, optics = CASES[0], OPTICS["angular_spectrum"]
    inputs = inputs_of(case, torch.complex128)
    generator = torch.Generator().manual_seed(9)
    target = torch.rand(case.B, *case.window, dtype=torch.float64, generator=generator)

    def loss(value: torch.Tensor) -> torch.Tensor:
        patterns = intensity(case, optics)(*(inputs | {name: value}).values())
        return ((patterns + 1).sqrt() - target).square().sum()

    start = inputs[name].clone().requires_grad_()
    at_start = loss(start)
    (grad,) = torch.autograd.grad(at_start, start)
    direction = torch.randn(start.shape, dtype=start.dtype, generator=generator)
    slope = (grad.conj() * direction).real.sum()
    with torch.no_grad():
        steps = [2.0**-k for k in range(7, 11)]
        rests = [float(loss(start + h * direction) - at_start - h * slope) for h in steps]
    for coarse, fine in pairwise(rests):
        assert 3.5 < coarse / fine < 4.5


@settings(max_examples=10, derandomize=True)
@given(case=cases(), where=st.integers(0, 3))
def test_an_empty_slice_is_only_a_distance(case: Case, where: int) -> None:
    """A slice of transmission 1 may be left out when its two gaps become one."""
    obj, thickness = case.obj(torch.complex128), case.thickness(torch.complex128)
    where = min(where, case.Nz - 1)
    after = torch.tensor([1.7], dtype=torch.float64)
    empty = torch.ones_like(obj[:, :1])
    with_empty = torch.cat([obj[:, : where + 1], empty, obj[:, where + 1 :]], dim=1)
    gaps, expected = [*thickness[:where], *after, *thickness[where:]], thickness.clone()
    if where < case.Nz - 1:
        expected[where] += after[0]
    probe, shift = case.probe(torch.complex128), case.shift(torch.complex128)
    rest = {"tilt": case.tilt(torch.complex128), **OPTICS["fresnel"]}
    actual = reference.multislice_intensity(
        probe, with_empty, case.corner(), shift, torch.stack(gaps), **rest
    )
    wanted = reference.multislice_intensity(probe, obj, case.corner(), shift, expected, **rest)
    assert_near(actual, wanted, "chain")
