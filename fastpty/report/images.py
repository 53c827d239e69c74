"""The sections that consist of figures, with what one sees in them."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from fastpty.figures.common import ROUNDING
from fastpty.figures.unknowns import UNKNOWNS
from fastpty.metrics import displacement
from fastpty.report.labels import count, label, value_text
from fastpty.report.markup import Html, element, facts, join
from fastpty.report.pictures import Picture, figure, object_modes, object_slices
from fastpty.report.source import Source
from fastpty.results import Results

__all__ = [
    "fit_section",
    "further_section",
    "object_section",
    "positions_section",
    "probe_section",
    "shown",
    "unknowns_section",
]

_FORWARD = re.compile(r"forward_iter(\d+)\.png")
_MOST_SNAPSHOTS = 12
"""Snapshots that the page holds."""


def _loss(results: Results) -> str:
    loss = results.history.loss
    return (
        f"Weighted loss against the iteration, in total and term by term: "
        f"{value_text(loss[0])} in the first, {value_text(loss[-1])} in the last. Dotted lines "
        "stand where a stage begins."
    )


def _changes(results: Results) -> str:
    return (
        "Change of each unknown in each iteration, relative to its size; of positions in px. "
        "What still moves much has not converged."
    )


def _probe(results: Results) -> str:
    power = (np.abs(results.probe) ** 2).sum(axis=(1, 2), dtype=np.float64)
    return (
        f"{count(len(power), 'probe mode')} in real and in reciprocal space: phase as hue, "
        f"amplitude as brightness, each panel to its own maximum."
        + (f" Mode 1 holds {100 * power[0] / power.sum():.1f} % of the power." * (len(power) > 1))
    )


def _positions(results: Results) -> str:
    moved = displacement(results.positions, results.positions_start)
    if moved.max <= ROUNDING:
        return "Scan positions, which were not moved."
    return (
        "Displacement of the scan positions from their start, and its mean over the iterations: "
        + ", ".join(f"{label(k)} {value_text(float(v))} px" for k, v in moved._asdict().items())
        + "."
    )


def _phase_sum(results: Results) -> str:
    slices = results.phase.shape[1]
    of = f", summed over {slices} slices" if slices > 1 else ""
    return f"Phase of the object in rad{of}, within the scanned area."


def _slices(results: Results) -> str:
    return "All slices at a glance, on one grey scale."


def _sections(results: Results) -> str:
    return (
        "Sections along the beam through the strongest point, beside the sum over the slices, and "
        "the phase against the depth there."
    )


def _fourier(results: Results) -> str:
    return (
        "Fourier amplitude of the phase, and the highest of each ring beside its noise; circles "
        "are twice the aperture, the detector's edge and the information limit, an estimate for "
        "crystals."
    )


def _thickness(results: Results) -> str:
    return "Distance of the slices over the iterations, and the sum of all gaps."


def _unknowns(results: Results) -> str:
    names = [name for name in results.history.unknowns if name in UNKNOWNS]
    return f"Free unknowns over the iterations: {', '.join(names)}."


def _tilt(results: Results) -> str:
    mean, spread = results.tilt.mean(axis=0), results.tilt.std(axis=0)
    parts = [
        f"{axis} {value_text(float(mean[i]))} ± {value_text(float(spread[i]))} mrad"
        for i, axis in enumerate("yx")
    ]
    return f"Tilt at each scan position: {', '.join(parts)} (mean ± standard deviation)."


def _virtual(results: Results) -> str:
    return (
        "What ring detectors around the disc would have recorded, the centre of mass of the "
        "patterns (DPC) and its integral (iCoM), the parallax-corrected bright field, and the "
        "reconstructed phase, over the scanned area and at one scale."
    )


_CAPTIONS: dict[str, Callable[[Results], str]] = {
    "loss.png": _loss,
    "changes.png": _changes,
    "probe_modes.png": _probe,
    "positions.png": _positions,
    "phase_sum.png": _phase_sum,
    "phase_slices.png": _slices,
    "depth_sections.png": _sections,
    "fourier.png": _fourier,
    "unknowns.png": _unknowns,
    "thickness.png": _thickness,
    "tilt.png": _tilt,
    "virtual.png": _virtual,
}


def shown(source: Source, *names: str) -> Html:
    """Those of the figures that the run has."""
    found = []
    for name in names:
        if name in source.figures:
            caption = _CAPTIONS[name](source.results)
            found.append(figure([Picture(source.figures[name], caption)], caption))
    return join(found)


def object_section(source: Source) -> Html:
    """The slices under a slider, and the figures of the phase."""
    results = source.results
    modes, slices, *canvas = results.phase.shape
    text = f"{count(slices, 'slice')} of {canvas[0]} × {canvas[1]} px"
    if modes > 1:
        weights = np.full(modes, 1 / modes) if results.occupancy is None else results.occupancy
        text += f", {modes} object modes with occupancies {value_text(weights.tolist())}"
    return join(
        [
            element("p", f"{text}."),
            source.once("slices", lambda: _stacks(results)),
            element("div", shown(source, "phase_sum.png", "phase_slices.png"), class_="pair"),
            shown(source, "virtual.png"),
            shown(source, "depth_sections.png", "fourier.png"),
        ]
    )


def _stacks(results: Results) -> Html:
    """Phase and, if it is not 1 everywhere, amplitude of the slices; the modes, if several."""
    stacks = [object_slices(results)]
    if np.ptp(results.amplitude) > ROUNDING:
        stacks.append(object_slices(results, "amplitude"))
    parts = [element("div", join(stacks), class_="pair linked")]
    if len(results.phase) > 1:
        parts.append(object_modes(results))
    return join(parts)


def probe_section(source: Source) -> Html:
    """The probe modes."""
    return shown(source, "probe_modes.png")


def positions_section(source: Source) -> Html:
    """Where the positions went."""
    return shown(source, "positions.png")


def unknowns_section(source: Source) -> Html:
    """Tilt, thickness, occupancy and aberrations: final values and curves, where there are any."""
    results = source.results
    values: list[tuple[str, str]] = []
    if (tilt := results.tilt).any():
        suffix = ", mean over the positions" if len(tilt) > 1 else ""
        values.append((f"tilt (y, x){suffix}", f"{value_text(tilt.mean(axis=0).tolist())} mrad"))
    if results.gaps is not None and results.gaps.size:
        gaps = results.gaps.tolist()
        same = len(set(gaps)) == 1
        values.append(("distance of slices", f"{value_text(gaps[:1] if same else gaps)} Å"))
    values += [(f"aberration {k}", f"{value_text(v)} Å") for k, v in results.aberrations.items()]
    figures = shown(source, "unknowns.png", "thickness.png", "tilt.png")
    return join([facts(values) if values else "", figures])


def fit_section(source: Source) -> Html:
    """Measured and simulated patterns of each snapshot, under a slider."""
    factors = {snapshot.iteration: snapshot.r_factor for snapshot in source.results.snapshots}
    found = sorted(
        (int(match[1]), source.figures[name])
        for name in source.figures
        if (match := _FORWARD.fullmatch(name))
    )
    if not found:
        return Html()
    kept = found
    if len(found) > _MOST_SNAPSHOTS:
        chosen = np.rint(np.linspace(0, len(found) - 1, _MOST_SNAPSHOTS)).astype(int)
        kept = [found[i] for i in chosen]
    pictures = []
    for iteration, png in kept:
        when = f"after iteration {iteration}" if iteration else "before the first iteration"
        r = f", R = {value_text(float(factors[iteration]))}" if iteration in factors else ""
        alt = f"Measured and simulated patterns and their difference, {when}{r}"
        pictures.append(Picture(png, alt, f"{when}{r}"))
    left_out = len(found) - len(kept)
    caption = (
        "Some patterns as measured and as simulated, on one scale, and the difference of their "
        "square roots, which should look like noise. "
        + (f"{count(left_out, 'snapshot')} in between left out." if left_out else "")
    )
    return figure(pictures, caption, what="Snapshot", chosen=len(pictures) - 1)


def further_section(source: Source) -> Html:
    """Figures in the run's folder that this page knows nothing about."""
    names = [n for n in source.figures if n not in _CAPTIONS and not _FORWARD.fullmatch(n)]
    return join(
        figure([Picture(source.figures[name], text)], text)
        for name in names
        if (text := f"{label(name.removesuffix('.png'))}.")
    )
