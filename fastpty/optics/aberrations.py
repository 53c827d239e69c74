"""Geometric aberrations to fifth order, in the three spellings that microscopes use."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Aberrations", "movable_aberrations"]

# (n, m): radial order and azimuthal symmetry of Krivanek's C_nm up to fifth order.
_TERMS = [
    (1, 0), (1, 2),
    (2, 1), (2, 3),
    (3, 0), (3, 2), (3, 4),
    (4, 1), (4, 3), (4, 5),
    (5, 0), (5, 2), (5, 4), (5, 6),
]  # fmt: skip

# Haider's name -> (n, m, factor): C_nm = factor * value. Haider writes the comas, stars and
# rosettes without the 1/(n+1) that Krivanek divides by (Uhlemann & Haider, Ultramicroscopy 72
# (1998) 109, against Krivanek et al., Ultramicroscopy 78 (1999) 1).
_HAIDER = {
    "C1": (1, 0, 1), "A1": (1, 2, 1),
    "B2": (2, 1, 3), "A2": (2, 3, 1),
    "C3": (3, 0, 1), "S3": (3, 2, 4), "A3": (3, 4, 1),
    "B4": (4, 1, 5), "D4": (4, 3, 5), "A4": (4, 5, 1),
    "C5": (5, 0, 1), "S5": (5, 2, 6), "R5": (5, 4, 6), "A5": (5, 6, 1),
}  # fmt: skip


def _known_names() -> list[str]:
    names = ["defocus", "Cs"]
    for n, m in _TERMS:
        names.append(f"C{n}{m}")
        if m:
            names += [f"phi{n}{m}", f"C{n}{m}a", f"C{n}{m}b"]
    for name, (_, m, _) in _HAIDER.items():
        names.append(name)
        if m:
            names.append(f"phi_{name}")
    return names


class Aberrations:
    """The aberration function ``chi`` of a probe-forming lens.

    ``chi = (2 pi / lambda) sum_nm C_nm theta^(n+1) / (n+1) cos(m (phi - phi_nm))``
    (Krivanek, Dellby & Lupini, Ultramicroscopy 78 (1999) 1), with ``theta = lambda |k|`` in
    rad and ``phi = atan2(ky, kx)``.

    Parameters
    ----------
    coefficients : any mix of

        - ``defocus`` in Angstrom, positive underfocus: ``C10 = -defocus``; ``Cs`` is ``C30``;
        - Krivanek's polar form ``C12`` (Angstrom) with ``phi12`` (degrees);
        - his Cartesian form ``C12a`` (the cosine part), ``C12b`` (the sine part);
        - Haider's ``C1 A1 B2 A2 C3 S3 A3 B4 D4 A4 C5 S5 R5 A5``, the azimuth as ``phi_A1`` in
          degrees with the meaning of ``phi12``.

    Raises
    ------
    ValueError : an unknown name, a value that is not finite, or one term given twice.
    """

    def __init__(self, coefficients: Mapping[str, float] | None = None) -> None:
        self._ab: dict[tuple[int, int], tuple[float, float]] = {}
        given = dict(coefficients or {})
        _refuse_unknown(given)
        owner: dict[tuple[int, int], str] = {}

        def take(n: int, m: int, a: float, b: float, name: str) -> None:
            if (n, m) in owner:
                raise ValueError(
                    f"aberrations: {name} and {owner[n, m]} both set C{n}{m}; give one of them"
                )
            owner[n, m] = name
            self._ab[n, m] = (a, b)

        if "defocus" in given:
            take(1, 0, -given["defocus"], 0.0, "defocus")
        if "Cs" in given:
            take(3, 0, given["Cs"], 0.0, "Cs")
        for n, m in _TERMS:
            name = f"C{n}{m}"
            if name in given:
                take(
                    n,
                    m,
                    *_cartesian(given[name], given.get(f"phi{n}{m}", 0.0), m),
                    name,
                )
            if f"{name}a" in given or f"{name}b" in given:
                take(
                    n,
                    m,
                    given.get(f"{name}a", 0.0),
                    given.get(f"{name}b", 0.0),
                    f"{name}a/b",
                )
        for name, (n, m, factor) in _HAIDER.items():
            if name in given:
                azimuth = given.get(f"phi_{name}", 0.0)
                take(n, m, *_cartesian(factor * given[name], azimuth, m), name)

    @property
    def cartesian(self) -> dict[str, tuple[float, float]]:
        """``{"C12": (C12a, C12b), ...}`` in Angstrom, for the terms that were given."""
        return {f"C{n}{m}": ab for (n, m), ab in self._ab.items()}

    def coefficient(self, name: str) -> float:
        """One coefficient in Angstrom by a name of :func:`movable_aberrations`; 0 if it was not
        given."""
        ((term, parts),) = Aberrations({name: 1.0})._ab.items()
        a, b = self._ab.get(term, (0.0, 0.0))
        return a * parts[0] + b * parts[1]

    def chi(self, ky: ArrayLike, kx: ArrayLike, wavelength: float) -> NDArray[np.float64]:
        """Phase error in rad at the frequencies (ky, kx) in 1/Angstrom, which broadcast."""
        omega = wavelength * (np.asarray(kx, np.float64) + 1j * np.asarray(ky, np.float64))
        theta2 = np.abs(omega) ** 2
        length = np.zeros(theta2.shape)  # sum over the terms, in Angstrom
        for (n, m), (a, b) in self._ab.items():
            # theta^(n+1) cos and sin of (m phi) are the parts of omega^m |omega|^(n+1-m),
            # which has no atan2 and no trouble at theta = 0.
            azimuthal = omega**m * theta2 ** ((n + 1 - m) // 2)
            length = length + (a * azimuthal.real + b * azimuthal.imag) / (n + 1)
        return 2 * np.pi / wavelength * length

    def __repr__(self) -> str:
        terms = ", ".join(f"{k}=({a:g}, {b:g})" for k, (a, b) in self.cartesian.items())
        return f"Aberrations({terms})"


def _cartesian(value: float, azimuth_deg: float, m: int) -> tuple[float, float]:
    """C cos(m (phi - phi0)) = (C cos m phi0) cos m phi + (C sin m phi0) sin m phi."""
    angle = math.radians(m * azimuth_deg)
    return value * math.cos(angle), value * math.sin(angle)


def _refuse_unknown(given: Mapping[str, float]) -> None:
    known = _known_names()
    for name, value in given.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"aberrations: unknown name {name!r}{hint}")
        if not math.isfinite(value):
            raise ValueError(f"aberrations: {name} must be a finite number, got {value!r}")
        if name.startswith("phi"):
            partner = name.removeprefix("phi_") if "_" in name else f"C{name.removeprefix('phi')}"
            if partner not in given:
                raise ValueError(f"aberrations: {name} needs {partner}, which is not given")


def movable_aberrations(names: Sequence[str]) -> dict[str, int]:
    """Single coefficients in which chi is linear, and the radial order n of each.

    Those without azimuth keep their name (defocus, Cs, C30, C3); others stand for their two
    Cartesian parts, by Krivanek's names: C12 and A1 are C12a and C12b. All are names that
    :class:`Aberrations` takes.

    Parameters
    ----------
    names : as :class:`Aberrations` takes them, but no azimuths: a part such as C12a may stand
        alone.

    Raises
    ------
    ValueError : an unknown name, an azimuth, or one coefficient named twice.
    """
    found: dict[str, int] = {}
    owner: dict[tuple[int, int, str], str] = {}
    for name in names:
        if name.startswith("phi") and name in _known_names():
            raise ValueError(
                f"aberrations: {name} is an azimuth; name the coefficient, whose two Cartesian "
                "parts then move"
            )
        _refuse_unknown({name: 1.0})
        ((n, m),) = Aberrations({name: 1.0})._ab
        parts = [name[-1]] if name[-1] in "ab" else (["a", "b"] if m else [""])
        for part in parts:
            if (n, m, part) in owner:
                raise ValueError(
                    f"aberrations: {name} and {owner[n, m, part]} both move C{n}{m}{part}; name "
                    "one of them"
                )
            owner[n, m, part] = name
            found[f"C{n}{m}{part}" if m else name] = n
    return found
