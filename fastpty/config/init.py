"""A first configuration for a data file, from what the file itself says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from fastpty.config.recon import ReconConfig
from fastpty.config.template import MISSING, write_template
from fastpty.io import RawScan

__all__ = ["initial_config"]

# Thinner slices than this are hardly told apart at usual apertures.
_SLICE_A = 10.0
# A source of finite size makes the illumination partially coherent in every microscope.
_PROBE_MODES = 4
# Adam moves an unknown by about its learning rate per update: a small scan in large batches would
# hardly leave its start. So many updates an iteration, within bounds on the batch.
_UPDATES, _SMALLEST_BATCH, _LARGEST_BATCH = 64, 8, 32

# Attributes that may hold a pair (y, x).
_PAIRS = ("pixel_size_A", "scan_step_A")


def initial_config(path: Path, scan: RawScan, scan_shape: tuple[int, int] | None = None) -> str:
    """The text of a config for ``path``: known values filled in, the others marked FILL IN.

    Parameters
    ----------
    scan_shape : (slow, fast) that the scan was opened with, because the file does not hold it.
    """
    known = _numbers(scan.metadata)
    count, ny, nx = scan.shape
    raster = scan.scan_shape
    data: dict[str, Any] = {"path": str(path)}
    if scan.dataset is not None:
        data["dataset"] = scan.dataset
    if raster is None:
        data["scan_shape"] = MISSING
    elif scan_shape is not None:
        data["scan_shape"] = list(scan_shape)
    if scan.metadata.get("format") == "empad":
        data["negative"] = "clip"  # it subtracts its dark level
    values: dict[str, Any] = {
        "data": data,
        "beam": {
            "energy_kv": known.get("energy_kv", MISSING),
            "semiangle_mrad": known.get("semiangle_mrad", MISSING),
            "aberrations": {"defocus": known.get("defocus_A", 0.0)},
        },
        "calibration": (
            {"pixel_size": known["pixel_size_A"]}
            if "pixel_size_A" in known
            else {"disc_radius_px": "fit"}
        ),
        "scan": {
            "step": known.get("scan_step_A", MISSING),
            "rotation_deg": known.get("scan_rotation_deg", 0.0),
        },
    }
    values["probe"] = {"modes": _PROBE_MODES}
    batch = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, count // _UPDATES))
    values["optimise"] = {"batch_size": batch}
    if "thickness_A" in known:
        slices = max(1, round(known["thickness_A"] / _SLICE_A))
        values["object"] = {"slices": slices, "thickness": known["thickness_A"] / slices}
    if scan.metadata.get("format") == "fastpty-4dstem":
        values["truth"] = str(path)
    layout = f"{raster[0]} x {raster[1]} scan" if raster else f"{count} patterns"
    title = (
        f"fastpty reconstruction of {path.name}: {layout} of {ny} x {nx} px\n"
        "Lengths in Angstrom unless said otherwise. Check: fastpty validate <this file>"
    )
    return write_template(ReconConfig, values, title)


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
