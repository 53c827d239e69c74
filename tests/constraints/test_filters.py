"""Filters of the object against scipy, plane waves and their definition."""

from __future__ import annotations

import math

import pytest
import scipy.fft
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from fastpty.constraints.cosine import cosine_transform, inverse_cosine_transform
from fastpty.model import Model
from tests.constraints.small_model import apply, small_model, values
from tests.tolerances import tolerance

FILTERS = [
    "blur_xy",
    "blur_z",
    "lowpass_xy",
    "missing_wedge",
    "sparse_dct",
    "total_variation_xy",
    "total_variation_z",
]
OBJECT = ("amplitude", "phase")
FLOATS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def radius(std: float, taps: int | None) -> int:
    """That the constraint documents: taps within 3 std, at least 5."""
    return max(2, math.ceil(3 * std) - 1) if taps is None else taps // 2


def filled(model: Model, field: torch.Tensor) -> Model:
    """Phase and amplitude less 1 are the field [Y, X] or [Nz, Y, X]."""
    with torch.no_grad():
        model.phase.copy_(field)
        model.amplitude.copy_(1 + field)
    return model


@FLOATS
@pytest.mark.parametrize("taps", [None, 1, 3, 9])
@pytest.mark.parametrize("std", [0.1, 0.4, 1.0, 2.3])
@pytest.mark.parametrize("canvas", [(11, 9), (1, 1), (2, 30)])
def test_blur_xy(canvas: tuple[int, int], std: float, taps: int | None, dtype: torch.dtype) -> None:
    """Also where the filter is longer than the plane."""
    model = small_model(canvas=canvas, dtype=dtype)
    before = values(model)
    apply(model, "blur_xy", {"std": std, "kernel_size": taps})
    for name in OBJECT:
        array = before[name].double().numpy()
        for axis in (2, 3):
            array = gaussian_filter1d(array, std, axis, mode="nearest", radius=radius(std, taps))
        expected = torch.from_numpy(array).to(dtype)
        torch.testing.assert_close(
            model.unknowns[name].detach(), expected, **tolerance("sum", dtype)
        )
    for name in ("probe", "positions"):
        assert torch.equal(model.unknowns[name], before[name])


@FLOATS
@pytest.mark.parametrize("taps", [None, 3])
@pytest.mark.parametrize("std", [0.1, 1.0, 2.3])
@pytest.mark.parametrize("slices", [2, 4, 17])
def test_blur_z(slices: int, std: float, taps: int | None, dtype: torch.dtype) -> None:
    model = small_model(slices=slices, dtype=dtype)
    before = values(model)
    apply(model, "blur_z", {"std": std, "kernel_size": taps})
    for name in OBJECT:
        array = before[name].double().numpy()
        array = gaussian_filter(
            array, (0, std, 0, 0), mode="nearest", radius=(0, radius(std, taps), 0, 0)
        )
        expected = torch.from_numpy(array).to(dtype)
        torch.testing.assert_close(
            model.unknowns[name].detach(), expected, **tolerance("sum", dtype)
        )


@pytest.mark.parametrize("name", ["blur_z", "total_variation_z"])
def test_a_single_slice_has_no_depth(name: str) -> None:
    model = small_model(slices=1)
    before = model.phase.clone()
    apply(model, name)
    assert torch.equal(model.phase, before)


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("name", FILTERS)
def test_a_constant_phase_stays(name: str, slices: int) -> None:
    model = small_model(slices=slices)
    with torch.no_grad():
        model.phase.fill_(0.7)
    apply(model, name)
    torch.testing.assert_close(
        model.phase.detach(),
        torch.full_like(model.phase, 0.7),
        **tolerance("transform", torch.float32),
    )


@pytest.mark.parametrize("of", ["amplitude", "phase", "both"])
@pytest.mark.parametrize("name", [*FILTERS, "complex_ratio"])
def test_of(name: str, of: str) -> None:
    """Only what is named changes, and it changes as it would beside the other."""
    model, both = small_model(), small_model()
    before = values(model)
    strong = {"alpha2": 0.5} if name == "complex_ratio" else {}
    apply(model, name, {"of": of, **strong})
    apply(both, name, strong)
    for part in OBJECT:
        expected = values(both)[part] if of in (part, "both") else before[part]
        assert torch.equal(model.unknowns[part], expected)
        assert not torch.equal(values(both)[part], before[part])


