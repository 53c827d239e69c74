"""slice_transmit against explicit sums, its pure-torch twin, and its own promises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastpty import ops, reference
from fastpty.ops import native
from tests.ops.layouts import LAYOUTS
from tests.tolerances import tolerance

_core = pytest.importorskip("fastpty._core", reason="the native core is not built")

DTYPES = [torch.complex64, torch.complex128]
RANKS = [4, 5]  # of the wave: without and with an object-mode axis


@dataclass(frozen=True)
class Shape:
    B: int
    M: int
    No: int
    window: tuple[int, int]
    extent: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.B}x{self.M}x{self.No}-{self.window[0]}x{self.window[1]}"


SHAPES = [
    Shape(3, 2, 2, (5, 7), (11, 13)),  # odd
    Shape(2, 1, 1, (13, 17), (19, 23)),  # prime
    Shape(2, 3, 4, (4, 16), (9, 33)),  # rectangular, a multiple of the vector length
    Shape(2, 1, 2, (3, 131), (5, 140)),  # longer than a vector, and no multiple of one
    Shape(1, 1, 1, (1, 1), (1, 1)),  # a single pixel
    Shape(4, 2, 1, (8, 6), (8, 6)),  # the window is the object: every position overlaps
    Shape(0, 2, 2, (4, 4), (8, 8)),  # no position
    Shape(2, 0, 1, (4, 4), (8, 8)),  # no wave
]
# Enough work for several threads to be used, and margins that no window touches.
LARGE = Shape(7, 2, 2, (33, 29), (90, 71))


def make_inputs(
    shape: Shape, dtype: torch.dtype, rank: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random wave, object slice and corners; the first two corners are the extreme ones."""
    generator = torch.Generator().manual_seed(seed)
    modes = [shape.M] if rank == 4 else [shape.M, shape.No]
    wave = torch.randn(shape.B, *modes, *shape.window, dtype=dtype, generator=generator)
    obj = torch.randn(shape.No, *shape.extent, dtype=dtype, generator=generator)
    last = torch.tensor(shape.extent) - torch.tensor(shape.window)
    corner = (torch.rand(shape.B, 2, generator=generator) * (last + 1)).long()
    corner[:1] = 0
    corner[1:2] = last
    return wave, obj, corner


def loops(
    wave: torch.Tensor, obj: torch.Tensor, corner: torch.Tensor, grad_out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The equations as sums over single pixels, in double precision: out, grad_wave, grad_obj."""
    psi, o, g = (x.to(torch.complex128).numpy() for x in (wave, obj, grad_out))
    out, grad_wave, grad_obj = np.zeros_like(g), np.zeros_like(psi), np.zeros_like(o)
    for j, m, n, y, x in np.ndindex(*g.shape):
        w = (j, m, y, x) if psi.ndim == 4 else (j, m, n, y, x)
        at = (n, int(corner[j, 0]) + y, int(corner[j, 1]) + x)
        out[j, m, n, y, x] = psi[w] * o[at]
        grad_wave[w] += g[j, m, n, y, x] * o[at].conjugate()
        grad_obj[at] += g[j, m, n, y, x] * psi[w].conjugate()
    return torch.from_numpy(out), torch.from_numpy(grad_wave), torch.from_numpy(grad_obj)


def out_like(shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (shape.B, shape.M, shape.No, *shape.window)
    return torch.randn(size, dtype=dtype, generator=generator)


def with_gradients(
    function: object, wave: torch.Tensor, obj: torch.Tensor, corner: torch.Tensor, g: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Out, grad_wave, grad_obj of an op by torch's autograd."""
    wave, obj = wave.detach().requires_grad_(), obj.detach().requires_grad_()
    out = function(wave, obj, corner)
    grad_wave, grad_obj = torch.autograd.grad(out, (wave, obj), g)
    return out.detach(), grad_wave, grad_obj


def assert_same(
    actual: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...], dtype: torch.dtype
) -> None:
    for kind, a, e in zip(("product", "sum", "sum"), actual, expected, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, e.to(dtype), **tolerance(kind, dtype))


