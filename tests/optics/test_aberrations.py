"""Every aberration by every name: order, symmetry, size, sign; and the refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastpty.optics import Aberrations
from tests.tolerances import tolerance

WAVELENGTH = 0.025
TERMS = [
    (1, 0), (1, 2), (2, 1), (2, 3), (3, 0), (3, 2), (3, 4),
    (4, 1), (4, 3), (4, 5), (5, 0), (5, 2), (5, 4), (5, 6),
]  # fmt: skip
ROUND = [(n, m) for n, m in TERMS if m]

# Haider's W = Re{...}, Uhlemann & Haider (1998): the power of omega and of its conjugate.
HAIDER = {
    "C1": (1 / 2, 1, 1), "A1": (1 / 2, 0, 2),
    "B2": (1, 2, 1), "A2": (1 / 3, 0, 3),
    "C3": (1 / 4, 2, 2), "S3": (1, 3, 1), "A3": (1 / 4, 0, 4),
    "B4": (1, 3, 2), "D4": (1, 4, 1), "A4": (1 / 5, 0, 5),
    "C5": (1 / 6, 3, 3), "S5": (1, 4, 2), "R5": (1, 5, 1), "A5": (1 / 6, 0, 6),
}  # fmt: skip


def near(actual: object, expected: object) -> None:
    actual, expected = (torch.from_numpy(np.asarray(x, np.float64)) for x in (actual, expected))
    size = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, **tolerance("chain", torch.float64, scale=size))


def ring(lens: Aberrations, theta: float, phi: object) -> NDArray[np.float64]:
    """chi at an angle (rad) against the axis, in azimuths phi (rad)."""
    phi = np.asarray(phi, np.float64)
    k = theta / WAVELENGTH
    return lens.chi(k * np.sin(phi), k * np.cos(phi), WAVELENGTH)


@pytest.mark.parametrize(("n", "m"), TERMS)
def test_size_order_and_symmetry(n: int, m: int) -> None:
    lens, theta = Aberrations({f"C{n}{m}": 1e4}), 0.03
    phi = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    amplitude = 2 * np.pi / WAVELENGTH * 1e4 * theta ** (n + 1) / (n + 1)
    near(ring(lens, theta, phi), amplitude * np.cos(m * phi))
    near(ring(lens, 2 * theta, phi), 2 ** (n + 1) * ring(lens, theta, phi))
    if m:
        near(ring(lens, theta, phi + 2 * np.pi / m), ring(lens, theta, phi))
    assert lens.chi(0.0, 0.0, WAVELENGTH) == 0


@pytest.mark.parametrize(("n", "m"), ROUND)
@pytest.mark.parametrize("azimuth", [-170.0, 0.0, 12.0, 90.0, 400.0])
def test_polar_is_cartesian(n: int, m: int, azimuth: float) -> None:
    polar = Aberrations({f"C{n}{m}": 300.0, f"phi{n}{m}": azimuth})
    phi = np.linspace(-3, 3, 50)
    amplitude = ring(Aberrations({f"C{n}{m}": 300.0}), 0.02, 0.0)
    near(ring(polar, 0.02, phi), amplitude * np.cos(m * (phi - math.radians(azimuth))))
    angle = math.radians(m * azimuth)
    a, b = 300 * math.cos(angle), 300 * math.sin(angle)
    cartesian = Aberrations({f"C{n}{m}a": a, f"C{n}{m}b": b})
    near(ring(cartesian, 0.02, phi), ring(polar, 0.02, phi))
    assert cartesian.cartesian == {f"C{n}{m}": (a, b)}


@pytest.mark.parametrize(("n", "m"), ROUND)
def test_one_cartesian_part_alone(n: int, m: int) -> None:
    assert Aberrations({f"C{n}{m}a": 2}).cartesian == {f"C{n}{m}": (2, 0)}
    assert Aberrations({f"C{n}{m}b": 2}).cartesian == {f"C{n}{m}": (0, 2)}


@pytest.mark.parametrize("name", HAIDER)
def test_haider_by_his_own_formula(name: str) -> None:
    """2 pi / lambda Re(factor value omega^p conj(omega)^q) at azimuth zero, where both senses of
    counting azimuths agree."""
    factor, p, q = HAIDER[name]
    omega = 0.02 * np.exp(1j * np.linspace(0, 6, 50))
    expected = 2 * np.pi / WAVELENGTH * (factor * 5e3 * omega**p * omega.conj() ** q).real
    near(ring(Aberrations({name: 5e3}), 0.02, np.angle(omega)), expected)


@pytest.mark.parametrize("name", [name for name, (_, p, q) in HAIDER.items() if p != q])
def test_haider_azimuths_turn_the_pattern(name: str) -> None:
    phi = np.linspace(0, 6, 50)
    turned = Aberrations({name: 5e3, f"phi_{name}": 25.0})
    plain = Aberrations({name: 5e3})
    near(ring(turned, 0.02, phi), ring(plain, 0.02, phi - math.radians(25)))


def test_defocus_and_cs() -> None:
    lens = Aberrations({"defocus": 120.0, "Cs": 1.2e7})
    assert lens.cartesian == {"C10": (-120.0, 0.0), "C30": (1.2e7, 0.0)}
    theta = 0.01
    length = -120 * theta**2 / 2 + 1.2e7 * theta**4 / 4
    near(ring(lens, theta, 1.0), 2 * np.pi / WAVELENGTH * length)


@settings(max_examples=25, derandomize=True)
@given(
    values=st.dictionaries(
        st.sampled_from([f"C{n}{m}" for n, m in TERMS]), st.floats(-1e4, 1e4), max_size=6
    )
)
def test_terms_add_up(values: dict[str, float]) -> None:
    k = np.linspace(-1, 1, 9)
    whole = Aberrations(values).chi(k[:, None], k, WAVELENGTH)
    parts = [Aberrations({name: v}).chi(k[:, None], k, WAVELENGTH) for name, v in values.items()]
    total = np.sum(parts, axis=0) if parts else np.zeros((9, 9))
    scale = sum(float(np.abs(part).max()) for part in parts)
    torch.testing.assert_close(
        torch.from_numpy(whole),
        torch.from_numpy(total),
        **tolerance("sum", torch.float64, scale=scale),
    )


def test_no_aberration() -> None:
    assert not Aberrations().chi(np.ones((3, 1)), np.ones((1, 4)), WAVELENGTH).any()
    assert Aberrations({}).chi(np.ones((3, 1)), np.ones((1, 4)), WAVELENGTH).shape == (3, 4)


def test_repr_names_the_terms() -> None:
    assert repr(Aberrations({"A1": 3.0})) == "Aberrations(C12=(3, 0))"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"defocuss": 1}, "unknown name 'defocuss'; did you mean 'defocus'"),
        ({"df": 1}, "unknown name 'df'; did you mean 'defocus'|unknown name 'df'$"),
        ({"C1O": 1}, "unknown name 'C1O'; did you mean 'C1"),
        ({"c12": 1}, "unknown name 'c12'; did you mean 'C12"),
        ({"phi_12": 1}, "unknown name 'phi_12'; did you mean 'phi12'"),
        ({"C11": 1}, "unknown name 'C11'"),
        ({"C10a": 1}, "unknown name 'C10a'"),
        ({"zzzzzz": 1}, "unknown name 'zzzzzz'$"),
        ({"C10": 1, "defocus": 1}, "C10 and defocus both set C10"),
        ({"C1": 1, "C10": 1}, "C1 and C10 both set C10"),
        ({"Cs": 1, "C3": 1}, "C3 and Cs both set C30"),
        ({"C12": 1, "C12a": 1}, "C12a/b and C12 both set C12"),
        ({"C12b": 1, "A1": 1}, "A1 and C12a/b both set C12"),
        ({"B2": 1, "C21": 3}, "B2 and C21 both set C21"),
        ({"phi12": 10}, "phi12 needs C12, which is not given"),
        ({"phi12": 10, "A1": 1}, "phi12 needs C12, which is not given"),
        ({"phi_A1": 10, "C12": 1}, "phi_A1 needs A1, which is not given"),
        ({"C12": math.nan}, "C12 must be a finite number, got nan"),
        ({"C12": 1, "phi12": math.inf}, "phi12 must be a finite number, got inf"),
    ],
)
def test_refusals(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^aberrations: {message}"):
        Aberrations(given)
