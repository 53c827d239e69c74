"""Where a result was measured."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import torch

__all__ = ["machine"]


def machine() -> dict[str, Any]:
    """Plain data, ready for JSON."""
    return {
        "date": datetime.datetime.now().astimezone().date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "fastpty": _fastpty(),
        "simd": _simd(),
    }


def _cpu() -> str:
    """The model's name; where it tells little, family and model beside it."""
    found: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found['model']})"
    return name


def _fastpty() -> str | None:
    try:
        import fastpty
    except ImportError:
        return None
    return fastpty.__version__


def _simd() -> str | None:
    try:
        from fastpty import _core
    except ImportError:
        return None
    return _core.simd()
