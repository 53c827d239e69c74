"""The sections that consist of text and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from fastpty.figures.common import detector_scale
from fastpty.figures.loss import format_seconds
from fastpty.report.labels import count, label, lengths, value_text
from fastpty.report.markup import Html, element, facts, join, table
from fastpty.report.source import Source
from fastpty.report.stages import stage_times

__all__ = [
    "config_section",
    "data_section",
    "header",
    "preprocess_section",
    "provenance_section",
    "quality_section",
]

# Of the summary, what other sections show.
_ELSEWHERE = frozenset(
    {
        *("output", "finished", "stages", "preflight"),
        *("terms", "change", "seconds", "seconds_per_iteration"),
    }
)


def header(source: Source, note: Html | None = None) -> Html:
    """What was done and what came out, in a few lines, and a note on them."""
    results, summary = source.results, source.summary
    history = results.history
    done = count(len(history.loss), "iteration")
    state = {True: "Finished", False: "Stopped early", None: "Written"}[summary.get("finished")]
    lead = f"{state} after {done}"
    if history.seconds:
        lead += f" in {format_seconds(sum(history.seconds))}"
    lead += f" on {results.device}." if results.device else "."
    key = [("R factor", value_text(results.r_factor))] if results.r_factor is not None else []
    key += [("loss", value_text(history.loss[-1]))] if history.loss else []
    truth = summary.get("truth")
    if isinstance(truth, Mapping) and "correlation" in truth:
        key.append(("correlation with the truth", value_text(truth["correlation"])))
    if results.pixel_size is not None:
        key.append(("pixel", lengths(results.pixel_size, "Å")))
    for number, noun in ((results.phase.shape[1], "slice"), (len(results.probe), "probe mode")):
        key.append((noun + "s" * (number != 1), str(number)))
    warnings = [finding for finding in _findings(source) if finding.get("warning")]
    stopped = summary.get("finished") is False
    return element(
        "header",
        element("p", "Ptychographic reconstruction", class_="eyebrow"),
        element("h1", source.title),
        element("p", lead, class_="lead"),
        note or "",
        element(
            "p",
            "The run was stopped before the end of its plan: everything below is as it was after "
            "the last finished iteration.",
            class_="warning",
        )
        if stopped
        else "",
        element(
            "p",
            f"{count(len(warnings), 'warning')} before the start, see ",
            element("a", "data and calibration", href="#data"),
            ".",
            class_="warning",
        )
        if warnings
        else "",
        facts(key, class_="key"),
    )


def _findings(source: Source) -> list[Mapping[str, Any]]:
    """Of the checks before the start: subject, text, warning."""
    found = source.summary.get("preflight")
    return [f for f in found if isinstance(f, Mapping)] if isinstance(found, list) else []


def data_section(source: Source) -> Html:
    """Data, beam, calibration, scan, and what the checks before the start found."""
    parts: list[object] = [facts([*_data(source), *_beam(source)])]
    rows = [
        (
            finding.get("subject", ""),
            join(
                [
                    finding.get("text", ""),
                    element("p", finding["warning"], class_="warning")
                    if finding.get("warning")
                    else "",
                ]
            ),
        )
        for finding in _findings(source)
        if finding.get("warning")
        or not str(finding.get("subject", "")).startswith(("preprocess", "plan"))
    ]
    if rows:
        parts += [element("h3", "Checks before the start"), table(("Of", "Finding"), rows)]
    return join(parts)


def _data(source: Source) -> Iterator[tuple[str, object]]:
    results, config = source.results, source.results.config
    data = config.get("data", {})
    if data.get("path"):
        yield "data", element("code", data["path"])
    if data.get("dataset"):
        yield "dataset", element("code", data["dataset"])
    scan = results.scan_shape
    number = len(results.positions)
    yield "scan", f"{scan[0]} × {scan[1]} positions" if scan else count(number, "position")
    unit = "Å" if config.get("units", "angstrom") == "angstrom" else "px"
    geometry = config.get("scan", {})
    if geometry.get("step"):
        yield "scan step (y, x)", lengths(np.broadcast_to(geometry["step"], 2).tolist(), unit)
    if geometry.get("positions"):
        yield "positions from", element("code", geometry["positions"].get("path", ""))
    if geometry.get("rotation_deg"):
        yield "scan rotation", f"{value_text(geometry['rotation_deg'])}°"
    ny, nx = results.probe.shape[-2:]
    yield "patterns", f"{ny} × {nx} px"
    counts = float((np.abs(results.probe) ** 2).sum(dtype=np.float64))
    yield "mean pattern", f"{value_text(counts)} counts"


def _beam(source: Source) -> Iterator[tuple[str, object]]:
    results, config = source.results, source.results.config
    beam = config.get("beam") or {}
    if beam.get("energy_kv"):
        yield "energy", f"{value_text(beam['energy_kv'])} keV"
    if results.wavelength is not None:
        yield "wavelength", f"{value_text(100 * results.wavelength)} pm"
    if beam.get("semiangle_mrad"):
        yield "convergence semi-angle", f"{value_text(beam['semiangle_mrad'])} mrad"
    for name, value in (beam.get("aberrations") or {}).items():
        yield f"{name}, as given", f"{value_text(value)} Å"
    if results.pixel_size is None:
        yield "lengths", "in pixels of the object: no calibration"
        return
    yield "object pixel (y, x)", lengths(results.pixel_size, "Å")
    scale = detector_scale(results)
    yield "detector pixel (y, x)", lengths(scale.step, scale.unit)
    given = {k: v for k, v in (config.get("calibration") or {}).items() if v is not None}
    of = given.pop("of", None)
    if given:
        text = ", ".join(f"{label(k)} {value_text(v)}" for k, v in given.items())
        yield "calibrated by", f"{text}, of the {of} detector" if of else text


def preprocess_section(source: Source) -> Html:
    """What the steps did, as the run said; else what they were asked to do."""
    texts = [str(f.get("text", "")) for f in _findings(source) if f.get("subject") == "preprocess"]
    if not texts:
        texts = [_step(step) for step in source.results.config.get("preprocess") or []]
    if not texts:
        return element("p", "None: the patterns were used as recorded.")
    return element("ol", join(element("li", text) for text in texts))


def _step(step: Mapping[str, Any]) -> str:
    fields = {k: v for k, v in step.items() if k != "step" and v not in (None, [], False)}
    options = ", ".join(f"{label(k)} {value_text(v)}" for k, v in fields.items())
    return f"{step.get('step')}: {options}" if options else str(step.get("step"))


def quality_section(source: Source) -> Html:
    """Every number of the summary that no other section shows."""
    summary = {k: v for k, v in source.summary.items() if k not in _ELSEWHERE}
    if not summary:
        return Html()
    plain = [(label(k), value_text(v)) for k, v in summary.items() if not _nested(v)]
    nested = {k: v for k, v in summary.items() if _nested(v) and v}
    return join(
        [
            table(("Of the run", "Value"), plain, numbers=True) if plain else "",
            join(_group(label(name), value) for name, value in nested.items()),
            element(
                "p",
                "R factor: the sum of |√measured − √simulated| over the sum of √measured, of the "
                "counts in all pixels of all patterns. Counting noise sets its floor, so compare "
                "runs on the same data only.",
                class_="note",
            ),
        ]
    )


def _nested(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping)


def _group(title: str, value: Any) -> Html:
    """A mapping, or a list of them as a table with a column for each name."""
    title = title[:1].upper() + title[1:]
    if isinstance(value, Mapping):
        rows = [(label(name), value_text(item)) for name, item in _flat(value)]
        return table((title, "Value"), rows, numbers=True)
    items = [item for item in value if isinstance(item, Mapping)]
    names = list(dict.fromkeys(name for item in items for name in item))
    body = [
        [i + 1, *(value_text(item.get(name)) for name in names)] for i, item in enumerate(items)
    ]
    return table([title, *map(label, names)], body, numbers=True)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}, ")
        else:
            yield prefix + name, item


def provenance_section(source: Source) -> Html:
    """How long it took, on what, with what."""
    results = source.results
    seconds = results.history.seconds
    pairs: list[tuple[object, object]] = []
    if seconds:
        pairs += [
            ("time of all iterations", format_seconds(sum(seconds))),
            ("an iteration, median", format_seconds(float(np.median(seconds)))),
            ("first iteration", format_seconds(seconds[0])),
            ("slowest iteration", format_seconds(max(seconds))),
        ]
    pairs += stage_times(source)
    pairs += [
        ("device", value_text(results.device)),
        ("seed", value_text(results.seed)),
        ("result written", source.written.strftime("%Y-%m-%d %H:%M")),
        ("result file", element("code", str(source.path))),
    ]
    pairs += [(f"{name} version", number) for name, number in source.versions.items()]
    return facts(pairs)


def config_section(source: Source) -> Html:
    """The whole config of the run, closed."""
    config = source.results.config
    if not config:
        return Html()
    text = yaml.safe_dump(_short(config), sort_keys=False, allow_unicode=True, width=100)
    return element(
        "details",
        element("summary", "Everything that the run was asked for, defaults included"),
        element("pre", element("code", text), tabindex="0"),
    )


def _short(value: Any) -> Any:
    """Without what is null: those fields were not used."""
    if isinstance(value, Mapping):
        return {name: _short(item) for name, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_short(item) for item in value]
    return value
