"""What a kernel on a device is told beside its arrays: which device, a stream, scratch memory.

Memory is torch's and streams are torch's, so calls fall in with everything else that torch does.
"""

from __future__ import annotations

import contextlib

import torch

__all__ = ["current", "number_and_stream", "scratch_memory"]


def current(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Makes the device current within a ``with`` block."""
    on_cuda = device.type == "cuda"
    return torch.cuda.device(device) if on_cuda else contextlib.nullcontext()


def number_and_stream(device: torch.device) -> dict[str, int]:
    """Arguments of every kernel call, for the stream that is current now."""
    if device.type != "cuda":
        return {"device": 0, "stream": 0}
    number = torch.cuda.current_device() if device.index is None else device.index
    return {"device": number, "stream": torch.cuda.current_stream(device).cuda_stream}


def scratch_memory(size: int, device: torch.device) -> torch.Tensor:
    """[size] bytes, not initialised."""
    return torch.empty(size, dtype=torch.uint8, device=device)
