"""The single operations on CUDA, their kernels emulated, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from fastpty import ops, reference
from fastpty.ops import single_cuda
from tests.multislice_cases import OPTICS, relative
from tests.tolerances import bound

WINDOWS = [(32, 48), (96, 50), (64, 128), (243, 36)]
POSITIONS, MODES, OBJECT_MODES = 3, 2, 2


@pytest.fixture(autouse=True)
def on_cuda(emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_cuda, "_core", emulated)
    monkeypatch.setattr(single_cuda, "_device_type", "cpu")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def complex_noise(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=generator)


def check(
    op: Callable[..., torch.Tensor],
    twin: Callable[..., torch.Tensor],
    *arguments: torch.Tensor,
    upstream: torch.Tensor,
) -> None:
    """Compare the output and every gradient."""

    def run(function: Callable[..., torch.Tensor], double: bool) -> list[torch.Tensor]:
        def wide(x: torch.Tensor) -> torch.Tensor:
            if not double or not (x.is_floating_point() or x.is_complex()):
                return x.clone()
            return x.to(torch.complex128 if x.is_complex() else torch.float64)

        leaves = [wide(x) for x in arguments]
        moving = [x.requires_grad_() for x in leaves if x.is_floating_point() or x.is_complex()]
        out = function(*leaves)
        return [out.detach(), *torch.autograd.grad(out, moving, wide(upstream).to(out.dtype))]

    actual, expected = run(op, double=False), run(twin, double=True)
    for a, e in zip(actual, expected, strict=True):
        assert relative(a, e) < bound("single gradient")


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_probe_shift(generator: torch.Generator, window: tuple[int, int]) -> None:
    probe = complex_noise(generator, MODES, *window)
    shift = torch.rand((POSITIONS, 2), generator=generator) - 0.5
    moved = reference.probe_shift(probe, shift + 0.3)  # a pull, lest the shift's gradient cancel
    upstream = reference.probe_shift(probe, shift) - moved
    check(ops.probe_shift, reference.probe_shift, probe, shift, upstream=upstream)


@pytest.mark.parametrize("has_object_axis", [False, True])
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("window", [*WINDOWS, (7, 5)], ids=str)
def test_slice_transmit(
    generator: torch.Generator, window: tuple[int, int], deterministic: bool, has_object_axis: bool
) -> None:
    modes = (MODES, OBJECT_MODES) if has_object_axis else (MODES,)
    wave = complex_noise(generator, POSITIONS, *modes, *window)
    obj = complex_noise(generator, OBJECT_MODES, 3, window[0] + 5, window[1] + 9)
    corner = torch.tensor([[0, 0], [5, 9], [2, 3]])
    upstream = complex_noise(generator, POSITIONS, MODES, OBJECT_MODES, *window)
    torch.use_deterministic_algorithms(deterministic)
    try:
        check(
            lambda wave, obj: ops.slice_transmit(wave, obj[:, 1], corner),
            lambda wave, obj: reference.slice_transmit(wave, obj[:, 1], corner),
            *(wave, obj),
            upstream=upstream,
        )
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("tilts", [0, 1, POSITIONS])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_fresnel_propagate(generator: torch.Generator, window: tuple[int, int], tilts: int) -> None:
    wave = complex_noise(generator, POSITIONS, MODES, OBJECT_MODES, *window)
    thickness = torch.tensor(12.0)
    tilt = [5 * torch.randn((tilts, 2), generator=generator)] if tilts else []
    further = [thickness + 3, *(t + 3 for t in tilt)]
    upstream = reference.fresnel_propagate(wave, *further, **OPTICS)
    upstream -= reference.fresnel_propagate(wave, thickness, *tilt, **OPTICS)
    check(
        lambda *arguments: ops.fresnel_propagate(*arguments, **OPTICS),
        lambda *arguments: reference.fresnel_propagate(*arguments, **OPTICS),
        *(wave, thickness, *tilt),
        upstream=upstream,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_mixed_intensity(
    generator: torch.Generator, window: tuple[int, int], weighted: bool
) -> None:
    wave = complex_noise(generator, POSITIONS, MODES, OBJECT_MODES, *window)
    occupancy = [torch.tensor([0.3, 0.9])] if weighted else []
    upstream = torch.rand((POSITIONS, *window), generator=generator)
    check(ops.mixed_intensity, reference.mixed_intensity, wave, *occupancy, upstream=upstream)


def test_a_window_outside_is_flagged(generator: torch.Generator) -> None:
    wave, obj = complex_noise(generator, 1, 1, 32, 32), complex_noise(generator, 1, 40, 40)
    ops.raise_device_errors()
    assert ops.slice_transmit(wave, obj, torch.tensor([[9, 0]])).isfinite().all()
    with pytest.raises(ValueError, match="corner: a window lay outside"):
        ops.raise_device_errors()


def test_what_no_kernel_serves_is_composed(generator: torch.Generator) -> None:
    """A window of 33 pixels, and double precision."""
    for wave in (
        complex_noise(generator, 1, 1, 1, 33, 32),
        complex_noise(generator, 1, 1, 1, 32, 32).to(torch.complex128),
    ):
        assert not single_cuda.serves(wave)
        assert relative(ops.mixed_intensity(wave), reference.mixed_intensity(wave)) < bound(
            "single intensity"
        )
