"""A first configuration for a data file, from what the file itself says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from fastpty.config.base import Section
from fastpty.config.data import DataConfig
from fastpty.config.load import apply_overrides, validate_config
from fastpty.config.recon import ReconConfig
from fastpty.config.template import MISSING, write_template
from fastpty.io import RawScan

__all__ = ["complete_values", "data_section", "initial_config", "initial_values"]

# Thinner slices than this are hardly told apart at usual apertures.
_SLICE_A = 10.0
# A source of finite size makes the illumination partially coherent in every microscope.
_PROBE_MODES = 4
# Adam moves an unknown by about its learning rate per update: a small scan in large batches would
# hardly leave its start. So many updates an iteration, within bounds on the batch.
_UPDATES, _SMALLEST_BATCH, _LARGEST_BATCH = 64, 8, 32

# Attributes that may hold a pair (y, x).
_PAIRS = ("pixel_size_A", "scan_step_A")


class _DataOnly(Section):
    data: DataConfig = Field(description="the recorded patterns")


def data_section(path: Path, options: Mapping[str, Any], overrides: Sequence[str]) -> DataConfig:
    """The ``data`` section for a file that has no config yet.

    Parameters
    ----------
    options : fields of the section; None is left out.
    overrides : texts such as ``data.dtype=uint16``.

    Raises
    ------
    ConfigError : a field that is none of the section's, or a wrong value.
    """
    given = {name: value for name, value in options.items() if value is not None}
    content = {"data": {"path": str(path), **given}}
    return validate_config(_DataOnly, apply_overrides(content, overrides)).data


def initial_values(path: Path, scan: RawScan, section: DataConfig) -> dict[str, Any]:
    """What a config for ``path`` must say: known values, and ``MISSING`` for the others.

    Parameters
    ----------
    section : with which the scan was opened; what the user gave there is kept.
    """
    known = _numbers(scan.metadata)
    given = section.model_dump(mode="json", exclude_unset=True)
    data: dict[str, Any] = {**given, "path": str(path)}
    if scan.dataset is not None:
        data["dataset"] = scan.dataset
    if scan.scan_shape is None:
        data["scan_shape"] = MISSING
    if scan.metadata.get("format") == "empad":
        data.setdefault("negative", "clip")  # it subtracts its dark level
    values: dict[str, Any] = {
        "data": data,
        "beam": {
            "energy_kv": known.get("energy_kv", MISSING),
            "semiangle_mrad": known.get("semiangle_mrad", MISSING),
            "aberrations": {"defocus": known.get("defocus_A", 0.0)},
        },
        "calibration": _calibration(known),
        "scan": {
            "step": known.get("scan_step_A", MISSING),
            "rotation_deg": known.get("scan_rotation_deg", 0.0),
        },
    }
    return values


def _calibration(known: dict[str, Any]) -> dict[str, Any]:
    for field, name in (
        ("pixel_size", "pixel_size_A"),
        ("dk", "dk_invA"),
        ("mrad_per_pixel", "mrad_per_pixel"),
    ):
        if name in known:
            return {field: known[name]}
    return {"disc_radius_px": "fit"}


def complete_values(path: Path, scan: RawScan, section: DataConfig) -> dict[str, Any]:
    """:func:`initial_values`, and what else a first reconstruction of these data should have."""
    known = _numbers(scan.metadata)
    values = initial_values(path, scan, section)
    values["probe"] = {"modes": _PROBE_MODES}
    batch = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, scan.shape[0] // _UPDATES))
    values["optimise"] = {"batch_size": batch}
    if "thickness_A" in known:
        slices = max(1, round(known["thickness_A"] / _SLICE_A))
        values["object"] = {"slices": slices, "thickness": known["thickness_A"] / slices}
    if scan.metadata.get("format") == "fastpty-4dstem":
        values["truth"] = str(path)
    return values


def initial_config(path: Path, scan: RawScan, section: DataConfig) -> str:
    """The text of a config for ``path``: known values filled in, the others marked FILL IN.

    Parameters
    ----------
    section : with which the scan was opened.
    """
    count, ny, nx = scan.shape
    raster = scan.scan_shape
    layout = f"{raster[0]} x {raster[1]} scan" if raster else f"{count} patterns"
    title = (
        f"fastpty reconstruction of {path.name}: {layout} of {ny} x {nx} px\n"
        "Lengths in Angstrom unless said otherwise. Check: fastpty validate <this file>"
    )
    return write_template(ReconConfig, complete_values(path, scan, section), title)


def _numbers(metadata: dict[str, Any]) -> dict[str, Any]:
    """What can be trusted of a file's attributes: another program may give them other meanings."""
    return {
        key: value
        for key, value in metadata.items()
        if _is_number(value)
        or (
            key in _PAIRS and isinstance(value, list) and list(map(_is_number, value)) == [True] * 2
        )
    }


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
