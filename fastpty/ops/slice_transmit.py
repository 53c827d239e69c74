"""psi'[j,m,n] = psi[j,m(,n)] O[n, window of j]: transmission through one slice.

Gradients, with G' that of the output and in torch's sense, dL/dRe + i dL/dIm::

    grad_psi[j,m(,n)]        = G'[j,m,n] conj(O[n, window of j])    summed over n where psi has none
    grad_O[n, window of j]  += sum_m G'[j,m,n] conj(psi[j,m(,n)])   windows overlap

The kernel reads the object through its window, so patches never exist in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import torch

from fastpty import reference
from fastpty.ops import native, single_cuda
from fastpty.ops.backend import has_kernel
from fastpty.ops.checks import (
    check_complex,
    check_device,
    check_dtype,
    check_shape,
    check_windows_inside,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["slice_transmit"]


def slice_transmit(
    wave: torch.Tensor, obj_slice: torch.Tensor, corner: torch.Tensor
) -> torch.Tensor:
    """Multiply every wave by the object in its window.

    Runs a native kernel on CPU tensors and, in single precision, on CUDA, and
    :func:`fastpty.reference.slice_transmit` elsewhere.
    Differentiable once in ``wave`` and ``obj_slice``; a gradient that nothing asks for is not
    computed. The gradient of the object is the same to the last bit for every number of threads;
    on CUDA in every run after ``torch.use_deterministic_algorithms(True)``.

    Parameters
    ----------
    wave : [B, M, Ny, Nx] or [B, M, No, Ny, Nx] complex64 or complex128.
    obj_slice : [No, Y, X] of the same dtype: the complex transmission of one slice. A slice
        ``obj[:, z]`` of a whole object is used where it lies, without a copy.
    corner : [B, 2] int64 pixels, the window's top-left pixel (y, x); the window lies inside the
        object.

    Returns
    -------
    wave : [B, M, No, Ny, Nx].
    """
    on_cuda = single_cuda.serves(wave, transforms=False)
    if has_kernel("slice_transmit", wave.device) and (on_cuda or not wave.is_cuda):
        out: torch.Tensor = _slice_transmit(wave, obj_slice, corner)
        return out
    axes = _check(wave, obj_slice, corner)
    if corner.device.type == "cpu":  # elsewhere it would make every call wait for the device
        check_windows_inside(corner, (axes["Ny"], axes["Nx"]), (axes["Y"], axes["X"]))
    return reference.slice_transmit(wave, obj_slice, corner)


def _check(wave: torch.Tensor, obj_slice: torch.Tensor, corner: torch.Tensor) -> dict[str, int]:
    """Refuse what cannot be transmitted; return the size of every axis."""
    check_complex(wave=wave, obj_slice=obj_slice)
    check_dtype("corner", corner, torch.int64)
    check_device(wave=wave, obj_slice=obj_slice, corner=corner)
    axes: dict[str, int] = {}
    check_shape("obj_slice", obj_slice, "No Y X", axes)
    if axes["No"] == 0:
        raise ValueError(f"obj_slice: must have an object mode, found {list(obj_slice.shape)}")
    check_shape("wave", wave, "B M No Ny Nx" if wave.ndim == 5 else "B M Ny Nx", axes)
    check_shape("corner", corner, "B 2", axes)
    return axes


class _Shape(TypedDict):
    """The arguments that both kernels take in the same form."""

    positions: int
    wave_modes: int
    object_modes: int
    window: tuple[int, int]


def _shape(out: torch.Tensor) -> _Shape:
    positions, wave_modes, object_modes, ny, nx = out.shape
    return {
        "positions": positions,
        "wave_modes": wave_modes,
        "object_modes": object_modes,
        "window": (ny, nx),
    }


def _rows_adjacent(obj_slice: torch.Tensor) -> torch.Tensor:
    """The object as the kernel can read it: planes and rows may lie anywhere, pixels not."""
    obj_slice = obj_slice.resolve_conj().resolve_neg()
    return obj_slice if obj_slice.stride(2) == 1 else obj_slice.contiguous()


def _allocate(wave: torch.Tensor, obj_slice: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """The output, not yet computed: all that shape inference needs."""
    axes = _check(wave, obj_slice, corner)
    return wave.new_empty([axes[letter] for letter in ("B", "M", "No", "Ny", "Nx")])


@torch.library.custom_op(
    "fastpty::slice_transmit",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema="(Tensor wave, Tensor obj_slice, Tensor corner) -> Tensor",
)
def _slice_transmit(
    wave: torch.Tensor, obj_slice: torch.Tensor, corner: torch.Tensor
) -> torch.Tensor:
    out = _allocate(wave, obj_slice, corner)
    wave, obj_slice, corner = native.plain(wave), _rows_adjacent(obj_slice), native.plain(corner)
    if single_cuda.serves(wave, transforms=False):
        single_cuda.slice_transmit(wave, obj_slice, corner, out)
        return out
    from fastpty import _core

    native.follow_torch_threads()
    _core.slice_transmit_forward(
        **_shape(out),
        dtype=native.dtype_name(wave),
        extent=(obj_slice.shape[1], obj_slice.shape[2]),
        object_strides=(obj_slice.stride(0), obj_slice.stride(1)),
        wave_has_object_axis=wave.ndim == 5,
        wave=wave.data_ptr(),
        object=obj_slice.data_ptr(),
        corner=corner.data_ptr(),
        out=out.data_ptr(),
    )
    return out


def _allocate_gradients(
    grad_out: torch.Tensor,
    wave: torch.Tensor | None,
    obj_slice: torch.Tensor | None,
    corner: torch.Tensor,
    extent: Sequence[int],
    wave_has_object_axis: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients, not yet computed; an empty tensor stands for one that is not wanted.

    Each gradient needs the other factor only, so a factor that is given is a gradient that is
    wanted: obj_slice for grad_wave, wave for grad_obj.
    """
    axes: dict[str, int] = {}
    check_shape("grad_out", grad_out, "B M No Ny Nx", axes)
    check_shape("corner", corner, "B 2", axes)
    wave_letters = ["B", "M", *(["No"] if wave_has_object_axis else []), "Ny", "Nx"]
    if wave is not None:
        check_shape("wave", wave, " ".join(wave_letters), axes)
    grad_wave_shape = [axes[letter] for letter in wave_letters] if obj_slice is not None else [0]
    grad_obj_shape = [axes["No"], *extent] if wave is not None else [0]
    return grad_out.new_empty(grad_wave_shape), grad_out.new_empty(grad_obj_shape)


