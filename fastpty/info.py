"""What this installation is: versions, build, devices, threads."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

import fastpty

__all__ = ["installation"]


def installation() -> dict[str, Any]:
    """Plain data, ready for JSON."""
    return {
        "fastpty": fastpty.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in ("torch", "numpy", "h5py", "matplotlib")},
        "native core": _core(),
        "cuda devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _core() -> dict[str, Any] | None:
    try:
        from fastpty import _core
    except ImportError:
        return None
    return {"build": _core.build_info(), "cpu features": _core.cpu_features()}