@pytest.fixture
def torch_threads() -> object:
    """Give back the number of threads that a test changes."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=_core.available_simd())
def variant(request: pytest.FixtureRequest) -> object:
    """Each variant of the kernels that this machine can run, in turn."""
    _core.set_simd(request.param)
    yield request.param
    _core.set_simd(None)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_explicit_sums(variant: str, shape: Shape, dtype: torch.dtype, rank: int) -> None:
    wave, obj, corner = make_inputs(shape, dtype, rank)
    g = out_like(shape, dtype)
    actual = with_gradients(ops.slice_transmit, wave, obj, corner, g)
    assert_same(actual, loops(wave, obj, corner, g), dtype)


@given(data=st.data())
def test_matches_the_reference(data: st.DataObject) -> None:
    window = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 40)), "window")
    margin = data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9)), "margin")
    shape = Shape(
        B=data.draw(st.integers(0, 5), "B"),
        M=data.draw(st.integers(1, 3), "M"),
        No=data.draw(st.integers(1, 3), "No"),
        window=window,
        extent=(window[0] + margin[0], window[1] + margin[1]),
    )
    dtype = data.draw(st.sampled_from(DTYPES), "dtype")
    rank = data.draw(st.sampled_from(RANKS), "rank")
    seed = data.draw(st.integers(0, 1000), "seed")
    wave, obj, corner = make_inputs(shape, dtype, rank, seed)
    g = out_like(shape, dtype)
    actual = with_gradients(ops.slice_transmit, wave, obj, corner, g)
    expected = with_gradients(reference.slice_transmit, wave, obj, corner, g)
    assert_same(actual, expected, dtype)


@pytest.mark.parametrize("rank", RANKS)
def test_gradcheck(rank: int) -> None:
    wave, obj, corner = make_inputs(SHAPES[0], torch.complex128, rank)
    inputs = (wave.requires_grad_(), obj.requires_grad_(), corner)
    assert torch.autograd.gradcheck(ops.slice_transmit, inputs)


@pytest.mark.parametrize("rank", RANKS)
def test_opcheck(rank: int) -> None:
    wave, obj, corner = make_inputs(SHAPES[0], torch.complex128, rank)
    g = out_like(SHAPES[0], torch.complex128)
    backward = (g, wave, obj, corner, list(obj.shape[1:]), rank == 5)
    torch.library.opcheck(torch.ops.fastpty.slice_transmit_backward.default, backward)
    forward = (wave.requires_grad_(), obj.requires_grad_(), corner)
    torch.library.opcheck(torch.ops.fastpty.slice_transmit.default, forward)


@pytest.mark.parametrize("rank", RANKS)
def test_one_gradient_alone(rank: int) -> None:
    """A gradient does not depend on whether the other is wanted, which then is None."""
    wave, obj, corner = make_inputs(LARGE, torch.complex64, rank)
    g = out_like(LARGE, torch.complex64)
    _, both_wave, both_obj = with_gradients(ops.slice_transmit, wave, obj, corner, g)

    wave.requires_grad_()
    ops.slice_transmit(wave, obj, corner).backward(g)
    assert obj.grad is None
    torch.testing.assert_close(wave.grad, both_wave, **tolerance("identical", wave.dtype))

    wave = wave.detach()
    obj.requires_grad_()
    ops.slice_transmit(wave, obj, corner).backward(g)
    assert wave.grad is None
    torch.testing.assert_close(obj.grad, both_obj, **tolerance("identical", obj.dtype))


def test_no_gradient_wanted() -> None:
    assert not ops.slice_transmit(*make_inputs(SHAPES[0], torch.complex64, 4)).requires_grad


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_threads_change_no_bit(variant: str, dtype: torch.dtype, rank: int) -> None:
    wave, obj, corner = make_inputs(LARGE, dtype, rank)
    g = out_like(LARGE, dtype)
    torch.set_num_threads(1)
    single = with_gradients(ops.slice_transmit, wave, obj, corner, g)
    for threads in (2, 3, 8):
        torch.set_num_threads(threads)
        several = with_gradients(ops.slice_transmit, wave, obj, corner, g)
        assert _core.get_num_threads() == threads
        for a, e in zip(several, single, strict=True):
            assert torch.equal(a, e)


@pytest.mark.parametrize("view", LAYOUTS)
@pytest.mark.parametrize("rank", RANKS)
def test_any_memory_layout(view: object, rank: int) -> None:
    dtype = torch.complex64
    wave, obj, corner = make_inputs(SHAPES[0], dtype, rank)
    g = out_like(SHAPES[0], dtype)
    expected = with_gradients(ops.slice_transmit, wave, obj, corner, g)
    actual = with_gradients(ops.slice_transmit, view(wave), view(obj), corner, view(g))
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, **tolerance("identical", dtype))


def test_expanded_inputs() -> None:
    """Strides of zero: one wave for all positions, one plane for all object modes, a sum's g."""
    wave, obj, corner = make_inputs(SHAPES[0], torch.complex128, 4)
    wave, obj = wave[:1].expand_as(wave), obj[:1].expand_as(obj)
    g = torch.ones((), dtype=torch.complex128).expand(3, 2, 2, 5, 7)
    actual = with_gradients(ops.slice_transmit, wave, obj, corner, g)
    assert_same(actual, loops(wave, obj, corner, g), torch.complex128)