@pytest.mark.parametrize("canvas", [(20, 16), (15, 9)])
def test_lowpass_xy_of_a_plane_wave(canvas: tuple[int, int]) -> None:
    """The mask is 1/2 at radius / 2 cycles per pixel; the wave keeps its phase."""
    y, x = torch.meshgrid(*map(torch.arange, canvas), indexing="ij")
    fy, fx = 2 / canvas[0], 1 / canvas[1]
    wave = torch.cos(2 * math.pi * (fy * y + fx * x) + 0.4)
    frequency = math.hypot(fy, fx)
    model = filled(small_model(canvas=canvas), wave)
    apply(model, "lowpass_xy", {"radius": 2 * frequency, "width": 0.03})
    torch.testing.assert_close(
        model.phase.detach(),
        (wave / 2).expand_as(model.phase),
        **tolerance("transform", torch.float32),
    )
    model = filled(small_model(canvas=canvas), wave)
    apply(model, "lowpass_xy", {"radius": 2 * frequency + 0.02, "width": 0.2})
    share = 1 / (1 + math.exp(-10 * 0.01 / 0.2))
    torch.testing.assert_close(
        model.amplitude.detach(),
        (1 + share * wave).expand_as(model.phase),
        **tolerance("transform", torch.float32),
    )


@pytest.mark.parametrize(("slices", "canvas"), [(4, (20, 16)), (5, (15, 9)), (1, (8, 8))])
def test_missing_wedge_of_a_plane_wave(slices: int, canvas: tuple[int, int]) -> None:
    fz, fy, fx = (1 / slices if slices > 1 else 0.0), 2 / canvas[0], 1 / canvas[1]
    z, y, x = torch.meshgrid(*map(torch.arange, (slices, *canvas)), indexing="ij")
    wave = torch.cos(2 * math.pi * (fz * z + fy * y + fx * x) + 0.4)
    model = filled(small_model(slices=slices, canvas=canvas), wave)
    apply(model, "missing_wedge", {"beta": 0.7, "alpha": 2.0})
    across = fy**2 + fx**2
    share = 1 - math.atan((0.7 * fz / math.sqrt(across + 1e-3)) ** 2) / (math.pi / 2)
    share *= math.exp(-2.0 * across)
    close = tolerance("transform", torch.float32)
    torch.testing.assert_close(model.phase.detach(), (share * wave).expand_as(model.phase), **close)
    torch.testing.assert_close(
        model.amplitude.detach(), (1 + 0.9 * share * wave).expand_as(model.phase), **close
    )


@FLOATS
@pytest.mark.parametrize("shape", [(11, 9), (8, 6), (1, 1), (1, 5), (2, 3, 4, 7)])
def test_cosine_transform(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    planes = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    expected = torch.from_numpy(scipy.fft.dctn(planes.double().numpy(), axes=(-2, -1))).to(dtype)
    actual = cosine_transform(planes)
    scale = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, **tolerance("transform", dtype, scale))
    torch.testing.assert_close(
        inverse_cosine_transform(actual), planes, **tolerance("transform", dtype)
    )


@pytest.mark.parametrize("keep", [1e-6, 0.05, 0.5, 1.0])
def test_sparse_dct(keep: float) -> None:
    """What is kept are the largest coefficients, of all slices and modes together."""
    model = small_model(dtype=torch.float64)
    before = values(model)
    apply(model, "sparse_dct", {"keep": keep})
    for name in OBJECT:
        coefficients = scipy.fft.dctn(before[name].numpy(), axes=(-2, -1))
        kept = max(1, int(keep * coefficients.size))
        order = abs(coefficients).ravel().argsort()
        coefficients.ravel()[order[: coefficients.size - kept]] = 0
        expected = torch.from_numpy(scipy.fft.idctn(coefficients, axes=(-2, -1)))
        torch.testing.assert_close(
            model.unknowns[name].detach(), expected, **tolerance("transform", torch.float64)
        )


def test_sparse_dct_twice_is_once() -> None:
    model = small_model()
    apply(model, "sparse_dct", {"keep": 0.2})
    once = values(model)
    apply(model, "sparse_dct", {"keep": 0.2})
    for name in OBJECT:
        torch.testing.assert_close(
            model.unknowns[name].detach(), once[name], **tolerance("transform", torch.float32)
        )
