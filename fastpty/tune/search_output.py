"""What ``fastpty tune`` leaves: tables, figures, and a config with the best values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from fastpty.errors import ConfigError, FastptyError, OutputError
from fastpty.export import csv_text, latex_text, write_texts
from fastpty.figures import write_figure
from fastpty.job import with_absolute_paths
from fastpty.tune.base import Base
from fastpty.tune.config import MAXIMISED, TuneConfig
from fastpty.tune.ledger import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["best_of", "write_search"]

_IN_LATEX = 10
"""Trials in the LaTeX table: the best."""


def best_of(study: TuneConfig, records: Sequence[Record]) -> Record | None:
    """The first of the best among the trials that are complete."""
    return next(iter(_ranked(study, records)), None)


def _ranked(study: TuneConfig, records: Sequence[Record]) -> list[Record]:
    """The complete ones, best first."""
    complete = [r for r in records if r.state == "complete"]
    sign = -1 if study.objective in MAXIMISED else 1
    return sorted(complete, key=lambda r: sign * (r.numbers[study.objective] or 0.0))


def write_search(
    study: TuneConfig,
    base: Base,
    records: Sequence[Record],
    importances: Mapping[str, float],
    output: Path,
    console: Console,
) -> dict[str, Any]:
    """Write ``trials.csv``, ``trials.tex``, ``summary.json``, ``best.yaml`` and the figures.

    Returns
    -------
    What ``summary.json`` has.

    Raises
    ------
    OutputError : the folder cannot be written; the trials are kept.
    """
    best = best_of(study, records)
    summary: dict[str, Any] = {
        "objective": study.objective,
        "trials": len(records),
        "states": {s: sum(r.state == s for r in records) for s in ("complete", "pruned", "failed")},
        "best": None
        if best is None
        else {"trial": best.number, "values": best.values, "numbers": best.numbers},
        "importances": dict(importances),
    }
    texts = _tables(study, records) | {"summary.json": json.dumps(summary, indent=2) + "\n"}
    refused = ""
    if best is not None:
        try:
            texts["best.yaml"] = _best_config(study, base, best)
        except ConfigError as error:  # what set makes possible, the base alone may refuse
            refused = f"No best.yaml: without set, the base refuses the best values: {error}"
    try:
        write_texts(texts, output)
        if refused:  # an earlier best one
            (output / "best.yaml").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            str(output),
            f"tables could not be written ({error}); the trials are kept.",
            "Make room, then --resume.",
        ) from error
    _print(study, summary, output, console, refused)
    try:
        _draw(study, records, importances, output)
    except FastptyError as error:
        console.print(f"No figures: {error}", style="yellow")
    return summary


def _tables(study: TuneConfig, records: Sequence[Record]) -> dict[str, str]:
    numbers = list(dict.fromkeys(name for record in records for name in record.numbers))
    head = ["trial", "state", *study.search, *numbers, "reason"]

    def line(record: Record, found: Sequence[str]) -> list[object]:
        values = [record.values[name] for name in study.search]
        return [record.number, record.state, *values, *(record.numbers.get(n) for n in found)]

    lines = [[*line(record, numbers), record.reason] for record in records]
    short = list(dict.fromkeys([study.objective, *(n for n in numbers if n == "r_factor")]))
    best = [line(record, short) for record in _ranked(study, records)[:_IN_LATEX]]
    return {
        "trials.csv": csv_text([head, *lines]),
        "trials.tex": latex_text(["trial", "state", *study.search, *short], best),
    }


def _best_config(study: TuneConfig, base: Base, best: Record) -> str:
    """What ``fastpty recon`` takes: the base, whole, with the best values, from any folder."""
    config = with_absolute_paths(base.config(best.values, whole=True), base.folder)
    found = ", ".join(f"{name} = {value}" for name, value in best.values.items())
    lines = [
        f"# {Path(study.base).name} with the best values that fastpty tune found: {found}",
        f"# ({study.objective} {best.numbers[study.objective]:.6g} in trial {best.number}).",
    ]
    content = config.model_dump(mode="json", exclude_unset=True)
    return "\n".join(lines) + "\n\n" + yaml.safe_dump(content, sort_keys=False)


def _draw(
    study: TuneConfig, records: Sequence[Record], importances: Mapping[str, float], output: Path
) -> None:
    """Figures are a view of the tables: without them the study is still whole."""
    values = [record.numbers.get(study.objective) for record in records]
    if all(value is None for value in values):
        return
    fields = {name: [record.values[name] for record in records] for name in study.search}
    plain = [name for name, given in study.search.items() if given.choices is None]
    # The two that matter most, the first of all if that is not known.
    pair = sorted(plain, key=lambda name: -importances.get(name, 0.0))[:2]
    content = {
        "objective": study.objective,
        "more_is_better": study.objective in MAXIMISED,
        "number": [record.number for record in records],
        "value": [float("nan") if value is None else value for value in values],
        "given_up": [record.state == "pruned" for record in records],
        "fields": fields,
        "logarithmic": frozenset(name for name, given in study.search.items() if given.log),
        "importances": importances,
    }
    names = ["history", "slices", *(["landscape"] if len(pair) == 2 else [])]
    for name in names:
        write_figure(output / f"{name}.png", partial(_figure, name, content, pair))


def _figure(name: str, content: dict[str, Any], pair: list[str]) -> Figure:
    from fastpty.figures import search  # needs matplotlib

    view = search.SearchView(**content)
    if name == "landscape":
        return search.draw_landscape(view, pair[0], pair[1])
    return {"history": search.draw_history, "slices": search.draw_slices}[name](view)


def _print(
    study: TuneConfig, summary: dict[str, Any], output: Path, console: Console, refused: str
) -> None:
    best = summary["best"]
    if best is None:
        text = "no trial is complete: trials.csv says why"
    else:
        found = ", ".join(f"{name} {value}" for name, value in best["values"].items())
        value = best["numbers"][study.objective]
        text = f"best of {summary['trials']} trials: {study.objective} {value:.5g} with {found}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if refused:
        console.print(refused, style="yellow", markup=False, soft_wrap=True)
    ready = "" if best is None or refused else f"; next: fastpty recon {output / 'best.yaml'}"
    console.print(f"results in {output}{ready}", highlight=False, markup=False, soft_wrap=True)
