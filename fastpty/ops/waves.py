"""The memory in which the fused kernels keep their waves from a forward to its backward."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = [
    "Waves",
    "free_idle_waves",
    "kernel_memory",
    "limited_waves",
    "set_wave_budget",
    "wave_budget",
]

_DEFAULT_BUDGET = 2 << 30

# Of a GPU's memory: data, object and optimiser want the rest.
_CUDA_SHARE = 1 / 3


def kernel_memory(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Memory for the kernel, whatever torch's default dtype and device are."""
    return torch.empty(shape, dtype=dtype, device="cpu")


class Waves:
    """Memory for the waves between forward and backward, one block kept for the next call.

    Fresh memory costs as much time as writing the waves into it: the system clears it page by page.
    """

    budget = _DEFAULT_BUDGET
    chosen = False  # by set_wave_budget
    limit: int | None = None  # within limited_waves
    idle: ClassVar[list[NDArray[np.float32]]] = []

    @classmethod
    def take(cls, floats: int) -> torch.Tensor:
        """[floats] float32, not initialised, which comes back by itself when it is freed."""
        if floats == 0:
            return kernel_memory(0)
        try:
            block = cls.idle.pop()
        except IndexError:
            block = None
        if block is None or not floats <= len(block) <= 2 * floats:
            block = kernel_memory(floats).numpy()  # aligned, unlike numpy's own
        lease = block[:floats]
        # Not at the end of the process, when whoever holds the lease may still use it.
        weakref.finalize(lease, cls._give_back, block).atexit = False
        return torch.from_numpy(lease)

    @classmethod
    def _give_back(cls, block: NDArray[np.float32]) -> None:
        if not cls.idle and block.nbytes <= cls.budget:
            cls.idle.append(block)


def wave_budget(device: torch.device) -> int:
    """Bytes that one call may keep from its forward to its backward on this device."""
    if Waves.limit is not None:
        return Waves.limit
    if device.type == "cuda" and not Waves.chosen:
        return int(_CUDA_SHARE * torch.cuda.get_device_properties(device).total_memory)
    return Waves.budget


@contextlib.contextmanager
def limited_waves(limit: int | None) -> Iterator[None]:
    """Another budget for the forwards within a ``with`` block; None leaves it as it is."""
    before = Waves.limit
    Waves.limit = before if limit is None else limit
    try:
        yield
    finally:
        Waves.limit = before


def free_idle_waves() -> None:
    """Give back the block of memory that is kept for the next call."""
    Waves.idle.clear()


def set_wave_budget(budget: int | None) -> None:
    """Limit the memory that the fused kernel keeps from a forward to its backward.

    Waves that do not fit are computed a second time in the backward: slower by about a third,
    never different in the result. 0 stores nothing. On the CPU one block of memory is kept from
    call to call; calling this function frees it.

    Parameters
    ----------
    budget : bytes for one call of ``multislice_intensity``; None is the default, 2 GiB on the CPU
        and a third of the device's memory on CUDA.

    Raises
    ------
    TypeError : no whole number.
    ValueError : a negative budget.
    """
    if budget is not None and not isinstance(budget, Integral):
        raise TypeError(f"budget: must be a whole number of bytes, found {budget}")
    if budget is not None and budget < 0:
        raise ValueError(f"budget: must be at least 0 bytes, found {budget}")
    Waves.budget = _DEFAULT_BUDGET if budget is None else int(budget)
    Waves.chosen = budget is not None
    Waves.idle.clear()
