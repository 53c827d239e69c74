"""Refusals of the ops: each names the argument, the rule, and the value that was found.

Every op states its shapes as it would on paper::

    axes: dict[str, int] = {}
    check_shape("obj_slice", obj_slice, "No Y X", axes)
    check_shape("corner", corner, "B 2", axes)

A letter stands for a size, bound where it first appears in ``axes`` and compared from then on;
a number stands for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch

from fastpty.optics.grid import pixel_pair
from fastpty.optics.propagator import MODELS
from fastpty.optics.wavelength import check_wavelength

__all__ = [
    "check_complex",
    "check_device",
    "check_dtype",
    "check_finite",
    "check_optics",
    "check_real_of",
    "check_shape",
    "check_thickness",
    "check_tilt",
    "check_windows_inside",
]


def check_dtype(name: str, tensor: torch.Tensor, *allowed: torch.dtype) -> None:
    """Refuse a tensor whose dtype is not one of those allowed."""
    if tensor.dtype not in allowed:
        rule = " or ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        found = str(tensor.dtype).removeprefix("torch.")
        raise TypeError(f"{name}: must be {rule}, found {found}")


def check_complex(**tensors: torch.Tensor) -> None:
    """Refuse tensors that are not all complex64 or all complex128."""
    (first, reference), *others = tensors.items()
    check_dtype(first, reference, torch.complex64, torch.complex128)
    for name, tensor in others:
        if tensor.dtype != reference.dtype:
            raise TypeError(
                f"{name}: must have the dtype of {first}, {reference.dtype}, found {tensor.dtype}"
            )


def check_device(**tensors: torch.Tensor) -> None:
    """Refuse tensors that are not all on the device of the first one."""
    (first, reference), *others = tensors.items()
    for name, tensor in others:
        if tensor.device != reference.device:
            raise ValueError(
                f"{name}: must be on the device of {first}, {reference.device}, "
                f"found {tensor.device}"
            )


def check_shape(name: str, tensor: torch.Tensor, pattern: str, axes: dict[str, int]) -> None:
    """Refuse a tensor whose shape differs from the pattern; bind the pattern's new letters."""
    letters = pattern.split()
    rule = f"{name}: must have the shape [{', '.join(letters)}]"
    found = list(tensor.shape)
    if len(found) != len(letters):
        raise ValueError(f"{rule}, found {len(found)} axes: {found}")
    for letter, size in zip(letters, found, strict=True):
        expected = int(letter) if letter.isdecimal() else axes.setdefault(letter, size)
        if size != expected:
            known = "" if letter.isdecimal() else f" with {letter} = {expected}"
            raise ValueError(f"{rule}{known}, found {found}")


def check_windows_inside(
    corner: torch.Tensor, window: tuple[int, int], extent: tuple[int, int]
) -> None:
    """Refuse the first window that leaves the object.

    Parameters
    ----------
    corner : [B, 2] int64, each window's top-left pixel.
    window : (Ny, Nx) pixels.
    extent : (Y, X) pixels of the object.
    """
    last = torch.tensor([extent[0] - window[0], extent[1] - window[1]], device=corner.device)
    outside = ((corner < 0) | (corner > last)).any(dim=1)
    if outside.any():
        j = int(outside.nonzero()[0])
        raise ValueError(
            f"corner[{j}]: the window of {tuple(window)} pixels must lie inside the object of "
            f"{tuple(extent)}, found {tuple(corner[j].tolist())}"
        )


def check_real_of(reference: torch.Tensor, **tensors: torch.Tensor) -> None:
    """Refuse tensors that are not real of the precision of a complex one."""
    wanted = torch.float32 if reference.dtype == torch.complex64 else torch.float64
    for name, tensor in tensors.items():
        check_dtype(name, tensor, wanted)


def check_thickness(thickness: torch.Tensor | float, **reference: torch.Tensor) -> None:
    """Refuse a thickness that is no finite number and no tensor beside the reference.

    Parameters
    ----------
    reference : the one complex tensor, by its name, whose precision and device a tensor shares.
    """
    if isinstance(thickness, torch.Tensor):
        (tensor,) = reference.values()
        check_real_of(tensor, thickness=thickness)
        check_device(**reference, thickness=thickness)
    elif not isinstance(thickness, Real):
        found = type(thickness).__name__
        raise TypeError(f"thickness: must be a number or a tensor, found {found}")
    elif not -math.inf < thickness < math.inf:  # torch.compile cannot branch on math.isfinite
        raise ValueError(f"thickness: must be finite, found {thickness}")


def check_finite(name: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor on the CPU with a value that is not finite.

    Elsewhere it would make every call wait for the device. It looks at values, so it is no check
    for what torch.compile traces: custom ops make it when they run.
    """
    if tensor.device.type == "cpu" and not tensor.isfinite().all():
        found = float(tensor[~tensor.isfinite()].flatten()[0])
        raise ValueError(f"{name}: must be finite, found {found}")


def check_optics(wavelength: float, pixel_size: float | Sequence[float], model: str) -> None:
    """Refuse what a propagator would, for a chain that may have none."""
    check_wavelength(wavelength)
    pixel_pair(pixel_size)
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")


def check_tilt(tilt: torch.Tensor | None, positions: int, **reference: torch.Tensor) -> None:
    """Refuse a tilt that is neither one for all nor one per position.

    Parameters
    ----------
    reference : the one complex tensor, by its name, whose precision and device the tilt shares.
    """
    if tilt is None:
        return
    (tensor,) = reference.values()
    check_real_of(tensor, tilt=tilt)
    check_device(**reference, tilt=tilt)
    if tilt.ndim != 2 or tilt.shape[0] not in (1, positions) or tilt.shape[1] != 2:
        raise ValueError(
            f"tilt: must have the shape [1, 2] or [B, 2] with B = {positions}, "
            f"found {list(tilt.shape)}"
        )
