"""A smallest PtyRAD file, and the short way to change it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from fastpty.config import ReconConfig
from fastpty.ptyrad import Converted, convert

__all__ = ["MINIMAL", "changed", "converted", "native"]

MINIMAL: dict[str, Any] = {
    "init_params": {
        "probe_kv": 300,
        "probe_conv_angle": 14,
        "meas_Npix": 24,
        "pos_N_scan_slow": 5,
        "pos_N_scan_fast": 6,
        "pos_scan_step_size": 1.0,
        "obj_Nlayer": 2,
        "obj_slice_thickness": 20.0,
        "meas_params": {"path": "scan.h5"},
    }
}

_SECTIONS = {
    "init": "init_params",
    "hypertune": "hypertune_params",
    "model": "model_params",
    "loss": "loss_params",
    "constraint": "constraint_params",
    "recon": "recon_params",
}


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    """The smallest file with other fields of ``init``, ``model``, ``loss``, ...."""
    content = copy.deepcopy(MINIMAL)
    for name, fields in sections.items():
        content.setdefault(_SECTIONS[name], {}).update(fields)
    return content


def converted(path: Path = Path("params.yaml"), **sections: dict[str, Any]) -> Converted:
    """What it becomes."""
    return convert(changed(**sections), path)


def native(**sections: dict[str, Any]) -> ReconConfig:
    """The checked config that it becomes."""
    return converted(**sections).config()
