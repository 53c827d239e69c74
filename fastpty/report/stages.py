"""The plan of a run, why its stages ended, and how they converged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpty.figures.common import ROUNDING
from fastpty.figures.loss import format_seconds
from fastpty.report.images import shown
from fastpty.report.labels import count, value_text
from fastpty.report.markup import Html, element, join, table
from fastpty.report.source import Source

__all__ = ["convergence_section", "plan_section", "stage_times"]


@dataclass(frozen=True)
class _Stage:
    """A stage of the config with its iterations [first, end) in the history."""

    name: str
    section: Mapping[str, Any]
    asked: int | None
    first: int
    end: int
    ended: str


def _stages(source: Source) -> list[_Stage]:
    """Those of the plan, or the one that a run without a plan is."""
    config, numbers = source.results.config, source.results.history.stage
    asked = config.get("optimise", {}).get("iterations")
    plan: Sequence[Mapping[str, Any]] = config.get("plan") or [{"iterations": asked}]
    endings = source.summary.get("stages") or []
    found, first = [], 0
    for number, section in enumerate(plan):
        end = first + numbers.count(number)
        why = _why(endings[number]) if number < len(endings) else ""
        if endings and not why:
            why = "not begun"
        name = section.get("name") or (f"stage {number + 1}" if len(plan) > 1 else "the run")
        found.append(_Stage(name, section, section.get("iterations"), first, end, why))
        first = end
    return found


def _why(ending: Mapping[str, Any]) -> str:
    """The reason in "stage centre, 8 iterations: the loss has not fallen by more than ..."."""
    if ending.get("ended") == "iterations":
        return "all its iterations were done"
    return str(ending.get("text", "")).split(": ", maxsplit=1)[-1]


def plan_section(source: Source) -> Html:
    """A row for each stage."""
    optimise = source.results.config.get("optimise", {})
    rows = []
    for stage in _stages(source):
        optimiser = (stage.section.get("optimise") or {}).get("optimiser") or optimise.get(
            "optimiser", {}
        )
        done = stage.end - stage.first
        of = "" if stage.asked is None else f" of {stage.asked}"
        rows.append(
            (
                stage.name,
                f"{done}{of}",
                _scan(stage.section.get("scan")),
                value_text(optimiser.get("name")),
                ", ".join(_free(source, stage)) or "–",
                stage.ended or "–",
            )
        )
    head = ("Stage", "Iterations", "Positions", "Optimiser", "Free unknowns", "Ended because")
    batch = optimise.get("batch_size")
    note = "" if batch is None else f"Batches of {batch} patterns, unless a stage says otherwise."
    return join([table(head, rows), element("p", note) if note else ""])


def _scan(scan: object) -> str:
    """What of the scan a stage looks at."""
    if not isinstance(scan, Mapping):
        return "all"
    if scan.get("center"):
        return f"central {value_text(scan['center']).replace(', ', ' × ')}"
    if scan.get("sub"):
        return f"{value_text(scan['sub']).replace(', ', ' × ')}, evenly spaced"
    spans = [(axis, scan[axis]) for axis in ("rows", "columns") if scan.get(axis)]
    return "; ".join(f"{axis} {first} to {end - 1}" for axis, (first, end) in spans) or "all"


def _free(source: Source, stage: _Stage) -> list[str]:
    rates = source.results.history.lr
    return [name for name, lr in rates.items() if any(v > 0 for v in lr[stage.first : stage.end])]


def convergence_section(source: Source) -> Html:
    """Loss and changes of each stage, with the curves."""
    history = source.results.history
    begun = [stage for stage in _stages(source) if stage.end > stage.first]
    if not history.loss or not begun:
        return element("p", "No iteration was finished.")
    head = ["", *(stage.name for stage in begun)]
    curves = {"loss": history.loss, **history.terms}
    names = {"loss": "loss (total)", **{name: f"term {name}" for name in history.terms}}
    losses = [
        (names[name], *(_course(values, stage) for stage in begun))
        for name, values in curves.items()
        if any(values)
    ]
    changes = [
        (
            "positions (px)" if name == "positions" else name,
            *(_moved(values[stage.end - 1]) for stage in begun),
        )
        for name, values in history.change.items()
    ]
    parts: list[object] = [
        element("h3", "Loss, first and last iteration of each stage"),
        table(head, losses, numbers=True),
    ]
    if changes:
        parts += [
            element("h3", "Change of the unknowns in the last iteration of each stage"),
            table(head, changes, numbers=True),
            element(
                "p",
                "Relative to the size of the unknown, |x′ − x| / |x′|; of positions the root mean "
                "square displacement in pixels. A dash: did not move.",
                class_="note",
            ),
        ]
    parts.append(element("div", shown(source, "loss.png", "changes.png"), class_="pair"))
    return join(parts)


def _moved(change: float) -> str:
    return value_text(None if change < ROUNDING else change)


def _course(values: Sequence[float], stage: _Stage) -> str:
    first, last = values[stage.first], values[stage.end - 1]
    text = f"{value_text(first)} → {value_text(last)}"
    if first > 0 and np.isfinite([first, last]).all():
        text += f" ({100 * (last / first - 1):+.1f} %)".replace("-", "−")
    return text


def stage_times(source: Source) -> list[tuple[str, str]]:
    """Of the stages of a run with a plan."""
    seconds = source.results.history.seconds
    stages = _stages(source)
    if len(stages) == 1:
        return []
    return [
        (
            f"stage {stage.name}",
            f"{format_seconds(sum(seconds[stage.first : stage.end]))} for "
            f"{count(stage.end - stage.first, 'iteration')}",
        )
        for stage in stages
        if stage.end > stage.first
    ]
