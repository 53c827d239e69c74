"""TIFF files with ImageJ's calibration: any image program opens them, Fiji with its scales."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastpty
from fastpty.atomic import atomic_path
from fastpty.errors import FastptyError, OutputError
from fastpty.export.images import Image, draw
from fastpty.results import Results

__all__ = ["check_tifffile", "write_tiffs"]

# Offsets in a TIFF have 32 bits, and ImageJ reads no BigTIFF; the rest is room for the tags.
_LARGEST = 2**32 - 2**25


def check_tifffile(field: str) -> Any:
    """The module tifffile.

    Parameters
    ----------
    field : what asks for it, for the message.

    Raises
    ------
    FastptyError : it is not installed.
    """
    try:
        return importlib.import_module("tifffile")
    except ImportError as error:
        raise FastptyError(
            field,
            f"needs the package 'tifffile' ({error}).",
            "Run: pip install 'fastpty[readers]'.",
        ) from error


def write_tiffs(
    results: Results,
    folder: str | os.PathLike[str],
    *,
    images: Sequence[str],
    object_modes: str,
    area: str,
    type: str,
    ranges: Mapping[str, tuple[float, float]],
) -> list[Path]:
    """Write ``<image>.tif`` for each image to ``folder``, which is made if missing.

    All files are written before the first appears under its name.

    Parameters
    ----------
    images, object_modes, area : as in :func:`fastpty.export.images.draw`.
    type : "float32", "uint16" or "uint8". Integers are ``(value - low) / (high - low)`` times
        the largest of their type, rounded; the file says so in ImageJ's terms, so that Fiji
        shows the values.
    ranges : image -> (low, high). Without one, an image has its least and largest value. Values
        beyond are clipped in integers; in float32 the two are only the limits of the display.

    Returns
    -------
    The files, in the order of ``images``.

    Raises
    ------
    FastptyError : tifffile is not installed.
    OutputError : the folder cannot be written, or an image is larger than a TIFF can be.
    """
    tifffile = check_tifffile("output.tiff")
    target = Path(folder)
    kind = np.dtype(type)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with ExitStack() as pending:
            for name in images:
                image = draw(results, name, object_modes=object_modes, area=area)
                path = target / f"{name}.tif"
                if image.values.size * kind.itemsize > _LARGEST:
                    raise OutputError(
                        str(path),
                        f"would take {image.values.size * kind.itemsize / 2**30:.1f} GiB; a TIFF "
                        "holds 4.",
                        "Choose a smaller type, or area: scanned.",
                    )
                low, high = ranges.get(name) or _limits(image.values)
                pixels, calibration = _scaled(image.values, kind, low, high)
                tifffile.imwrite(
                    pending.enter_context(atomic_path(path)),
                    pixels,
                    imagej=True,
                    resolution=(1 / image.step[1], 1 / image.step[0]),
                    resolutionunit="NONE",
                    metadata=_metadata(image) | calibration,
                )
    except OSError as error:
        raise OutputError(
            str(target), f"cannot be written ({error}).", "Make room, or choose another folder."
        ) from error
    return [target / f"{name}.tif" for name in images]


def _limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Least and largest finite value; those of a flat image are one apart."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def _scaled(
    values: NDArray[np.float32], kind: np.dtype[Any], low: float, high: float
) -> tuple[NDArray[Any], dict[str, Any]]:
    """(pixels, what ImageJ needs to know of them). NaN becomes the lowest integer."""
    if kind.kind == "f":
        return values, {"min": low, "max": high}
    top = int(np.iinfo(kind).max)
    share = (np.clip(values.astype(np.float64), low, high) - low) / (high - low)
    pixels = np.rint(np.nan_to_num(share) * top).astype(kind)
    # ImageJ: value = c0 + c1 pixel, where the calibration function cf is 0, a straight line.
    return pixels, {"cf": 0, "c0": low, "c1": (high - low) / top, "min": 0, "max": top}


def _metadata(image: Image) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "axes": image.axes,
        "unit": image.unit,
        "vunit": image.value_unit,
        "xorigin": image.origin[1],
        "yorigin": image.origin[0],
        "Info": f"fastpty {fastpty.__version__}\n{image.title}\n",
    }
    if image.labels:
        metadata["Labels"] = image.labels
    if image.spacing is not None:
        metadata["spacing"] = image.spacing
    return metadata