@torch.library.custom_op(
    "fastpty::slice_transmit_backward",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema="(Tensor grad_out, Tensor? wave, Tensor? obj_slice, Tensor corner, SymInt[] extent, "
    "bool wave_has_object_axis) -> (Tensor, Tensor)",
)
def _slice_transmit_backward(
    grad_out: torch.Tensor,
    wave: torch.Tensor | None,
    obj_slice: torch.Tensor | None,
    corner: torch.Tensor,
    extent: Sequence[int],
    wave_has_object_axis: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    grad_wave, grad_obj = _allocate_gradients(
        grad_out, wave, obj_slice, corner, extent, wave_has_object_axis
    )
    grad_out, corner = native.plain(grad_out), native.plain(corner)
    wave = wave if wave is None else native.plain(wave)
    obj_slice = obj_slice if obj_slice is None else _rows_adjacent(obj_slice)
    if single_cuda.serves(grad_out, transforms=False):
        single_cuda.slice_transmit_backward(
            *(grad_out, wave, obj_slice, corner, extent, wave_has_object_axis, grad_wave, grad_obj)
        )
        return grad_wave, grad_obj
    from fastpty import _core

    native.follow_torch_threads()
    _core.slice_transmit_backward(
        **_shape(grad_out),
        dtype=native.dtype_name(grad_out),
        extent=(extent[0], extent[1]),
        object_strides=(0, 0) if obj_slice is None else (obj_slice.stride(0), obj_slice.stride(1)),
        wave_has_object_axis=wave_has_object_axis,
        wave=0 if wave is None else wave.data_ptr(),
        object=0 if obj_slice is None else obj_slice.data_ptr(),
        corner=corner.data_ptr(),
        grad_out=grad_out.data_ptr(),
        grad_wave=0 if obj_slice is None else grad_wave.data_ptr(),
        grad_object=0 if wave is None else grad_obj.data_ptr(),
    )
    return grad_wave, grad_obj


def _setup_context(
    ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], output: torch.Tensor
) -> None:
    wave, obj_slice, corner = inputs
    wave_wanted, obj_wanted = ctx.needs_input_grad[:2]
    ctx.save_for_backward(wave if obj_wanted else None, obj_slice if wave_wanted else None, corner)
    ctx.extent = obj_slice.shape[1:]
    ctx.wave_has_object_axis = wave.ndim == 5


def _backward(
    ctx: Any, grad_out: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
    wave, obj_slice, corner = ctx.saved_tensors
    grad_wave, grad_obj = _slice_transmit_backward(
        grad_out, wave, obj_slice, corner, ctx.extent, ctx.wave_has_object_axis
    )
    return (
        None if obj_slice is None else grad_wave,
        None if wave is None else grad_obj,
        None,
    )


_slice_transmit.register_fake(_allocate)
_slice_transmit_backward.register_fake(_allocate_gradients)
_slice_transmit.register_autograd(_backward, setup_context=_setup_context)
