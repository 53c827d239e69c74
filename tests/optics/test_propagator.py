"""Propagators: against the formula in 50 digits, and as physics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.optics import axial_wavenumber, propagator, spatial_frequencies
from tests.tolerances import bound, tolerance

BEAM: dict[str, Any] = {"wavelength": 0.0197, "pixel_size": (0.2, 0.15)}
SLOW: dict[str, Any] = {"wavelength": 0.61, "pixel_size": (0.2, 0.25)}  # evanescent corners
MODELS = ["angular_spectrum", "fresnel"]
DTYPES = [torch.float32, torch.float64]


def near(actual: torch.Tensor, expected: torch.Tensor, kind: str = "transform") -> None:
    torch.testing.assert_close(actual, expected, **tolerance(kind, actual.dtype))


def real(*values: object, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("optics", [BEAM, SLOW], ids=["fast", "slow"])
@pytest.mark.parametrize("shape", [(6, 5), (1, 7)])
def test_formula_in_fifty_digits(
    shape: tuple[int, int], optics: dict[str, Any], dtype: torch.dtype
) -> None:
    """As it is written, with the difference of two large numbers."""
    mpmath = pytest.importorskip("mpmath")
    dz, tilt = 4.0, (12.0, -7.0)
    actual = propagator(shape, torch.tensor(dz, dtype=dtype), real(tilt, dtype=dtype), **optics)
    expected = torch.zeros(shape, dtype=torch.complex128)
    with mpmath.workdps(50):
        k = 2 * mpmath.pi / mpmath.mpf(optics["wavelength"])
        slope = [mpmath.tan(mpmath.mpf(t) / 1000) for t in tilt]
        for at in np.ndindex(*shape):
            index = [i if i < (n + 1) // 2 else i - n for i, n in zip(at, shape, strict=True)]
            lateral = [
                2 * mpmath.pi * i / (n * mpmath.mpf(d))
                for i, n, d in zip(index, shape, optics["pixel_size"], strict=True)
            ]
            square = lateral[0] ** 2 + lateral[1] ** 2
            if square >= k**2:
                continue
            phase = mpmath.sqrt(k**2 - square) - k + lateral[0] * slope[0] + lateral[1] * slope[1]
            expected[at] = complex(mpmath.expj(dz * phase))
    near(actual[0], expected.to(actual.dtype))


def test_single_precision_loses_no_digits_to_cancellation() -> None:
    chi0, _ = axial_wavenumber((64, 64), wavelength=0.0197, pixel_size=0.2)
    single = propagator((64, 64), torch.tensor(2.0), wavelength=0.0197, pixel_size=0.2)
    near(single, torch.from_numpy(np.exp(2j * chi0)).to(torch.complex64))


@pytest.mark.parametrize("model", MODELS)
def test_unitary_where_waves_propagate(model: str) -> None:
    transfer = propagator((9, 8), real(33)[0], real([5, 9]), model=model, **BEAM)
    near(transfer.abs(), torch.ones(1, 9, 8, dtype=torch.float64))


def test_evanescent_waves_are_zero_for_any_distance_and_tilt() -> None:
    ky, kx = spatial_frequencies((12, 12), SLOW["pixel_size"])
    evanescent = torch.from_numpy(np.hypot(ky, kx) >= 1 / 0.61)
    assert 0 < int(evanescent.sum()) < 144
    for dz in (-5.0, 0.0, 5.0):
        transfer = propagator((12, 12), real(dz)[0], real([30, 10]), **SLOW)[0]
        assert not transfer[evanescent].any()
        near(transfer[~evanescent].abs(), torch.ones_like(transfer[~evanescent].real))


def test_evanescent_waves_give_no_gradient() -> None:
    dz, tilt = real(5.0)[0].requires_grad_(), real([30.0, 10.0]).requires_grad_()
    ky, kx = spatial_frequencies((12, 12), SLOW["pixel_size"])
    evanescent = torch.from_numpy(np.hypot(ky, kx) >= 1 / 0.61)
    transfer = propagator((12, 12), dz, tilt, **SLOW)[0]
    (transfer.real + transfer.imag)[evanescent].sum().backward()
    assert dz.grad == 0
    assert not tilt.grad.any()


@settings(max_examples=25, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    a=st.floats(-20, 20),
    b=st.floats(-20, 20),
    model=st.sampled_from(MODELS),
    slow=st.booleans(),
)
def test_distances_add_up(
    shape: tuple[int, int], a: float, b: float, model: str, slow: bool
) -> None:
    """H(a) H(b) = H(a + b), with one tilt."""

    def over(dz: float) -> torch.Tensor:
        return propagator(
            shape, real(dz)[0], real([8, -3]), model=model, **(SLOW if slow else BEAM)
        )

    near(over(a) * over(b), over(a + b), "chain")


@pytest.mark.parametrize("model", MODELS)
def test_no_distance_is_no_propagation(model: str) -> None:
    transfer = propagator((5, 6), real(0)[0], real([8, 3]), model=model, **BEAM)
    assert torch.equal(transfer, torch.ones(1, 5, 6, dtype=torch.complex128))


def test_fresnel_is_the_small_angle_limit() -> None:
    """The phases differ by pi dz lambda^3 k^4 / 4, the next term of the root, and no more."""
    shape, pixel, dz = (32, 32), 1.0, 100.0
    given = {"wavelength": 0.0197, "pixel_size": pixel}
    exact, _ = axial_wavenumber(shape, **given)
    paraxial, _ = axial_wavenumber(shape, model="fresnel", **given)
    ky, kx = spatial_frequencies(shape, pixel)
    k4 = (ky**2 + kx**2) ** 2
    fourth = -math.pi * 0.0197**3 * k4 / 4
    assert np.abs(dz * (exact - paraxial - fourth)).max() < bound("paraxial")
    assert np.abs(dz * fourth).max() > 10 * bound("paraxial")  # so the term is there
    small = np.hypot(ky, kx) * 0.0197 < 5e-3
    assert np.abs(dz * (exact - paraxial))[small].max() < bound("paraxial")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dz", [-400.0, 200.0, 800.0])
def test_gaussian_beam_broadens(model: str, dz: float) -> None:
    """w(dz)^2 = w0^2 (1 + (dz / zR)^2) with zR = pi w0^2 / lambda: the textbook's beam."""
    n, pixel, wavelength, waist = 128, 0.25, 0.0197, 2.0
    y, x = ((np.arange(n) - n // 2) * pixel for _ in range(2))
    wave = np.exp(-(y[:, None] ** 2 + x**2) / waist**2)
    transfer = propagator(
        (n, n), real(dz)[0], wavelength=wavelength, pixel_size=pixel, model=model
    ).numpy()
    power = np.abs(np.fft.ifft2(np.fft.fft2(wave) * transfer)) ** 2
    measured = 4 * (power.sum(1) * y**2).sum() / power.sum()  # w^2 is four times the variance
    rayleigh = math.pi * waist**2 / wavelength
    expected = waist**2 * (1 + (dz / rayleigh) ** 2)
    assert measured == pytest.approx(expected, rel=bound("sampled"))


def test_tilt_shapes() -> None:
    dz = real(7)[0]
    assert propagator((4, 5), dz, **BEAM).shape == (4, 5)
    assert propagator((4, 5), dz, real([1, 2]), **BEAM).shape == (1, 4, 5)
    tilts = real([1, 2], [0, 0], [-5, 30])
    each = propagator((4, 5), dz, tilts, **BEAM)
    assert each.shape == (3, 4, 5)
    for j in range(3):
        near(each[j], propagator((4, 5), dz, tilts[j : j + 1], **BEAM)[0])
    near(each[1], propagator((4, 5), dz, **BEAM))


def test_tilt_moves_a_wave_by_minus_dz_tan_t() -> None:
    """Exactly: the factor is that of the shift theorem."""
    dz, tilt = 25.0, (40.0, -15.0)
    ky, kx = spatial_frequencies((8, 9), BEAM["pixel_size"])
    factor = propagator((8, 9), real(dz)[0], real(tilt), **BEAM)[0] / propagator(
        (8, 9), real(dz)[0], **BEAM
    )
    move = [-dz * math.tan(1e-3 * t) for t in tilt]
    near(factor, torch.from_numpy(np.exp(-2j * np.pi * (ky * move[0] + kx * move[1]))))


@pytest.mark.parametrize("model", MODELS)
def test_gradcheck(model: str) -> None:
    dz, tilt = real(5.0)[0].requires_grad_(), real([9.0, -4.0], [1.0, 2.0]).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda dz, tilt: propagator((4, 5), dz, tilt, model=model, **SLOW), (dz, tilt)
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "rays"}, "model must be one of angular_spectrum, fresnel, got 'rays'"),
        ({"wavelength": -1.0}, "wavelength must be a positive number of Angstrom, got -1.0"),
        ({"wavelength": math.nan}, "wavelength must be a positive number of Angstrom, got nan"),
        ({"pixel_size": 0.0}, "pixel_size must be one positive number or a pair"),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        axial_wavenumber((4, 4), **(BEAM | changed))
