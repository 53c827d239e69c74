"""The ops for arrays of other libraries: NumPy, cupy, JAX, and whatever speaks DLPack.

Each function has the arguments of its namesake in :mod:`fastpty.ops`, and gives arrays of the
library of its first one, on that one's device. Where the memory's layout allows it nothing is
copied on the way in or out (https://dmlc.github.io/dlpack). :func:`vjp` gives gradients, for
programs with an optimiser of their own.

A cupy array needs a CUDA build of torch; kernels run on the stream that cupy is using.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from numpy.typing import NDArray

from fastpty import ops

__all__ = [
    "fresnel_propagate",
    "mixed_intensity",
    "multislice_intensity",
    "probe_shift",
    "slice_transmit",
    "to_numpy",
    "to_torch",
    "vjp",
]

Op = Callable[..., torch.Tensor]


def to_torch(array: Any) -> torch.Tensor:
    """A tensor on the memory of an array, or, where that is read-only, on a copy of it.

    Raises
    ------
    TypeError : it is no array, or holds what torch has no type for.
    """
    if isinstance(array, torch.Tensor):
        return array
    if isinstance(array, np.ndarray | np.generic):
        array = np.asarray(array)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        elif not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()  # torch knows neither
        return torch.from_numpy(array)
    if not hasattr(array, "__dlpack__"):
        raise TypeError(f"must be an array that speaks DLPack, found {type(array).__name__}")
    tensor: torch.Tensor = torch.utils.dlpack.from_dlpack(array)
    return tensor


def to_numpy(array: Any) -> NDArray[Any]:
    """The values of an array, of whatever library and on whatever device, in the host's memory."""
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    if hasattr(array, "__dlpack__"):
        tensor = to_torch(array).detach().cpu().resolve_conj()
        values: NDArray[Any] = tensor.numpy()
        return values
    return np.asarray(array)


def vjp(op: Op, *arguments: Any, **settings: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """An op's value, and its pullback.

    Parameters
    ----------
    op : one of this module's functions, or of ``fastpty.ops``.
    arguments, settings : of the op.

    Returns
    -------
    value : as ``op`` gives it.
    pullback : a function of the gradient of a real loss in the value. It gives the loss's gradients
        in ``arguments``, in their order: None in place of what has none (integers, numbers, None),
        a pair for a pair. Those of complex arrays are torch's, dL/dRe + i dL/dIm. It may be called
        once, and before any of the arguments is changed in place.

    Raises
    ------
    TypeError, ValueError : as the op.
    """
    like = _first_array(arguments)
    of_tensors: Op = getattr(op, "__wrapped__", op)
    tensors = _mapped(_leaf, arguments)
    with _on_stream_of(like):
        value = of_tensors(*tensors, **_mapped(_tensor_of, settings))

    def pullback(gradient: Any) -> tuple[Any, ...]:
        with _on_stream_of(like):
            value.backward(to_torch(gradient))
        found: tuple[Any, ...] = _mapped(lambda leaf: _gradient(leaf, like), tensors)
        return found

    return _back(value.detach(), like), pullback


def _of_arrays(op: Op) -> Callable[..., Any]:
    """An op of torch's tensors as one of arrays."""

    @functools.wraps(op)
    def call(*arguments: Any, **settings: Any) -> Any:
        like = _first_array(arguments)
        with torch.no_grad(), _on_stream_of(like):
            tensors = _mapped(_tensor_of, arguments)
            value = op(*tensors, **_mapped(_tensor_of, settings))
        return _back(value, like)

    return call


probe_shift = _of_arrays(ops.probe_shift)
slice_transmit = _of_arrays(ops.slice_transmit)
fresnel_propagate = _of_arrays(ops.fresnel_propagate)
mixed_intensity = _of_arrays(ops.mixed_intensity)
multislice_intensity = _of_arrays(ops.multislice_intensity)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "__dlpack__")


def _tensor_of(value: Any) -> Any:
    """Arrays as tensors, everything else as it is."""
    return to_torch(value) if _is_array(value) else value


def _first_array(arguments: tuple[Any, ...]) -> Any:
    first = arguments[0] if arguments else None
    if not _is_array(first):
        raise TypeError(f"the first argument must be an array, found {type(first).__name__}")
    return first


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Of every item; a pair (amplitude, phase) is one argument of two arrays."""
    if isinstance(value, tuple):
        return tuple(_mapped(function, item) for item in value)
    if isinstance(value, Mapping):
        return {key: _mapped(function, item) for key, item in value.items()}
    return function(value)


def _leaf(value: Any) -> Any:
    """Of floating arrays tensors that collect gradients."""
    if not _is_array(value):
        return value
    tensor = to_torch(value).detach()
    return tensor.requires_grad_(tensor.is_floating_point() or tensor.is_complex())


def _gradient(leaf: Any, like: Any) -> Any:
    if not isinstance(leaf, torch.Tensor) or not leaf.requires_grad:
        return None
    gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    return _back(gradient.detach(), like)


def _back(tensor: torch.Tensor, like: Any) -> Any:
    """The tensor as an array of the library that ``like`` is of."""
    if isinstance(like, torch.Tensor):
        return tensor
    if isinstance(like, np.ndarray):
        return tensor.numpy()
    return _library(like).from_dlpack(tensor.contiguous())


def _library(array: Any) -> Any:
    """The module whose ``from_dlpack`` makes such arrays."""
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return importlib.import_module(type(array).__module__.partition(".")[0])


def _on_stream_of(array: Any) -> AbstractContextManager[Any]:
    """Queue torch's kernels behind those that cupy has queued, and before those to come."""
    if type(array).__module__.partition(".")[0] != "cupy":
        return nullcontext()
    cupy = importlib.import_module("cupy")
    with array.device:
        pointer = cupy.cuda.get_current_stream().ptr
    stream: AbstractContextManager[Any] = torch.cuda.stream(
        torch.cuda.ExternalStream(pointer, device=array.device.id)
    )
    return stream
