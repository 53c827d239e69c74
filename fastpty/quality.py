"""The numbers of a reconstruction's quality, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastpty.export import Quantity
from fastpty.figures.crop import scanned_area
from fastpty.metrics import information_limit
from fastpty.results import Results

__all__ = ["quality_of", "quality_table"]


def quality_of(results: Results) -> dict[str, Any]:
    """What ``summary.json`` has under ``quality``: plain data, None for what is not known.

    ``fitted`` and ``left_out`` are the patterns' agreement with the model, as in
    :class:`fastpty.results.Results`; ``information_limit`` is the period of
    :func:`fastpty.metrics.information_limit` of the z-summed phase over the scanned area, in
    ``length_unit``: Å, or px in pixel units.
    """
    kinds = {kind: results.agreement.get(kind) for kind in ("fitted", "left_out")}
    return {
        **{kind: None if found is None else _known(found) for kind, found in kinds.items()},
        "information_limit": _limit(results),
        "length_unit": "px" if results.pixel_size is None else "Å",
    }


def _known(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _limit(results: Results) -> float | None:
    phase = results.mean_over_modes(results.phase).sum(axis=0)[scanned_area(results)]
    found = information_limit(phase, results.pixel_size or (1.0, 1.0))
    return None if found is None else 1 / found


def quality_table(summary: Mapping[str, Any]) -> list[Quantity]:
    """Rows for the numbers of a ``summary.json``; those that a run does not have are left out."""
    quality, truth = summary["quality"], summary.get("truth", {})
    rows = []
    for kind, name in (("fitted", "fitted patterns"), ("left_out", "left-out patterns")):
        numbers = quality[kind]
        if numbers is not None:
            free = "free R factor" if kind == "left_out" else "R factor"
            rows += [
                Quantity(f"number of {name}", numbers["patterns"]),
                Quantity(free, numbers["r_factor"]),
                Quantity(
                    f"Poisson -log likelihood per pixel, {name}", numbers["poisson_nll"], "nat"
                ),
                Quantity(f"chi-square per pixel, {name}", numbers["chi_square"]),
            ]
    unit = quality["length_unit"]
    rows.append(Quantity("information limit", quality["information_limit"], unit))
    rows += [
        Quantity(name, truth[key], unit)
        for key, name, unit in (
            ("correlation", "correlation of the phase with the truth", ""),
            ("ssim", "structural similarity to the truth", ""),
            ("gain", "slope of the phase over the truth", ""),
            ("position_rmse_centred_px", "RMS position error, less the mean", "px"),
            ("position_rmse_px", "RMS position error, less an affine map", "px"),
        )
        if key in truth
    ]
    return rows
