"""multislice_intensity against its pure-torch twin, and its refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty import ops, reference
from fastpty.ops import native
from tests.reference.cases import CASES, DTYPES, OPTICS, Case, assert_near, cases, gradients

NAMES = ("probe", "shift", "thickness", "tilt", "occupancy")


@pytest.fixture(params=[True, False], ids=["native", "reference"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the native core, and as if it were not installed."""
    if request.param and not native.AVAILABLE:
        pytest.skip("the native core is not built")
    monkeypatch.setattr(native, "AVAILABLE", request.param)


def inputs_of(case: Case, dtype: torch.dtype, shared_tilt: bool, pair: bool) -> list[torch.Tensor]:
    """Those of ``NAMES``, then the object whole or as amplitude and phase."""
    return [
        case.probe(dtype),
        case.shift(dtype),
        case.thickness(dtype),
        case.tilt(dtype, shared=shared_tilt),
        case.occupancy(dtype),
        *([case.amplitude(dtype), case.phase(dtype)] if pair else [case.obj(dtype)]),
    ]


def as_function(op: Any, case: Case, optics: dict[str, Any]) -> Any:
    """The op as a function of ``inputs_of``."""

    def function(*inputs: torch.Tensor) -> torch.Tensor:
        named = dict(zip(NAMES, inputs, strict=False))
        obj = inputs[5:] if len(inputs) == 7 else inputs[5]
        return op(obj=obj, corner=case.corner(), **named, **optics)

    return function


def assert_same(
    case: Case, dtype: torch.dtype, shared_tilt: bool, pair: bool, optics: dict[str, Any]
) -> None:
    inputs = inputs_of(case, dtype, shared_tilt, pair)
    actual = gradients(as_function(ops.multislice_intensity, case, optics), case, *inputs)
    expected = gradients(as_function(reference.multislice_intensity, case, optics), case, *inputs)
    size = max((float(e.abs().max()) for e in expected if e.numel()), default=0.0)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        # Thickness and tilt have one sum over all pixels, which may cancel.
        assert_near(a, e, "chain", size if e.numel() <= case.B * case.Nz * 2 else 0.0)


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(
    case: Case, dtype: torch.dtype, pair: bool, optics: dict[str, Any]
) -> None:
    assert_same(case, dtype, True, pair, optics)


@settings(max_examples=20, derandomize=True)
@given(
    case=cases(),
    dtype=st.sampled_from(DTYPES),
    shared_tilt=st.booleans(),
    pair=st.booleans(),
    optics=st.sampled_from(list(OPTICS)),
)
def test_matches_the_reference_anywhere(
    case: Case, dtype: torch.dtype, shared_tilt: bool, pair: bool, optics: str
) -> None:
    assert_same(case, dtype, shared_tilt, pair, OPTICS[optics])


@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
@pytest.mark.parametrize("shared_tilt", [False, True], ids=["each", "shared"])
def test_gradcheck(shared_tilt: bool, pair: bool) -> None:
    case = Case(2, 2, 2, 3, (3, 4), (5, 5))
    inputs = inputs_of(case, torch.complex128, shared_tilt, pair)
    function = as_function(ops.multislice_intensity, case, OPTICS["angular_spectrum"])
    leaves = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("wanted", range(7), ids=[*NAMES, "amplitude", "phase"])
def test_one_gradient_alone(wanted: int) -> None:
    """A gradient does not depend on whether the others are wanted, which then are None."""
    case = CASES[0]
    inputs = inputs_of(case, torch.complex64, False, True)
    function = as_function(ops.multislice_intensity, case, OPTICS["angular_spectrum"])
    together = gradients(function, case, *inputs)[1:]
    inputs[wanted].requires_grad_()
    out = function(*inputs)
    out.backward(case.gradient_like(out))
    assert [x.grad is not None for x in inputs] == [i == wanted for i in range(7)]
    assert_near(inputs[wanted].grad, together[wanted], "transform")


@pytest.mark.parametrize("thickness", [4.0, torch.tensor(4.0), torch.tensor([4.0])], ids=repr)
def test_one_thickness_serves_all_gaps(thickness: torch.Tensor | float) -> None:
    case, optics = CASES[0], OPTICS["fresnel"]
    inputs = inputs_of(case, torch.complex64, True, False)
    function = as_function(ops.multislice_intensity, case, optics)
    inputs[2] = torch.tensor([4.0, 4.0])
    expected = function(*inputs)
    inputs[2] = thickness
    assert_near(function(*inputs), expected, "transform")


def test_one_slice_needs_no_thickness() -> None:
    case, optics = CASES[4], OPTICS["fresnel"]
    inputs = inputs_of(case, torch.complex64, True, False)
    function = as_function(ops.multislice_intensity, case, optics)
    expected = function(*inputs)  # [Nz - 1] is no thickness at all
    for thickness in (0.0, 7.0, torch.tensor(7.0)):
        inputs[2] = thickness
        assert_near(function(*inputs), expected, "identical")


