"""What a calibration says: lines of a table, plain numbers, and a config that holds them."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fastpty.calibrate.orientation import mirror
from fastpty.calibrate.solve import Calibration
from fastpty.config import ReconConfig
from fastpty.config.data import AffineConfig
from fastpty.config.template import write_template

__all__ = ["calibrated_config", "extended_config", "numbers", "table"]

# Astigmatism below so many standard deviations, or this part of the defocus, is not written.
_SIGNIFICANT, _WORTH = 3.0, 0.005


def table(found: Calibration) -> list[tuple[str, str]]:
    """(subject, finding) line by line."""
    disc, lens, curl, shifts = found.gathered.disc, found.lens, found.curl, found.parallax
    rotation, c10 = found.fit.errors[:2]
    middle = tuple(n // 2 for n in found.gathered.mean.shape)
    c12, phi12 = found.astigmatism
    hands = "the fast axis is mirrored" if lens.mirrored else "not mirrored"
    return [
        (
            "disc",
            f"radius {disc.radius:.2f} +- {disc.radius_error:.2f} px: semi-axes "
            f"{disc.radii[0]:.2f} and {disc.radii[1]:.2f} px, the longer at {disc.angle_deg:.0f} "
            f"deg; edge {disc.edge_width:.1f} px wide",
        ),
        (
            "centre",
            f"({disc.centre[0]:.2f}, {disc.centre[1]:.2f}) +- {disc.centre_error:.2f} px; the "
            f"middle of the detector is {middle}",
        ),
        (
            "scale",
            f"{1e3 * found.wavelength * found.dk:.5g} mrad/px, {found.dk:.5g} 1/A per px; object "
            f"pixel {found.pixel_size[0]:.5g} x {found.pixel_size[1]:.5g} A",
        ),
        (
            "semi-angle",
            f"{found.semiangle_mrad:.4g} mrad"
            + (" (given)" if _close(found.semiangle_given, found.semiangle_mrad) else ""),
        ),
        ("rotation", f"{lens.rotation_deg:.2f} +- {rotation:.2f} deg, {hands}"),
        (
            "",
            f"centre of mass {curl.rotation_deg:.2f} +- {curl.error_deg:.2f} deg (modulo 180), "
            f"curl/divergence {curl.curl:.2f}, other handedness {curl.curl_other:.2f}",
        ),
        (
            "",
            f"parallax {shifts.polar.rotation_deg:.2f} +- {shifts.rotation_error_deg:.2f} deg "
            f"(modulo 180), shifts fit to {shifts.residual:.2f} scan steps",
        ),
        (
            "defocus",
            f"{-lens.c10:.5g} +- {c10:.2g} A (C10 = {lens.c10:.5g} A); parallax alone: |C10| = "
            f"{shifts.c10:.5g} +- {shifts.defocus_error:.2g} A",
        ),
        (
            "astigmatism",
            f"C12 = {c12:.4g} +- {found.astigmatism_error:.2g} A at phi12 = {phi12:.1f} deg",
        ),
        (
            "explained",
            f"{found.fit.explained:.3f} of the bright field's power by a weak phase, "
            f"{found.explained_other:.3f} with the other handedness",
        ),
        (
            "twin",
            f"this one has the positive phase: bright tail {found.tails:.2f} times the dark one "
            f"(integrated centre of mass {found.tails_com:.2f}); the other is "
            f"{lens.twin().rotation_deg:.2f} deg, defocus {lens.c10:.5g} A",
        ),
    ]


def numbers(found: Calibration) -> dict[str, Any]:
    """Plain data, ready for JSON."""
    disc, lens, curl, shifts = found.gathered.disc, found.lens, found.curl, found.parallax
    c12, phi12 = found.astigmatism
    return {
        "disc": {
            "centre_px": list(disc.centre),
            "radius_px": disc.radius,
            "radius_error_px": disc.radius_error,
            "radii_px": list(disc.radii),
            "angle_deg": disc.angle_deg,
            "edge_width_px": disc.edge_width,
        },
        "dk_invA": found.dk,
        "mrad_per_pixel": 1e3 * found.wavelength * found.dk,
        "pixel_size_A": list(found.pixel_size),
        "semiangle_mrad": found.semiangle_mrad,
        "rotation_deg": lens.rotation_deg,
        "rotation_error_deg": found.fit.errors[0],
        "mirrored": lens.mirrored,
        "affine": _affine(found, {}),
        "defocus_A": -lens.c10,
        "defocus_error_A": found.fit.errors[1],
        "C12_A": c12,
        "C12_error_A": found.astigmatism_error,
        "phi12_deg": phi12,
        "explained": found.fit.explained,
        "explained_other_handedness": found.explained_other,
        "bright_over_dark": found.tails,
        "bright_over_dark_com": found.tails_com,
        "centre_of_mass": {
            "rotation_deg": curl.rotation_deg,
            "error_deg": curl.error_deg,
            "mirrored": curl.mirrored,
            "curl_over_divergence": curl.curl,
            "other_handedness": curl.curl_other,
        },
        "parallax": {
            "rotation_deg": shifts.polar.rotation_deg,
            "error_deg": shifts.rotation_error_deg,
            "mirrored": shifts.polar.mirrored,
            "abs_C10_A": shifts.c10,
            "abs_C10_error_A": shifts.defocus_error,
            "residual_steps": shifts.residual,
        },
        "doubts": found.doubts,
    }


def _affine(found: Calibration, scan: Mapping[str, Any]) -> list[list[float]]:
    """``scan.affine``: the axis that is mirrored comes after what the config had."""
    before = scan.get("affine")
    given = np.eye(2) if before is None else np.asarray(before, np.float64)
    if parts := scan.get("affine_parts"):
        given = AffineConfig(**parts).matrix @ given
    affine: list[list[float]] = (mirror(found.lens.mirrored) @ given + 0.0).tolist()
    return affine


def _extended(content: Mapping[str, Any], found: Calibration) -> dict[str, Any]:
    """The config's plain data with what was found; the rest stays."""
    result = copy.deepcopy(dict(content))
    beam, scan = result.setdefault("beam", {}), result.setdefault("scan", {})
    aberrations = dict(beam.get("aberrations") or {})
    for name in ("defocus", "C1", "C10", "C12", "phi12", "C12a", "C12b", "A1", "phi_A1"):
        aberrations.pop(name, None)
    aberrations["defocus"] = _rounded(-found.lens.c10, found.fit.errors[1])
    c12, phi12 = found.astigmatism
    if c12 > max(_SIGNIFICANT * found.astigmatism_error, _WORTH * abs(found.lens.c10)):
        aberrations |= {"C12": _rounded(c12, found.astigmatism_error), "phi12": round(phi12, 1)}
    beam["aberrations"] = aberrations
    beam.setdefault("semiangle_mrad", None)
    if beam["semiangle_mrad"] is None:
        beam["semiangle_mrad"] = float(f"{found.semiangle_mrad:.4g}")
    calibration = result.get("calibration") or {}
    scale = [name for name, value in calibration.items() if value is not None and name != "of"]
    if scale == [] or calibration.get("disc_radius_px") == "fit":
        radius = round(found.gathered.disc.radius, 3)
        result["calibration"] = {"disc_radius_px": radius}
        if result.get("preprocess"):
            result["calibration"]["of"] = "preprocessed"
    scan["rotation_deg"] = round(found.lens.rotation_deg, 3)
    affine = _affine(found, scan)
    scan.pop("affine_parts", None)
    if affine != np.eye(2).tolist():
        scan["affine"] = affine
    return result


