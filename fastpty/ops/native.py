"""The native core, where it is installed, and how torch tensors are handed to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal, TypeVar

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
    "runs_on",
]

_log = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _constant(function: _Function) -> _Function:
    """torch.compile calls the function once and keeps the result: it cannot look into the core."""
    marked: _Function = torch.compiler.assume_constant_result(function)
    return marked


def core() -> ModuleType | None:
    """The native core, where it is installed."""
    return _core if AVAILABLE else None


def has_cuda() -> bool:
    """Whether the core was built with CUDA kernels."""
    return AVAILABLE and hasattr(_core, "CudaMultislice")


@_constant
def runs_on(device: torch.device) -> bool:
    """Whether the core's kernels run on a CUDA device; where they do not, a warning says why, once.

    torch may know a GPU that the core does not: one that is older than all that the core was
    compiled for, or one whose driver is older than the core's own CUDA runtime.
    """
    return has_cuda() and _why_not(_number(device)) is None


@_constant
def cuda_kernel(window: tuple[int, int], device: torch.device) -> str:
    """The family of CUDA kernels that serves a window [Ny, Nx] on a device, or "none"."""
    return _family(window, _number(device)) if runs_on(device) else "none"


def _number(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


@lru_cache(maxsize=256)
def _family(window: tuple[int, int], number: int) -> str:
    found = _core.cuda_devices()[number]
    return _core.cuda_kernel(
        window=window, capability=found["capability"], shared_bytes=found["shared_bytes"]
    )


@lru_cache(maxsize=256)
def _why_not(number: int) -> str | None:
    build, found = _core.build_info()["cuda"], _core.cuda_devices()
    if build is None:
        return "the native core was built without CUDA"
    if number >= len(found):
        reason = (
            f"the native core does not find GPU {number}, as where the driver is older than "
            f"CUDA {build['nvcc']}, with which it was built"
        )
    elif not _has_code(found[number]["capability"], build["archs"]):
        reason = (
            f"{found[number]['name']} is an sm_{found[number]['capability']}, and the native core "
            f"was built for {', '.join(build['archs'])}"
        )
    else:
        return None
    _log.warning("The native kernels do not run on cuda:%d (%s): torch is used.", number, reason)
    return reason


def _has_code(capability: int, archs: Sequence[str]) -> bool:
    """Machine code runs on GPUs of the same generation that are not older, PTX on all such."""
    for arch in archs:
        kind, _, number = arch.partition("_")
        same = kind == "compute" or int(number) // 10 == capability // 10
        if same and int(number) <= capability:
            return True
    return False


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
