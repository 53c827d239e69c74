"""What the ops promise that run on torch's transforms with a backward pass derived by hand.

Each against explicit sums and their adjoints, as registered with torch, in any memory layout; and
that a gradient which nothing asks for costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from fastpty import ops, reference
from tests.ops.layouts import LAYOUTS
from tests.reference import explicit
from tests.reference.cases import CASES, DTYPES, OPTICS, Case, assert_near, gradients, real_of

THICKNESS = -3.1
LARGE = Case(9, 3, 2, 2, (48, 31), (60, 60))


@dataclass(frozen=True)
class Op:
    """One of the ops, with a choice of its optional arguments."""

    name: str
    arguments: tuple[str, ...]
    constants: dict[str, Any]

    def __str__(self) -> str:
        last = self.constants.get("model", "")
        return f"{self.name}({', '.join(self.arguments)}){last}"

    def inputs(self, case: Case, dtype: torch.dtype) -> list[torch.Tensor]:
        make: dict[str, Callable[[], torch.Tensor]] = {
            "probe": lambda: case.probe(dtype),
            "shift": lambda: case.shift(dtype),
            "wave": lambda: case.wave(dtype),
            "thickness": lambda: torch.tensor(THICKNESS, dtype=real_of(dtype)),
            "tilt": lambda: case.tilt(dtype),
            "shared tilt": lambda: case.tilt(dtype, shared=True),
            "occupancy": lambda: case.occupancy(dtype),
        }
        return [make[argument]() for argument in self.arguments]

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        return getattr(ops, self.name)(*inputs, **self.constants)

    def by_reference(self, *inputs: torch.Tensor) -> torch.Tensor:
        return getattr(reference, self.name)(*inputs, **self.constants)

    @property
    def registered(self) -> torch._ops.OpOverload:
        return getattr(torch.ops.fastpty, self.name).default

    def registered_arguments(self, *inputs: torch.Tensor) -> tuple[Any, ...]:
        if self.name == "probe_shift":
            return inputs
        if self.name == "mixed_intensity":
            return (*inputs, None)[:2]
        wavelength, pixel_size, model = self.constants.values()
        return *(*inputs, None)[:3], wavelength, list(pixel_size), model

    def by_sums(self, *inputs: torch.Tensor) -> Any:
        return getattr(explicit, self.name)(*self._numpy(inputs), **self.constants)

    def adjoint_by_sums(self, g: torch.Tensor, *inputs: torch.Tensor) -> tuple[Any, ...]:
        adjoint = getattr(explicit, f"{self.name}_adjoint")
        found = adjoint(explicit.double(g), *self._numpy(inputs), **self.constants)
        return found[: len(inputs)]

    def _numpy(self, inputs: tuple[torch.Tensor, ...]) -> list[Any]:
        arrays: list[Any] = [explicit.double(x) for x in inputs]
        if self.name == "fresnel_propagate":
            arrays[1] = float(arrays[1])
            arrays = [*arrays, None][:3]
        if self.name == "mixed_intensity":
            arrays = [*arrays, None][:2]
        return arrays


OPS = [
    Op("probe_shift", ("probe", "shift"), {}),
    Op("fresnel_propagate", ("wave", "thickness"), OPTICS["evanescent"]),
    Op("fresnel_propagate", ("wave", "thickness", "tilt"), OPTICS["evanescent"]),
    Op("fresnel_propagate", ("wave", "thickness", "shared tilt"), OPTICS["fresnel"]),
    Op("mixed_intensity", ("wave",), {}),
    Op("mixed_intensity", ("wave", "occupancy"), {}),
]
FULL = [OPS[0], OPS[2], OPS[5]]  # every argument that the op has

every_op = pytest.mark.parametrize("op", OPS, ids=str)


def assert_gradients_near(actual: Any, expected: Any, inputs: list[torch.Tensor]) -> None:
    """Sums over all pixels and modes may cancel: they are compared at the size of the largest."""
    sizes = [float(torch.as_tensor(e).abs().max()) if e.size else 0.0 for e in expected]
    for a, e, x in zip(actual, expected, inputs, strict=True):
        assert a.dtype == x.dtype
        assert_near(a, e, "chain", 0.0 if x.is_complex() else max(sizes))


@every_op
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_explicit_sums(case: Case, dtype: torch.dtype, op: Op) -> None:
    inputs = op.inputs(case, dtype)
    out, *found = gradients(op, case, *inputs)
    assert out.is_contiguous()
    assert_near(out, op.by_sums(*inputs), "transform")
    expected = op.adjoint_by_sums(case.gradient_like(out), *inputs)
    assert_gradients_near(found, [np.asarray(e) for e in expected], inputs)


@every_op
def test_sums_over_many_pixels(op: Op) -> None:
    """In single precision, against the reference in double."""
    inputs = op.inputs(LARGE, torch.complex64)
    out, *found = gradients(op, LARGE, *inputs)
    g = LARGE.gradient_like(out)
    wide = [torch.from_numpy(explicit.double(x)).requires_grad_() for x in inputs]
    expected = torch.autograd.grad(
        op.by_reference(*wide), wide, torch.from_numpy(explicit.double(g))
    )
    assert_gradients_near(found, [e.numpy() for e in expected], inputs)


@every_op
@pytest.mark.parametrize("case", [*CASES[:3], CASES[-1]], ids=str)
def test_opcheck(case: Case, op: Op) -> None:
    inputs = [x.requires_grad_() for x in op.inputs(case, torch.complex128)]
    torch.library.opcheck(op.registered, op.registered_arguments(*inputs))


def backward_arguments(op: Op, case: Case) -> tuple[Any, ...]:
    """Of the registered backward pass, with every gradient wanted."""
    inputs = op.inputs(case, torch.complex64)
    out = op(*inputs)
    g = case.gradient_like(out)
    if op.name == "probe_shift":
        return g, *inputs, True
    arguments = op.registered_arguments(*inputs)
    if op.name == "mixed_intensity":
        return g, *arguments, True, arguments[1] is not None
    return g, out, *arguments[1:], [True, True, arguments[2] is not None]


@every_op
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[-1]], ids=str)
def test_opcheck_of_the_backward_pass(case: Case, op: Op) -> None:
    backward = getattr(torch.ops.fastpty, f"{op.name}_backward").default
    torch.library.opcheck(backward, backward_arguments(op, case))


@every_op
def test_may_be_called_as_registered(op: Op) -> None:
    case = CASES[0]
    inputs = op.inputs(case, torch.complex64)

    def registered(*leaves: torch.Tensor) -> torch.Tensor:
        return op.registered(*op.registered_arguments(*leaves))

    actual, expected = (gradients(function, case, *inputs) for function in (registered, op))
    for a, e in zip(actual, expected, strict=True):
        assert_near(a, e, "identical")
    narrow = [x.real.to(torch.float16) for x in inputs]
    with pytest.raises(TypeError, match=f"^{op.arguments[0]}: must be complex64 or complex128"):
        registered(*narrow)


@every_op
def test_the_registered_schema_names_the_arguments(op: Op) -> None:
    names = [argument.name for argument in op.registered._schema.arguments]
    wanted = [argument.removeprefix("shared ") for argument in op.arguments]
    assert names[: len(wanted)] == wanted


@pytest.mark.parametrize("view", LAYOUTS)
@every_op
def test_any_memory_layout(op: Op, view: Callable[[torch.Tensor], torch.Tensor]) -> None:
    case = CASES[0]
    inputs = op.inputs(case, torch.complex64)
    expected = gradients(op, case, *inputs)
    leaves = [x.requires_grad_() for x in inputs]
    out = op(*(view(x) if x.ndim > 1 else x for x in leaves))
    found = torch.autograd.grad(out, leaves, view(case.gradient_like(out)))
    for a, e in zip((out.detach(), *found), expected, strict=True):
        assert_near(a, e, "transform")


@every_op
def test_strides_of_zero(op: Op) -> None:
    """An expanded wave, and the gradient that a sum sends back."""
    case = CASES[0]
    first, *others = op.inputs(case, torch.complex128)
    inputs = [first[:1].expand_as(first), *others]
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = op(*leaves)
    g = torch.ones((), dtype=out.dtype).expand_as(out)
    found = torch.autograd.grad(out, leaves, g)
    expected = op.adjoint_by_sums(g, *leaves)
    assert_gradients_near(found, [np.asarray(e) for e in expected], inputs)


@pytest.mark.parametrize("op", FULL, ids=str)
def test_inputs_are_left_alone(op: Op) -> None:
    """The work is done in place, but never in what belongs to the caller."""
    case = CASES[0]
    inputs = [x.requires_grad_() for x in op.inputs(case, torch.complex64)]
    before = [x.detach().clone() for x in inputs]
    out = op(*inputs)
    kept, g = out.detach().clone(), case.gradient_like(out)
    for _ in range(2):
        found = torch.autograd.grad(out, inputs, g, retain_graph=True)
    again = gradients(op, case, *inputs)
    for a, e in zip((*inputs, out, g), (*before, kept, case.gradient_like(out)), strict=True):
        assert torch.equal(a, e)
    for a, e in zip(found, again[1:], strict=True):
        assert torch.equal(a, e)


# Of each gradient wanted alone: what is kept for the backward pass, and how many transforms,
# forward and inverse, of any number of waves it then takes.
COSTS = [
    (OPS[0], "probe", {"shift"}, (1, 1)),
    (OPS[0], "shift", {"probe", "shift"}, (2, 0)),
    (OPS[1], "wave", {"thickness"}, (1, 1)),
    (OPS[1], "thickness", {"out", "thickness"}, (2, 0)),
    (OPS[2], "wave", {"thickness", "tilt"}, (1, 1)),
    (OPS[2], "thickness", {"out", "thickness", "tilt"}, (2, 0)),
    (OPS[2], "tilt", {"out", "thickness", "tilt"}, (2, 0)),
    (OPS[4], "wave", {"wave"}, (1, 1)),
    (OPS[5], "wave", {"wave", "occupancy"}, (1, 1)),
    (OPS[5], "occupancy", {"wave"}, (1, 0)),
]


def counting(
    transform: Callable[..., torch.Tensor], counts: dict[str, int]
) -> Callable[..., torch.Tensor]:
    """The transform, which also counts its calls under its name."""

    def counted(*args: Any, **keywords: Any) -> torch.Tensor:
        counts[transform.__name__] += 1
        return transform(*args, **keywords)

    return counted


@pytest.mark.parametrize(
    ("op", "wanted", "kept", "transforms"), COSTS, ids=[f"{c[0]}-{c[1]}" for c in COSTS]
)
def test_only_what_is_wanted_is_kept_and_computed(
    op: Op,
    wanted: str,
    kept: set[str],
    transforms: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = CASES[0]
    inputs = op.inputs(case, torch.complex64)
    expected = gradients(op, case, *inputs)[1:]
    position = op.arguments.index(wanted)
    inputs[position].requires_grad_()
    saved: list[torch.Tensor] = []

    def pack(x: torch.Tensor) -> torch.Tensor:
        saved.append(x.detach())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = op(*inputs)
    tensors = dict(zip(op.arguments, inputs, strict=True)) | {"out": out}
    where = {x.data_ptr(): name for name, x in tensors.items()}
    assert {where.get(x.data_ptr(), "a copy") for x in saved} == kept

    counts = {"forward": 0, "inverse": 0}
    module = importlib.import_module(f"fastpty.ops.{op.name}")
    for direction in counts:
        monkeypatch.setattr(module, direction, counting(getattr(module, direction), counts))
    out.backward(case.gradient_like(out))
    assert tuple(counts.values()) == transforms
    assert [x.grad is not None for x in inputs] == [i == position for i in range(len(inputs))]
    assert_near(inputs[position].grad, expected[position], "identical")


@every_op
def test_no_gradient_wanted(op: Op) -> None:
    def pack(x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("something is kept")

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        assert not op(*op.inputs(CASES[0], torch.complex64)).requires_grad
        with torch.no_grad():
            op(*(x.requires_grad_() for x in op.inputs(CASES[0], torch.complex64)))


@every_op
def test_second_derivative_is_refused(op: Op) -> None:
    inputs = [x.requires_grad_() for x in op.inputs(CASES[0], torch.complex128)]
    first = op(*inputs).abs().square().sum()
    (gradient,) = torch.autograd.grad(first, inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match=f"{op.name}_backward"):
        gradient.abs().sum().backward()


@every_op
def test_compiles_without_a_graph_break(op: Op) -> None:
    case = CASES[0]
    inputs = [x.requires_grad_() for x in op.inputs(case, torch.complex64)]

    def loss(*arguments: torch.Tensor) -> torch.Tensor:
        return (2 * op(*arguments)).abs().square().sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    actual, expected = (torch.autograd.grad(f(*inputs), inputs) for f in (compiled, loss))
    for a, e in zip(actual, expected, strict=True):
        assert_near(a, e, "transform")


def test_compiles_with_numbers() -> None:
    wave = CASES[0].wave(torch.complex64)

    def propagate(wave: torch.Tensor) -> torch.Tensor:
        return ops.fresnel_propagate(wave, 7, wavelength=0.02, pixel_size=0.3)

    compiled = torch.compile(propagate, backend="eager", fullgraph=True)
    assert_near(compiled(wave), propagate(wave), "identical")


@pytest.mark.parametrize("modes", [(), (2,), (2, 1, 3)], ids=str)
def test_any_number_of_modes_is_propagated(modes: tuple[int, ...]) -> None:
    """The op takes a wave before and after an object, and beyond."""
    case, optics = CASES[0], OPTICS["angular_spectrum"]
    generator = torch.Generator().manual_seed(0)
    shape = (case.B, *modes, *case.window)
    wave = torch.randn(shape, dtype=torch.complex128, generator=generator)
    inputs = wave, torch.tensor(5.0, dtype=torch.float64), case.tilt(torch.complex128)
    actual, expected = (
        gradients(partial(module.fresnel_propagate, **optics), case, *inputs)
        for module in (ops, reference)
    )
    for a, e in zip(actual, expected, strict=True):
        assert_near(a, e, "chain")


@pytest.mark.parametrize("empty", ["B", "M", "No"])
@pytest.mark.parametrize("op", FULL, ids=str)
def test_nothing_at_all(op: Op, empty: str) -> None:
    sizes = {"B": 2, "M": 2, "No": 2} | {empty: 0}
    case = Case(**sizes, Nz=2, window=(4, 5), extent=(8, 8))
    inputs = op.inputs(case, torch.complex64)
    actual, expected = (gradients(f, case, *inputs) for f in (op, op.by_reference))
    for a, e in zip(actual, expected, strict=True):
        assert_near(a, e, "transform")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", OPS, ids=str)
def test_runs_on_the_device(op: Op, dtype: torch.dtype) -> None:
    inputs = op.inputs(LARGE, dtype)
    expected = gradients(op, LARGE, *inputs)
    g = LARGE.gradient_like(expected[0])
    leaves = [x.cuda().requires_grad_() for x in inputs]
    out = op(*leaves)
    found = torch.autograd.grad(out, leaves, g.cuda())
    assert_near(out.detach().cpu(), expected[0], "transform")
    assert_gradients_near([x.cpu() for x in found], [e.numpy() for e in expected[1:]], inputs)