CASE = CASES[0]  # 3 positions, 2 x 2 modes, 3 slices, window 5 x 7, object 11 x 13
GIVEN: dict[str, Any] = {
    "probe": CASE.probe(torch.complex64),
    "obj": CASE.obj(torch.complex64),
    "corner": CASE.corner(),
    "shift": CASE.shift(torch.complex64),
    "thickness": CASE.thickness(torch.complex64),
    "tilt": CASE.tilt(torch.complex64),
    "occupancy": CASE.occupancy(torch.complex64),
    **OPTICS["fresnel"],
}
PROBE, OBJ, CORNER, SHIFT, TILT = (GIVEN[k] for k in ("probe", "obj", "corner", "shift", "tilt"))
AMPLITUDE, PHASE = CASE.amplitude(torch.complex64), CASE.phase(torch.complex64)


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"probe": PROBE.real}, TypeError, "^probe: must be complex64 or .*, found float32"),
        ({"probe": PROBE[0]}, ValueError, r"^probe: .* \[M, Ny, Nx\], found 2 axes"),
        ({"obj": OBJ.to(torch.complex128)}, TypeError, "^obj: must have the dtype of probe"),
        ({"obj": OBJ[0]}, ValueError, r"^obj: .* \[No, Nz, Y, X\], found 3 axes"),
        ({"obj": OBJ[:, :0]}, ValueError, r"^obj: must have .* a slice, found \[2, 0, 11, 13\]"),
        ({"obj": OBJ[:0]}, ValueError, r"^obj: must have an object mode .* \[0, 3, 11, 13\]"),
        ({"obj": OBJ.to("meta")}, ValueError, "^obj: must be on the device of probe, cpu"),
        ({"obj": (AMPLITUDE.double(), PHASE)}, TypeError, "^amplitude: must be float32, found"),
        ({"obj": (AMPLITUDE, OBJ)}, TypeError, "^phase: must be float32, found complex64"),
        ({"obj": (AMPLITUDE, PHASE[:, :2])}, ValueError, r"^phase: .* with Nz = 3, found"),
        ({"corner": CORNER.int()}, TypeError, "^corner: must be int64, found int32"),
        ({"corner": CORNER[:, :1]}, ValueError, r"^corner: .* \[B, 2\], found \[3, 1\]"),
        ({"corner": CORNER - 1}, ValueError, r"^corner\[0\]: .* inside the object .* \(-1, -1\)"),
        ({"corner": CORNER + 1}, ValueError, r"^corner\[1\]: .* of \(11, 13\), found \(7, 7\)"),
        ({"shift": SHIFT.double()}, TypeError, "^shift: must be float32, found float64"),
        ({"shift": SHIFT[:2]}, ValueError, r"^shift: .* with B = 3, found \[2, 2\]"),
        ({"thickness": torch.ones(3)}, ValueError, r"^thickness: .* Nz = 3, found \[3\]"),
        ({"thickness": torch.ones(1, 2)}, ValueError, r"^thickness: .* found \[1, 2\]"),
        ({"thickness": torch.ones(2).double()}, TypeError, "^thickness: must be float32"),
        ({"thickness": [1.0, 2.0]}, TypeError, "^thickness: must be a number .* found list"),
        ({"thickness": float("inf")}, ValueError, "^thickness: must be finite, found inf"),
        ({"thickness": torch.tensor([3.0, -math.inf])}, ValueError, "^thickness: .* found -inf"),
        (
            {"thickness": torch.ones(2, device="meta")},
            ValueError,
            "^thickness: must be on the device of probe, cpu, found meta",
        ),
        ({"tilt": TILT[:2]}, ValueError, r"^tilt: .* with B = 3, found \[2, 2\]"),
        ({"tilt": TILT.double()}, TypeError, "^tilt: must be float32, found float64"),
        ({"tilt": TILT.to("meta")}, ValueError, "^tilt: must be on the device of probe, cpu"),
        ({"occupancy": torch.ones(3)}, ValueError, r"^occupancy: .* No = 2, found \[3\]"),
        ({"occupancy": torch.ones(2).double()}, TypeError, "^occupancy: must be float32"),
        (
            {"occupancy": torch.ones(2, device="meta")},
            ValueError,
            "^occupancy: must be on the device of probe",
        ),
        ({"model": "ray"}, ValueError, "^model must be one of angular_spectrum, fresnel, got"),
    ],
)
def test_refusals(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ops.multislice_intensity(**(GIVEN | changed))


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "ray"}, "^model must be one of angular_spectrum, fresnel, got 'ray'"),
        ({"wavelength": -0.02}, "^wavelength must be a positive number of Angstrom, got -0.02"),
        ({"pixel_size": (0.1, -0.1)}, r"^pixel_size must be one positive .* got \(0.1, -0.1\)"),
    ],
)
def test_optics_are_refused_with_and_without_a_gap(
    slices: int, changed: dict[str, Any], message: str
) -> None:
    given = GIVEN | {"obj": OBJ[:, :slices], "thickness": 3.0}
    with pytest.raises(ValueError, match=message):
        ops.multislice_intensity(**(given | changed))
