"""What ``fastpty ablate`` leaves: tables and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fastpty.errors import FastptyError, OutputError
from fastpty.export import csv_text, latex_text, write_texts
from fastpty.figures import write_figure
from fastpty.tune.config import AblateConfig
from fastpty.tune.ledger import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["IMAGES", "Row", "write_ablation"]

Row = tuple[dict[str, str], int, Record]
"""The levels of a variant, a seed, and the run."""

IMAGES = "objects"
"""Folder of the z-summed phases of the first seed."""

_HEADS = {
    "loss": "loss",
    "r_factor": "R factor",
    "free_r_factor": "free R factor",
    "free_nll": "free -log likelihood",
    "frc": "FRC area",
    "resolution": "half-bit resolution",
    "truth_correlation": "correlation with the truth",
    "truth_ssim": "SSIM to the truth",
    "position_rmse": "position error (px)",
    "contrast": "contrast (rad)",
    "seconds": "seconds",
}


def write_ablation(
    study: AblateConfig, rows: Sequence[Row], output: Path, console: Console
) -> dict[str, Any]:
    """Write ``runs.csv``, ``ablation.csv``, ``ablation.tex``, ``summary.json`` and the figures.

    Returns
    -------
    What ``summary.json`` has: of each variant the mean of every number over the seeds, and its
    standard deviation.

    Raises
    ------
    OutputError : the folder cannot be written; the runs are kept.
    """
    variants = _over_seeds(rows)
    names = [name for name in _HEADS if any(name in v["mean"] for v in variants)]
    summary = {"design": study.design, "seeds": study.seeds, "variants": variants}
    texts = {
        "runs.csv": _runs(study, rows),
        "ablation.csv": _csv(study, variants, names),
        "ablation.tex": _latex(study, variants, names),
        "summary.json": json.dumps(summary, indent=2) + "\n",
    }
    try:
        write_texts(texts, output)
    except OSError as error:
        raise OutputError(
            str(output),
            f"tables could not be written ({error}); the runs are kept.",
            "Make room, then --resume.",
        ) from error
    console.print(f"results in {output}", highlight=False, markup=False, soft_wrap=True)
    try:
        _draw(study, rows, output)
    except FastptyError as error:
        console.print(f"No figures: {error}", style="yellow")
    return summary


def _over_seeds(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry for each variant."""
    by_levels: dict[str, list[Row]] = {}
    for row in rows:
        by_levels.setdefault(json.dumps(row[0]), []).append(row)
    found = []
    for group in by_levels.values():
        known: dict[str, list[float]] = {}
        for _, _, record in group:
            for name, value in record.numbers.items():
                if record.state == "complete" and value is not None:
                    known.setdefault(name, []).append(value)
        found.append(
            {
                "levels": group[0][0],
                "runs": len(group),
                "failed": sum(record.state != "complete" for _, _, record in group),
                "mean": {name: float(np.mean(values)) for name, values in known.items()},
                "std": {
                    name: float(np.std(values, ddof=1))
                    for name, values in known.items()
                    if len(values) > 1
                },
            }
        )
    return found


def _named(study: AblateConfig, levels: Mapping[str, str]) -> list[str]:
    """The first columns: of a product one for each factor, else what is varied and to what."""
    if study.design == "product":
        return [levels[name] for name in study.vary]
    ((name, label),) = levels.items()
    return [name, label]


def _head(study: AblateConfig) -> list[str]:
    return list(study.vary) if study.design == "product" else ["varied", "value"]


def _runs(study: AblateConfig, rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for _, _, record in rows for name in record.numbers))
    lines: list[list[object]] = [[*_head(study), "seed", "run", "state", *names, "reason"]]
    for levels, seed, record in rows:
        numbers = [record.numbers.get(name) for name in names]
        known = [seed, record.number, record.state, *numbers, record.reason]
        lines.append([*_named(study, levels), *known])
    return csv_text(lines)


def _csv(study: AblateConfig, variants: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    spread = [name for name in names if any(name in v["std"] for v in variants)]
    head = [*_head(study), "runs", "failed", *names, *(f"{name}_std" for name in spread)]
    lines: list[list[object]] = [list(head)]
    for variant in variants:
        means = [variant["mean"].get(name) for name in names]
        stds = [variant["std"].get(name) for name in spread]
        first = [*_named(study, variant["levels"]), variant["runs"], variant["failed"]]
        lines.append([*first, *means, *stds])
    return csv_text(lines)


def _latex(study: AblateConfig, variants: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    lines = []
    for variant in variants:
        means = [variant["mean"].get(name) for name in names]
        lines.append([*_named(study, variant["levels"]), *means])
    return latex_text([*_head(study), *(_HEADS[name] for name in names)], lines)


def _draw(study: AblateConfig, rows: Sequence[Row], output: Path) -> None:
    """Figures are a view of the tables: without them the study is still whole."""
    complete = [row for row in rows if row[2].state == "complete"]
    if not complete:
        return
    write_figure(output / "ablation.png", partial(_panels, study, complete))
    images = _images(complete, output)
    if images:
        write_figure(output / "objects.png", partial(_objects, images))


def _panels(study: AblateConfig, rows: Sequence[Row]) -> Figure:
    from fastpty.figures import ablation  # needs matplotlib

    view = ablation.AblationView(
        factors={name: _labels(name, rows) for name in study.vary},
        runs=[(levels, record.numbers) for levels, _, record in rows],
    )
    if study.design == "product" and len(study.vary) == 2:
        return ablation.draw_heat_maps(view)
    return ablation.draw_panels(view)


def _labels(name: str, rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(levels[name] for levels, _, _ in rows if name in levels))


def _images(rows: Sequence[Row], output: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Title -> image and its pixel; variants that are the same run share one."""
    titles: dict[Path, list[str]] = {}
    for levels, _, record in rows:
        known = titles.setdefault(output / IMAGES / f"{record.number:04d}.npz", [])
        lines = [f"{name.split('.')[-1]}: {label}" for name, label in levels.items()]
        known += [line for line in lines if line not in known]
    found = {}
    for path, lines in titles.items():
        if path.is_file():  # of the first seed
            with np.load(path) as content:
                found["\n".join(lines)] = (content["phase"], content["pixel_size"])
    return found


def _objects(images: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Figure:
    from fastpty.figures import ablation  # needs matplotlib

    return ablation.draw_objects(images)