def calibrated_config(content: Mapping[str, Any], found: Calibration, title: str) -> str:
    """A commented config with every field, from what a data file says and what was found."""
    return write_template(ReconConfig, _extended(content, found), title)


def extended_config(
    content: Mapping[str, Any], found: Calibration, title: str, folder: Path, target: Path
) -> str:
    """The user's config with what was found, its other fields as they were.

    Parameters
    ----------
    folder : where the user's config lies.
    target : where the new one will: in another folder, relative paths become absolute.
    """
    result = _extended(content, found)
    if target.resolve().parent != folder.resolve():
        _make_absolute(result, folder)
    lines = "".join(f"# {line}\n" for line in title.splitlines())
    return lines + yaml.safe_dump(result, sort_keys=False, default_flow_style=None)


def _make_absolute(section: Any, folder: Path) -> None:
    """Every path of a config, in place; variables and the home folder stay as they are written."""
    if isinstance(section, list):
        for item in section:
            _make_absolute(item, folder)
    elif isinstance(section, dict):
        for name, value in section.items():
            if isinstance(value, dict | list):
                _make_absolute(value, folder)
            elif (
                name in ("path", "file", "truth")
                and isinstance(value, str)
                and not value.startswith(("$", "~"))
            ):
                section[name] = os.path.abspath(folder / value)


def _rounded(value: float, error: float) -> float:
    """To a tenth of its standard deviation, and at least five digits of it."""
    digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-6)))))
    return float(f"{value:.{digits}f}")


def _close(given: float | None, found: float) -> bool:
    return given is not None and abs(found / given - 1) < 1e-6