def test_second_derivative_is_refused() -> None:
    wave, obj, corner = make_inputs(SHAPES[0], torch.complex128, 4)
    wave.requires_grad_(), obj.requires_grad_()
    out = ops.slice_transmit(wave, obj, corner)
    (grad_wave,) = torch.autograd.grad(out.abs().square().sum(), wave, create_graph=True)
    with pytest.raises(RuntimeError, match="slice_transmit_backward"):
        grad_wave.abs().sum().backward()


@pytest.fixture(params=[True, False], ids=["native", "reference"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With the native core, and as if it were not installed."""
    monkeypatch.setattr(native, "AVAILABLE", request.param)
    return request.param


@pytest.mark.usefixtures("either_path")
def test_without_the_native_core() -> None:
    wave, obj, corner = make_inputs(SHAPES[0], torch.complex64, 5)
    g = out_like(SHAPES[0], torch.complex64)
    actual = with_gradients(ops.slice_transmit, wave, obj, corner, g)
    assert_same(actual, loops(wave, obj, corner, g), torch.complex64)


WAVE, OBJ, CORNER = make_inputs(SHAPES[0], torch.complex64, 4)  # window 5 x 7, object 11 x 13


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"wave": WAVE.real}, TypeError, "wave: must be complex64 or complex128, found float32"),
        ({"obj_slice": OBJ.to(torch.complex128)}, TypeError, "obj_slice: must have the dtype of"),
        ({"corner": CORNER.int()}, TypeError, "corner: must be int64, found int32"),
        ({"obj_slice": OBJ[0]}, ValueError, r"obj_slice: .* \[No, Y, X\], found 2 axes"),
        ({"obj_slice": OBJ[:0]}, ValueError, "obj_slice: must have an object mode"),
        ({"wave": WAVE[0]}, ValueError, r"wave: .* \[B, M, Ny, Nx\], found 3 axes"),
        (
            {"wave": WAVE[:, :, None]},
            ValueError,
            r"wave: .* with No = 2, found \[3, 2, 1, 5, 7\]",
        ),
        ({"corner": CORNER[:2]}, ValueError, r"corner: .* with B = 3, found \[2, 2\]"),
        ({"corner": CORNER[:, :1]}, ValueError, r"corner: must have the shape \[B, 2\], found"),
        (
            {"corner": torch.tensor([[0, 0], [6, 7], [-1, 0]])},
            ValueError,
            r"corner\[1\]: the window of \(5, 7\) .* object of \(11, 13\), found \(6, 7\)",
        ),
        (
            {"corner": torch.tensor([[0, 0], [6, 6], [-1, 0]])},
            ValueError,
            r"corner\[2\]: .* found \(-1, 0\)",
        ),
        ({"obj_slice": OBJ[:, :4]}, ValueError, r"corner\[0\]: .* object of \(4, 13\)"),
        ({"obj_slice": OBJ.to("meta")}, ValueError, "obj_slice: must be on the device of wave"),
    ],
)
def test_refusals(changed: dict[str, torch.Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ops.slice_transmit(**({"wave": WAVE, "obj_slice": OBJ, "corner": CORNER} | changed))
