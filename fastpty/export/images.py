"""The images that a reconstruction is exported as, each with its scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastpty.figures.crop import scanned_area
from fastpty.results import Results

__all__ = ["Image", "draw"]


@dataclass(frozen=True)
class Image:
    """An image or a stack.

    Attributes
    ----------
    values : [..., Y, X] float32, axes as named in ``axes``: Z slices, C modes.
    title, value_unit : what the values are.
    step, unit : size of a pixel (y, x).
    origin : pixel (y, x), perhaps outside, that has the coordinates (0, 0).
    spacing : mean distance of slices in ``unit``; None where there is none.
    labels : one for each image of the stack.
    """

    values: NDArray[np.float32]
    axes: str
    title: str
    value_unit: str
    step: tuple[float, float]
    unit: str
    origin: tuple[int, int]
    spacing: float | None = None
    labels: list[str] = field(default_factory=list)


def draw(results: Results, name: str, *, object_modes: str, area: str) -> Image:
    """One image of a reconstruction.

    Parameters
    ----------
    name : "phase" or "amplitude" (every slice), "phase_sum" (over the slices), "amplitude_product"
        (the same for the amplitude: the transmission of all slices together), "probe_amplitude",
        "probe_phase" (every mode), "spectrum_amplitude", "spectrum_phase" (of the probe's
        unitary transform).
    object_modes : "mean" over the object modes, weighted with their occupancy, or "each".
    area : "scanned", the object from the first to the last window centre, or "full".
    """
    if name in _OBJECT:
        return _object(results, name, object_modes, area)
    return _probe(results, name)


# What to do with the slices [..., Nz, Y, X], title and unit.
_OBJECT: dict[str, tuple[Callable[..., NDArray[np.float64]] | None, str, str]] = {
    "phase": (None, "phase of the slices", "rad"),
    "phase_sum": (np.sum, "phase, sum over the slices", "rad"),
    "amplitude": (None, "amplitude of the slices", "1"),
    "amplitude_product": (np.prod, "amplitude, product over the slices", "1"),
}


def _object(results: Results, name: str, object_modes: str, area: str) -> Image:
    combine, title, unit = _OBJECT[name]
    rows, columns = scanned_area(results) if area == "scanned" else (slice(0, None),) * 2
    stored = results.phase if name.startswith("phase") else results.amplitude
    values = stored[:, :, rows, columns].astype(np.float64)
    depths = _depths(results)
    axes, labels = "Z", _depth_labels(depths, values.shape[1])
    if combine is not None:
        values, axes, labels = combine(values, axis=1, keepdims=True), "", [""]
    modes = len(values)
    if modes > 1 and object_modes == "mean":
        values = results.mean_over_modes(values)[None]
        title = f"{title}, mean of the object modes"
    elif modes > 1:
        # ImageJ runs through the channels of a slice before it goes to the next.
        axes += "C"
        labels = [f"{label} mode {m + 1}".strip() for label in labels for m in range(modes)]
    values = np.moveaxis(values, 0, 1)
    values = values.reshape(*(n for n, a in zip(values.shape, "ZC", strict=False) if a in axes),
                            *values.shape[2:])  # fmt: skip
    gaps = np.diff(depths) if depths is not None and "Z" in axes else np.zeros(0)
    return Image(
        values.astype(np.float32),
        f"{axes}YX",
        title,
        unit,
        *_scale(results),
        origin=(-rows.start, -columns.start),
        spacing=float(gaps.mean()) if gaps.size else None,
        labels=labels if axes else [],
    )


def _probe(results: Results, name: str) -> Image:
    place, _, part = name.partition("_")
    wave, title, (step, unit) = results.probe, "probe", _scale(results)
    ny, nx = wave.shape[-2:]
    if place == "spectrum":
        centred = np.fft.ifftshift(wave, axes=(-2, -1))
        wave = np.fft.fftshift(np.fft.fft2(centred, norm="ortho"), axes=(-2, -1))
        title = "transform of the probe"
        if results.pixel_size is not None:
            step, unit = (1 / (ny * step[0]), 1 / (nx * step[1])), "1/angstrom"
    values, value_unit = (
        (np.abs(wave), "sqrt(counts)") if part == "amplitude" else (np.angle(wave), "rad")
    )
    return Image(
        values.astype(np.float32),
        "CYX",
        f"{part} of the {title}, every mode",
        value_unit,
        step,
        unit,
        origin=(ny // 2, nx // 2),
        labels=[f"mode {m + 1}" for m in range(len(wave))],
    )


def _scale(results: Results) -> tuple[tuple[float, float], str]:
    if results.pixel_size is None:
        return (1.0, 1.0), "pixel"
    return results.pixel_size, "angstrom"


def _depths(results: Results) -> NDArray[np.float64] | None:
    """Depth [Nz] of every slice in Angstrom; None for one slice, and in pixel units."""
    gaps = results.gaps
    return None if gaps is None else np.concatenate([[0.0], np.cumsum(gaps)])


def _depth_labels(depths: NDArray[np.float64] | None, count: int) -> list[str]:
    if depths is None:
        return [f"slice {z + 1}" for z in range(count)]
    return [f"z = {depth:.4g} angstrom" for depth in depths]
