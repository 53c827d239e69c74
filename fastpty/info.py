"""What this installation is: versions, build, devices, threads."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch

import fastpty

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["installation", "why_no_cuda"]

# Kinds of GPU: capability, and the shared memory that one block can have.
GPUS = {
    "A100": (80, 166_912),
    "RTX 30": (86, 101_376),
    "RTX 40": (89, 101_376),
    "H100, H200": (90, 232_448),
    "B200": (100, 232_448),
    "RTX 50": (120, 101_376),
}
WINDOWS = (64, 128, 192, 256, 512)


def installation() -> dict[str, Any]:
    """Plain data, ready for JSON."""
    core = _core()
    return {
        "fastpty": fastpty.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in ("torch", "numpy", "h5py", "matplotlib")},
        "native core": core and {"build": core.build_info(), "cpu features": core.cpu_features()},
        "cuda": _cuda(core),
        "threads": torch.get_num_threads(),
    }


def why_no_cuda() -> str | None:
    """Why torch cannot compute on CUDA here, as the end of a sentence; None where it can."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()
    except RuntimeError as error:  # no driver, an old one, no GPU: torch says which
        return f"torch finds no CUDA device: {str(error).splitlines()[0].rstrip('.')}"
    return "torch finds no CUDA device"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _core() -> ModuleType | None:
    try:
        from fastpty import _core
    except ImportError:
        return None
    return _core


def _cuda(core: ModuleType | None) -> dict[str, Any]:
    """The GPUs, what torch and fastpty can do with them, and by which kernels."""
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found: dict[str, Any] = {
        "devices": names,
        "torch": why_no_cuda() or f"built for CUDA {torch.version.cuda}",
        "fastpty": "the native core is not built",
    }
    if core is None:
        return found
    found["fastpty"] = core.build_info()["cuda_note"]
    if core.build_info()["cuda"] is None:
        return found
    found["kernels of multislice_intensity"] = {
        f"{name} (sm_{capability})": [
            f"{size} x {size} {_kernel(core, size, capability, shared_bytes)}" for size in WINDOWS
        ]
        for name, capability, shared_bytes in _gpus(core)
    }
    return found


def _gpus(core: ModuleType) -> list[tuple[str, int, int]]:
    """Those of this machine; where there is none, the kinds that there are."""
    here = [
        (device["name"], device["capability"], device["shared_bytes"])
        for device in core.cuda_devices()
    ]
    return here or [(name, *properties) for name, properties in GPUS.items()]


def _kernel(core: ModuleType, size: int, capability: int, shared_bytes: int) -> str:
    family = core.cuda_kernel(window=(size, size), capability=capability, shared_bytes=shared_bytes)
    return "torch" if family == "none" else str(family)
