"""PtyRAD's names of aberrations in those of fastpty.

Krivanek's names mean the same in both. Haider's do not all: PtyRAD 1.0.0 takes ``C41 = 4 B4`` and
``C43 = 4 D4``, fastpty 5 of each, and an azimuth is ``A1phi`` there, ``phi_A1`` here. So all terms
become Krivanek's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["krivanek"]

# PtyRAD's factors: C_nm = factor * value.
_HAIDER = {
    "C1": ("10", 1), "A1": ("12", 1),
    "B2": ("21", 3), "A2": ("23", 1),
    "C3": ("30", 1), "S3": ("32", 4), "A3": ("34", 1),
    "B4": ("41", 4), "D4": ("43", 4), "A4": ("45", 1),
    "C5": ("50", 1), "S5": ("52", 6), "R5": ("54", 6), "A5": ("56", 1),
}  # fmt: skip
_KRIVANEK = re.compile(r"C(\d\d+)([ab]?)|phi(\d\d+)")


def krivanek(given: Mapping[str, float]) -> dict[str, float]:
    """Coefficients in Krivanek's names, Angstrom and degrees.

    A term of zero and an azimuth without its term, which PtyRAD ignores too, are left out; a name
    that is none of PtyRAD's stays, to be refused by who reads it.

    Raises
    ------
    ValueError : a part of one term is given twice.
    """
    terms: dict[str, float] = {}
    owner: dict[str, str] = {}
    for name, value in given.items():
        target, factor = _translated(name)
        if target in owner:
            raise ValueError(f"{name} and {owner[target]} both set {target}; give one of them")
        owner[target] = name
        terms[target] = factor * value
    return {name: value for name, value in terms.items() if _counts(name, terms)}


def _translated(name: str) -> tuple[str, float]:
    if name == "defocus":
        return "C10", -1.0
    if name == "Cs":
        return "C30", 1.0
    haider, azimuth = name.removesuffix("phi"), name.endswith("phi")
    if haider in _HAIDER:
        order, factor = _HAIDER[haider]
        return (f"phi{order}", 1.0) if azimuth else (f"C{order}", float(factor))
    return name, 1.0


def _counts(name: str, terms: Mapping[str, float]) -> bool:
    """Whether a coefficient changes the probe."""
    found = _KRIVANEK.fullmatch(name)
    if found is None:
        return True
    if found[3] is not None:
        return bool(terms.get(f"C{found[3]}"))
    return bool(terms[name])
