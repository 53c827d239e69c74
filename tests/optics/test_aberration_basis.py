"""Aberrations as unknowns: which names, which parts, and what one unit of each is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty.optics import Aberrations, aberration_basis, movable_aberrations, spatial_frequencies
from tests.tolerances import tolerance

SHAPE, PIXEL, WAVELENGTH, SEMIANGLE = (24, 20), (0.2, 0.25), 0.02, 25.0
CLOSE = tolerance("sum", torch.float64)


def chi(coefficients: dict[str, float]) -> NDArray[np.float64]:
    ky, kx = spatial_frequencies(SHAPE, PIXEL)
    return Aberrations(coefficients).chi(ky, kx, WAVELENGTH)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["defocus"], {"defocus": 1}),
        (["C10", "Cs"], {"C10": 1, "Cs": 3}),
        (["C12"], {"C12a": 1, "C12b": 1}),
        (["C21b", "C30"], {"C21b": 2, "C30": 3}),
        (["C12b", "C12a"], {"C12b": 1, "C12a": 1}),
        (["A1", "B2", "C5"], {"C12a": 1, "C12b": 1, "C21a": 2, "C21b": 2, "C5": 5}),
        ([], {}),
    ],
)
def test_names_stand_for_linear_parts(names: list[str], parts: dict[str, int]) -> None:
    assert movable_aberrations(names) == parts


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["C13"], "unknown name 'C13'"),
        (["phi12"], "phi12 is an azimuth"),
        (["phi_A1"], "phi_A1 is an azimuth"),
        (["defocus", "C10"], "C10 and defocus both move C10"),
        (["C12", "C12"], "C12 and C12 both move C12a"),
        (["A1", "C12b"], "C12b and A1 both move C12b"),
    ],
)
def test_refused_names(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^aberrations: {message}"):
        movable_aberrations(names)


def test_a_change_of_units_is_a_change_of_coefficients() -> None:
    """The basis is linear in all of them together, in Angstrom by its own names."""
    basis = aberration_basis(
        ["defocus", "A1", "C21", "Cs", "C56"],
        SHAPE,
        PIXEL,
        semiangle_mrad=SEMIANGLE,
        wavelength=WAVELENGTH,
    )
    units = np.random.default_rng(0).normal(size=len(basis.names))
    values = dict(zip(basis.names, units * basis.angstrom, strict=True))
    found = np.tensordot(units, basis.chi, axes=1)
    np.testing.assert_allclose(found, chi(values), **CLOSE)


@pytest.mark.parametrize("name", ["defocus", "C12a", "C12b", "C23b", "Cs", "C41a", "C56b"])
def test_a_unit_is_one_radian_at_the_apertures_edge(name: str) -> None:
    basis = aberration_basis([name], SHAPE, PIXEL, semiangle_mrad=SEMIANGLE, wavelength=WAVELENGTH)
    lens = Aberrations({name: float(basis.angstrom[0])})
    k = SEMIANGLE * 1e-3 / WAVELENGTH
    phi = np.linspace(0, 2 * np.pi, 240, endpoint=False)  # meets every maximum
    edge = lens.chi(k * np.sin(phi), k * np.cos(phi), WAVELENGTH)
    np.testing.assert_allclose(np.abs(edge).max(), 1, **CLOSE)


def test_single_coefficients_are_found_by_any_name() -> None:
    lens = Aberrations({"defocus": 80.0, "C12": 3.0, "phi12": 30.0, "Cs": 1e4})
    assert lens.coefficient("defocus") == 80
    assert lens.coefficient("C10") == lens.coefficient("C1") == -80
    assert lens.coefficient("C3") == 1e4
    np.testing.assert_allclose(lens.coefficient("C12a"), 3 * np.cos(np.pi / 3), **CLOSE)
    np.testing.assert_allclose(lens.coefficient("C12b"), 3 * np.sin(np.pi / 3), **CLOSE)
    assert lens.coefficient("C21a") == 0
