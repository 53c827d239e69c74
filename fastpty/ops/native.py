"""The native core, where it is installed, and how torch tensors are handed to it."""

from __future__ import annotations

import logging
from functools import lru_cache
from types import ModuleType
from typing import Literal

import torch

try:
    from fastpty import _core
except ImportError as error:
    AVAILABLE = False
    logging.getLogger(__name__).warning(
        "The native core is not available (%s): the slower pure-torch reference is used.", error
    )
else:
    AVAILABLE = True

__all__ = [
    "AVAILABLE",
    "core",
    "cuda_kernel",
    "dtype_name",
    "fft_lengths",
    "follow_torch_threads",
    "has_cuda",
    "plain",
]


def core() -> ModuleType | None:
    """The native core, where it is installed."""
    return _core if AVAILABLE else None


def has_cuda() -> bool:
    """Whether the core was built with CUDA kernels."""
    return AVAILABLE and hasattr(_core, "CudaMultislice")


@lru_cache(maxsize=256)
def cuda_kernel(window: tuple[int, int], device: torch.device) -> str:
    """The family of CUDA kernels that serves a window [Ny, Nx] on a device, or "none"."""
    if not has_cuda():
        return "none"
    index = torch.cuda.current_device() if device.index is None else device.index
    found = _core.cuda_devices()[index]
    return _core.cuda_kernel(
        window=window, capability=found["capability"], shared_bytes=found["shared_bytes"]
    )


def follow_torch_threads() -> None:
    """Let the kernels use as many threads as torch does: one setting for both."""
    _core.set_num_threads(torch.get_num_threads())


def dtype_name(tensor: torch.Tensor) -> Literal["complex64", "complex128"]:
    """The name that the core uses for a complex dtype."""
    return "complex64" if tensor.dtype == torch.complex64 else "complex128"


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The same values as they stand in memory: contiguous, no lazy conjugation or negation."""
    return tensor.resolve_conj().resolve_neg().contiguous()


def fft_lengths() -> frozenset[int]:
    """The window lengths that the fused kernels transform; none without the core."""
    if not AVAILABLE:
        return frozenset()
    longest = 512
    return frozenset(length for length in range(2, longest + 1) if _core.has_fft(length))
