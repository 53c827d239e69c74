"""Adam on the tiles of the object that a batch touches; the others wait, and catch up at once.

The equations are in :mod:`fastpty.reference.adam_step`, which defines :class:`AdamTiles` too. In
each step: :func:`adam_catch_up` before the forward, once for each batch whose gradient goes into
the step; then :func:`adam_step`. :func:`adam_settle` before anything else looks at the values or
the moments. Nothing waits for the device, so a CUDA graph may hold the first two.
"""

from __future__ import annotations

from typing import Any

import torch

from fastpty import reference
from fastpty.ops import device, native
from fastpty.ops.backend import has_kernel
from fastpty.ops.checks import check_device, check_dtype, check_shape
from fastpty.reference.adam_step import TILE, AdamTiles

__all__ = ["TILE", "AdamTiles", "adam_catch_up", "adam_settle", "adam_step", "runs_native"]

# The core, or a module with the same functions that emulates the device, and where its tensors are.
_core: Any = native.core()
_device_type = "cuda"


def runs_native(value: torch.Tensor) -> bool:
    """Whether kernels do the steps of this volume: in single precision, on the CPU where the
    native core is installed, on CUDA where it was built with CUDA."""
    return value.dtype == torch.float32 and has_kernel("adam_step", value.device)


def adam_catch_up(
    tiles: AdamTiles,
    corner: torch.Tensor,
    window: tuple[int, int],
    reach: tuple[int, int] = (0, 0),
) -> None:
    """Bring the values of all tiles that a batch touches up to date: before its forward.

    Parameters
    ----------
    tiles : contiguous where a kernel serves them.
    corner : [B, 2] int64, the windows' top-left pixels.
    window : (Ny, Nx) px.
    reach : px beyond the windows that the batch reads, and that its gradient reaches.
    """
    check_dtype("corner", corner, torch.int64)
    check_shape("corner", corner, "B 2", {})
    check_device(value=tiles.value, corner=corner)
    if not runs_native(tiles.value):
        reference.adam_catch_up(tiles, corner, window, reach)
        return
    corner = native.plain(corner)
    windows = {"positions": len(corner), "window": window, "reach": reach}
    _run("adam_catch_up", tiles, **windows, corner=corner.data_ptr())


def adam_step(
    tiles: AdamTiles,
    gradient: torch.Tensor,
    rate: float | torch.Tensor,
    step: torch.Tensor,
) -> None:
    """A step of the tiles that were caught up with since the last one.

    Parameters
    ----------
    gradient : the shape of the value, zero in all other tiles.
    rate : learning rate; on CUDA a float32 tensor there.
    step : float32, on the value's device: the number of the step, from 1.
    """
    check_device(value=tiles.value, gradient=gradient, step=step)
    check_dtype("gradient", gradient, tiles.value.dtype)
    if gradient.shape != tiles.value.shape:
        raise ValueError(
            f"gradient: must have the value's shape {list(tiles.value.shape)}, found "
            f"{list(gradient.shape)}"
        )
    if not runs_native(tiles.value):
        reference.adam_step(tiles, gradient, rate, step)
        return
    gradient = native.plain(gradient)
    arguments: dict[str, Any] = {"gradient": gradient.data_ptr()}
    if _on_device(tiles):
        rate = torch.as_tensor(rate, dtype=torch.float32, device=tiles.value.device)
        arguments |= {"rate": rate.data_ptr(), "step": step.data_ptr()}
    else:
        arguments |= {"rate": float(rate), "step": float(step)}
    _run("adam_step", tiles, **arguments)


def adam_settle(tiles: AdamTiles) -> None:
    """Bring values and moments of all tiles up to date, as if every step had been taken."""
    if runs_native(tiles.value):
        _run("adam_settle", tiles)
    else:
        reference.adam_settle(tiles)


def _on_device(tiles: AdamTiles) -> bool:
    return tiles.value.device.type == _device_type


def _run(kernel: str, tiles: AdamTiles, **arguments: Any) -> None:
    """Call a kernel on the tiles' memory, which must be as the kernels read it."""
    arrays = {"value": tiles.value, "first": tiles.first, "second": tiles.second}
    for name, array in arrays.items():
        if not array.is_contiguous():
            raise ValueError(f"{name}: must be contiguous, found strides {array.stride()}")
    arrays |= {"arrears": tiles.arrears, "state": tiles.state}
    y, x = tiles.value.shape[-2:]
    common = {
        "planes": tiles.value.numel() // max(y * x, 1),
        "extent": (y, x),
        **{name: array.data_ptr() for name, array in arrays.items()},
        "beta1": tiles.betas[0],
        "beta2": tiles.betas[1],
        "eps": tiles.eps,
    }
    if _on_device(tiles):
        where = tiles.value.device
        with device.current(where):
            more = device.number_and_stream(where)
            getattr(_core, f"cuda_{kernel}")(**common, **arguments, **more)
    else:
        native.follow_torch_threads()
        getattr(_core, kernel)(**common, **arguments)
    # torch does not see what a kernel writes.
    for changed in (tiles.value, tiles.first, tiles.second):
        torch.autograd.graph.increment_version(changed)
