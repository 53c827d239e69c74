"""What a data file holds: format, shape, scales, a sample of its patterns, lines for a config."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config.data import DataConfig
from fastpty.config.init import initial_values
from fastpty.config.template import MISSING, inline
from fastpty.io import READERS, RawScan, open_scan

__all__ = ["config_lines", "describe"]

# Enough to see what the values are; each may cost a chunk of the file.
_SAMPLE = 16
_CALIBRATION = (
    "energy_kv",
    "semiangle_mrad",
    "camera_length_mm",
    "dk_invA",
    "mrad_per_pixel",
    "pixel_size_A",
    "scan_step_A",
    "scan_rotation_deg",
    "defocus_A",
)
_LONGEST = 80


def describe(path: Path, section: DataConfig) -> dict[str, Any]:
    """Plain data, ready for JSON; the patterns are not read but for a sample.

    Parameters
    ----------
    section : the config's ``data``, for what the file does not say of itself.

    Raises
    ------
    DataError : the file cannot be opened.
    """
    with open_scan(path, **section.reading) as scan:
        sample = _sample(scan)
        values = initial_values(path, scan, section)
        if sample["negative"]:
            values["data"].setdefault("negative", "clip")
        count, ny, nx = scan.shape
        return {
            "file": str(path),
            "format": f"{scan.format} ({READERS[scan.format].title})",
            "size": _size(path),
            "dataset": scan.dataset,
            "patterns": count,
            "pattern shape": [ny, nx],
            "dtype": str(scan.dtype),
            "scan shape": None if scan.scan_shape is None else list(scan.scan_shape),
            "bytes of all patterns": math.prod(scan.shape) * scan.dtype.itemsize,
            "bad pixels": 0 if scan.mask is None else int((~scan.mask).sum()),
            "calibration": {k: scan.metadata[k] for k in _CALIBRATION if k in scan.metadata},
            "other": {
                str(k): v
                for k, v in scan.metadata.items()
                if k not in _CALIBRATION and _is_short(v)
            },
            "sample": sample,
            "config": _without_missing(values),
        }


def config_lines(values: dict[str, dict[str, Any]]) -> list[str]:
    """The sections of a config as YAML; what only the user knows is marked."""
    lines = ["config"]
    for section, fields in values.items():
        lines.append(f"  {section}:")
        for name, value in fields.items():
            shown = "   # FILL IN" if value is None else f" {inline(value)}"
            lines.append(f"    {name}:{shown}")
    return lines


def _without_missing(values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        section: {name: None if value is MISSING else value for name, value in fields.items()}
        for section, fields in values.items()
    }


def _sample(scan: RawScan) -> dict[str, Any]:
    """Of patterns spread over the scan: values of good pixels."""
    count = min(_SAMPLE, scan.shape[0])
    numbers = np.unique(np.linspace(0, scan.shape[0] - 1, count).astype(int))
    patterns = np.concatenate([scan.read(int(i), int(i) + 1) for i in numbers])
    good = np.ones(scan.shape[1:], bool) if scan.mask is None else scan.mask
    values = patterns[:, good]
    finite = values[np.isfinite(values)].astype(np.float64)
    sums = np.nansum(values, axis=1, dtype=np.float64)
    return {
        "patterns": len(numbers),
        "minimum": _number(finite.min(initial=math.inf)),
        "maximum": _number(finite.max(initial=-math.inf)),
        "mean": _number(finite.mean()) if finite.size else None,
        "mean sum of a pattern": _number(sums.mean()),
        "zeros": _number((values == 0).mean()),
        "negative": int((finite < 0).sum()),
        "not finite": int(values.size - finite.size),
        "at the type's maximum": _saturated(values),
        "centre of mass": _centre(patterns, good),
    }


def _saturated(values: NDArray[Any]) -> int:
    if values.dtype.kind not in "ui":
        return 0
    return int((values == np.iinfo(values.dtype).max).sum())


def _centre(patterns: NDArray[Any], good: NDArray[np.bool_]) -> list[float] | None:
    """(y, x) in pixels of the sample's sum; N//2 is the centre of a window."""
    total = np.where(good, np.nansum(patterns, axis=0, dtype=np.float64), 0.0).clip(0)
    weight = float(total.sum())
    if not 0 < weight < math.inf:
        return None
    return [
        round(float((total.sum(axis=1 - axis) * np.arange(total.shape[axis])).sum()) / weight, 2)
        for axis in (0, 1)
    ]


def _number(value: Any) -> float | None:
    """Six digits, and no infinity, which JSON does not have."""
    return float(f"{float(value):.6g}") if math.isfinite(value) else None


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
    return path.stat().st_size


def _is_short(value: Any) -> bool:
    """Not the whole of a config or a table."""
    return isinstance(value, str | int | float | bool) and len(str(value)) <= _LONGEST
