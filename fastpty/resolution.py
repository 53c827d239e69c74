"""Resolution by the Fourier ring correlation of two reconstructions: docs/metrics.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from fastpty.errors import DataError, FastptyError, OutputError
from fastpty.export import Quantity, csv_text, write_tables, write_texts
from fastpty.figures import write_figure
from fastpty.figures.crop import scanned_area
from fastpty.metrics import Crossing, RingCorrelation, phase_agreement, ring_correlation
from fastpty.results import RESULT_NAME, Results, read_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "NAMES",
    "Resolution",
    "compare_files",
    "compare_results",
    "refuse_earlier",
    "write_resolution",
]

NAMES = ("frc.csv", "frc.json", "quality.csv", "quality.tex", "frc.png")
"""What :func:`write_resolution` writes."""
_SAME_PIXEL = 1e-3
"""Relative difference of pixels up to which two objects have the same."""


@dataclass(frozen=True)
class Resolution:
    """Two reconstructions of the same, compared.

    Parameters
    ----------
    curves : of the z-summed phase, ``phase`` of the mean over the object modes, then, if there
        are several, ``mode 1`` and so on.
    unit : of lengths, Å or px.
    shape : [Y, X] of the compared region, px.
    shift_px : (y, x) by which the second lies off the first, beyond what the positions say.
    correlation : Pearson's, of the two phases.
    at_limit : whether the shift was sought no further, and is likely to be wrong.
    """

    curves: dict[str, RingCorrelation]
    unit: str
    shape: tuple[int, int]
    shift_px: tuple[float, float]
    correlation: float
    at_limit: bool

    def summary(self) -> dict[str, Any]:
        """Plain data, for JSON: resolutions are null where no ring lies above the threshold."""
        return {
            "unit": self.unit,
            "shape_px": list(self.shape),
            "shift_px": list(self.shift_px),
            "correlation": self.correlation,
            "resolution": {
                name: {
                    "half_bit": _plain(curve.crossing(curve.half_bit)),
                    "one_seventh": _plain(curve.crossing(curve.one_seventh)),
                }
                for name, curve in self.curves.items()
            },
        }

    def table(self) -> list[Quantity]:
        """Rows for :func:`fastpty.export.write_tables`; a resolution that the sampling bounds from
        above says so."""
        rows = []
        for name, curve in self.curves.items():
            of = "" if name == "phase" else f", {name}"
            for label, threshold in (("half-bit", curve.half_bit), ("1/7", curve.one_seventh)):
                found = curve.crossing(threshold)
                beyond = " (at most)" if found is not None and found.at_limit else ""
                value = None if found is None else found.resolution
                rows.append(Quantity(f"FRC resolution, {label}{of}{beyond}", value, self.unit))
        return [*rows, Quantity("correlation of the two phases", self.correlation)]


def _plain(found: Crossing | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "resolution": found.resolution,
        "frequency": found.frequency,
        "at_limit": found.at_limit,
    }


def compare_results(a: Results, b: Results) -> Resolution:
    """Align the z-summed phases of two reconstructions and correlate them ring by ring.

    The scanned area of ``a`` is compared, as far as ``b`` reaches 12 px beyond it on every side.
    ``b`` is shifted by fractions of a pixel to where it agrees best, within 3 px of where the
    means of the positions say; constant and ramp are taken from both. Object modes are compared
    one by one at the shift of their mean.

    Raises
    ------
    DataError : pixels or object modes of the two differ, or they overlap too little.
    """
    pixel = _common_pixel(a, b)
    if len(a.phase) != len(b.phase):
        raise DataError(
            "frc",
            f"the first reconstruction has {len(a.phase)} object modes, the second {len(b.phase)}.",
            "Compare two of the same config.",
        )
    area = scanned_area(a)
    frame = b.positions.mean(axis=0) - a.positions.mean(axis=0)
    offset = frame + np.array([area[0].start, area[1].start])
    volumes = [result.phase.astype(np.float64).sum(axis=1) for result in (a, b)]
    first, second = a.mean_over_modes(volumes[0]), b.mean_over_modes(volumes[1])
    try:
        found = phase_agreement(first[area], second, offset=offset.tolist())
        pairs = {"phase": found}
        if len(a.phase) > 1:
            fixed = (offset + found.shift_px).tolist()
            for number, (one, other) in enumerate(zip(*volumes, strict=True), 1):
                pairs[f"mode {number}"] = phase_agreement(one[area], other, offset=fixed, radius=0)
        curves = {
            name: ring_correlation(pair.aligned, pair.truth_cropped, pixel)
            for name, pair in pairs.items()
        }
    except ValueError as error:
        raise DataError(
            "frc",
            f"the phases of the two reconstructions cannot be compared ({error}).",
            "Are they of the same area? It must be some 40 px wide, and more is better.",
        ) from error
    return Resolution(
        curves=curves,
        unit="px" if a.pixel_size is None else "Å",
        shape=(found.aligned.shape[0], found.aligned.shape[1]),
        shift_px=found.shift_px,
        correlation=found.correlation,
        at_limit=found.at_limit,
    )


def _common_pixel(a: Results, b: Results) -> tuple[float, float]:
    if (a.pixel_size is None) != (b.pixel_size is None):
        raise DataError("frc", "one reconstruction has lengths, the other is in pixel units.")
    if a.pixel_size is None or b.pixel_size is None:
        return 1.0, 1.0
    if not np.allclose(a.pixel_size, b.pixel_size, rtol=_SAME_PIXEL, atol=0):
        raise DataError(
            "frc",
            f"pixels of the two reconstructions differ: {_pair(a.pixel_size)} and "
            f"{_pair(b.pixel_size)} A.",
            "Reconstruct both with the same calibration and detector.",
        )
    return a.pixel_size


def _pair(pixel: tuple[float, float]) -> str:
    return " x ".join(f"{d:.5g}" for d in pixel)


def refuse_earlier(folder: Path) -> None:
    """For a command that may not replace what is there.

    Raises
    ------
    OutputError : the folder holds results of an earlier ``fastpty frc``, or those of a run.
    """
    for name in NAMES:
        if (folder / name).exists():
            raise OutputError(
                str(folder),
                f"holds an earlier {name}.",
                "Choose another folder with -o, or allow --overwrite.",
            )


def write_resolution(found: Resolution, folder: Path) -> str:
    """Write the files ``NAMES`` to ``folder``, which is made if missing.

    Returns
    -------
    Why there is no figure; empty if there is one.

    Raises
    ------
    OutputError : the folder cannot be written.
    """
    inverse = "1/px" if found.unit == "px" else "1/Å"
    first = next(iter(found.curves.values()))
    head = [f"frequency ({inverse})", *found.curves, "half-bit", "1/7", "independent coefficients"]
    curves = [curve.correlation for curve in found.curves.values()]
    columns = [first.frequency, *curves, first.half_bit, first.one_seventh, first.count]
    lines: list[Sequence[object]] = [head]
    lines += [[float(value) for value in row] for row in zip(*columns, strict=True)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found.summary(), indent=2) + "\n"
        write_texts({"frc.csv": csv_text(lines), "frc.json": text}, folder)
        write_tables(found.table(), folder, "quality")
    except OSError as error:
        raise OutputError(
            str(folder), f"cannot be written ({error}).", "Make room, or choose another with -o."
        ) from error
    try:
        write_figure(folder / "frc.png", partial(_draw, found))
    except FastptyError as error:
        return str(error)
    return ""


def _draw(found: Resolution) -> Figure:
    from fastpty.figures.ring_correlation import draw_ring_correlation  # needs matplotlib

    return draw_ring_correlation(found.curves, found.unit)


def compare_files(
    a: Path, b: Path, output: Path, console: Console, *, overwrite: bool = False
) -> Resolution:
    """Compare two files ``reconstruction.h5``, or the folders that hold them.

    Raises
    ------
    DataError, OutputError : naming the file, what was found and what to do.
    """
    if not overwrite:
        refuse_earlier(output)
    first, second = (read_results(p / RESULT_NAME if p.is_dir() else p) for p in (a, b))
    found = compare_results(first, second)
    missing = write_resolution(found, output)
    _print(found, output, missing, console)
    return found


def _print(found: Resolution, output: Path, missing: str, console: Console) -> None:
    height, width = found.shape
    shift = " x ".join(f"{s:.3f}" for s in found.shift_px)
    lines = [
        f"z-summed phases over {height} x {width} px, shifted by {shift} px: correlation "
        f"{found.correlation:.4f}"
    ]
    for row in found.table()[:-1]:
        value = "none" if row.value is None else f"{row.value:.4g} {row.unit}"
        lines.append(f"{row.name}: {value}")
    for line in [*lines, f"table and figure in {output}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    doubt = "the shift is the largest that was tried: are the two of the same area?"
    for text in (doubt if found.at_limit else "", f"No figure: {missing}" if missing else ""):
        if text:
            console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
