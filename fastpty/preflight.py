"""What a run will do, and what looks wrong, before it starts: minutes that may save hours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastpty.config.constraints import ConstraintConfig
from fastpty.config.optimise import FULL_BATCH
from fastpty.config.plan import Stage
from fastpty.recon import Reconstruction

__all__ = ["Finding", "preflight"]

# A scan denser than this linear overlap of neighbouring probes reconstructs well; below it, the
# solution is no longer unique (Bunk et al., Ultramicroscopy 108 (2008) 481: 60 % is the optimum).
LEAST_OVERLAP = 0.5
# Even a point-like reflection spreads over its neighbours by more than a tenth.
HOT = 10.0

# Iterations of L-BFGS between two constraints below which it is hardly faster than without memory.
FEWEST_STEPS = 5

_IDLE = (
    "no unknown moves: its iterations only tell the loss; give one a learning rate, and a start "
    "that is not after the last iteration"
)

# Of the average over a source, relative to that of a point.
LARGEST_SOURCE_ERROR = 0.05


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``warning`` is empty when nothing looks wrong."""

    subject: str
    text: str
    warning: str = ""


def preflight(run: Reconstruction) -> list[Finding]:
    """What the steps on the data did; then memory, sampling, overlap, canvas and dose."""
    findings = [
        Finding("preprocess", f"{step.name}: {step.text}", step.warning)
        for step in run.measurements.steps
    ]
    findings += [_patterns(run), _sampling(run)]
    if len(run.fitted) < run.measurements.patterns.shape[0]:
        findings.append(_fitted(run))
    if run.config.beam is not None:
        findings.append(_disc(run))
    findings += [_probe(run), _canvas(run), _memory(run)]
    if run.model.source is not None:
        findings.append(_source(run, run.model.source))
    if any(stage.loss.similarity is not None for stage in run.stages):
        findings.append(_similarity(run))
    findings += [_shear(stage) for stage in run.stages if _shears(run, stage)]
    return findings + _plan(run)


def _plan(run: Reconstruction) -> list[Finding]:
    """A row for each stage: name, iterations, positions, optimiser, and what it moves."""
    rows = []
    for stage, visited in zip(run.stages, run.all_visited, strict=True):
        moved = ", ".join(_moved(run, stage)) or "nothing"
        shape = visited.scan_shape
        rows.append(
            (
                stage.name,
                f"{stage.iterations} iteration{'s' * (stage.iterations != 1)}",
                f"{shape[0]} x {shape[1]} positions" if shape else f"{len(visited)} positions",
                stage.optimise.method,
                f"moves {moved}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    findings = []
    for stage, row in zip(run.stages, rows, strict=True):
        warning = _forgotten(run, stage) or _rescaled(stage) if _moved(run, stage) else _IDLE
        if run.config.plan or warning:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            subject = f"plan.{stage.number}" if run.config.plan else "optimise"
            findings.append(Finding(subject, "  ".join(cells).strip(), warning))
    given = run.config.optimise.iterations
    if run.config.plan and given != run.config.iterations:
        findings.append(
            Finding(
                "iterations",
                f"{run.config.iterations} in all stages together",
                f"optimise.iterations = {given} has no effect beside a plan: remove it, and set "
                "those of the stages, such as plan.0.iterations",
            )
        )
    return findings


def _moved(run: Reconstruction, stage: Stage) -> list[str]:
    """The unknowns that move in a stage: not those whose first iteration is after its last."""
    settings = stage.optimise
    moving = filter(settings.moves, run.model.unknowns)
    return [name for name in moving if settings.parameter(name).start <= stage.iterations]


def _forgotten(run: Reconstruction, stage: Stage) -> str:
    """Constraints that leave L-BFGS no two iterations to learn the curvature from."""
    if stage.optimise.method != FULL_BATCH:
        return ""
    acting = [
        name
        for name, section in stage.constraints
        if isinstance(section, ConstraintConfig) and section.every < FEWEST_STEPS
    ]
    acting += [entry.call for entry in stage.constraints.custom if entry.every < FEWEST_STEPS]
    if stage.optimise.aberrations.lr > 0:
        acting.append("aberrations, which move the probe,")
    if not acting:
        return ""
    return (
        f"{', '.join(acting)} in each iteration, or nearly: L-BFGS forgets the curvature whenever "
        f"a constraint moves an unknown; switch them off in {stage.field}constraints, or let them "
        f"act every {FEWEST_STEPS} iterations or less often"
    )


def _rescaled(stage: Stage) -> str:
    """A constraint that takes back what a PIE has shared between probe and object."""
    if not (stage.optimise.projects and stage.optimise.moves("probe")):
        return ""
    if stage.constraints.probe_power is None:
        return ""
    return (
        f"{stage.field}constraints.probe_power scales the probe and not the object: what "
        f"{stage.optimise.engine} has found is wrong by a factor after each iteration; switch it "
        "off"
    )


def _patterns(run: Reconstruction) -> Finding:
    patterns = run.measurements.patterns
    count, ny, nx = patterns.shape
    scan = run.measurements.scan_shape
    layout = f"{scan[0]} x {scan[1]} scan" if scan else f"{count} positions"
    total = float(patterns.mean.sum())
    text = (
        f"{layout}, {ny} x {nx} px, {total:.3g} counts in the mean pattern, "
        f"{patterns.dtype.name} in {_gib(patterns.nbytes)}"
    )
    hot = _hot_pixels(patterns.mean)
    if not hot:
        return Finding("patterns", text)
    return Finding(
        "patterns",
        text,
        f"{hot} pixels are over {HOT:g} times brighter than all around them: hot? see hot_pixels",
    )


def _fitted(run: Reconstruction) -> Finding:
    """How many patterns take part, and how many judge the fit without being in it."""
    data, left_out = run.config.data, run.all_visited[-1].left_out
    text = f"{len(run.fitted)} of {run.measurements.patterns.shape[0]} patterns"
    if data.half is not None:
        text += f", half {data.half.part} ({data.half.split})"
    if len(left_out):
        text += f"; free R factor of {len(left_out)} others"
    return Finding("fitted", text)


def _hot_pixels(mean: NDArray[np.float64]) -> int:
    """Pixels of the mean pattern that stand alone, and count beside the bright field.

    The second largest value of the 3 x 3 pixels around a peak is its brightest neighbour; the
    largest of these is a level that no lone pixel can make. A beam that fills one detector pixel
    would be called hot, but nothing interferes in such a pattern.
    """
    around = sliding_window_view(np.pad(mean, 1, mode="wrap"), (3, 3))
    second = np.sort(around.reshape(*mean.shape, 9), axis=-1)[..., -2]
    return int(((mean > HOT * second) & (mean > 0.5 * second.max())).sum())


def _sampling(run: Reconstruction) -> Finding:
    pixel, wavelength = run.measurements.pixel_size, run.measurements.wavelength
    ny, nx = run.measurements.patterns.shape[1:]
    if pixel is None or wavelength is None:
        return Finding("sampling", "pixel units")
    dk = [1 / (n * d) for n, d in zip((ny, nx), pixel, strict=True)]
    edge = min(dk[0] * ny, dk[1] * nx) / 2 * wavelength * 1e3
    text = (
        f"dx {_pair(pixel)} A, dk {_pair(dk)} 1/A, window {_pair((ny * pixel[0], nx * pixel[1]))}"
        f" A, detector edge {edge:.4g} mrad, wavelength {wavelength:.5g} A"
    )
    return Finding("sampling", text)


def _disc(run: Reconstruction) -> Finding:
    disc, pixel = run.measurements.disc, run.measurements.pixel_size
    beam, wavelength = run.config.beam, run.measurements.wavelength
    if beam is None or pixel is None or wavelength is None:
        return Finding("bright field", "unknown in pixel units")
    ny, nx = run.measurements.patterns.shape[1:]
    k = beam.semiangle_mrad * 1e-3 / wavelength
    expected = math.sqrt(k * ny * pixel[0] * k * nx * pixel[1])
    text = (
        f"radius {disc.radius:.1f} px measured, {expected:.1f} px expected; centre "
        f"[{disc.centre[0]:.1f}, {disc.centre[1]:.1f}]"
    )
    warnings = []
    if abs(disc.radius / expected - 1) > 0.1:
        warnings.append("radii differ: check calibration, energy_kv, semiangle_mrad")
    off = math.hypot(disc.centre[0] - ny // 2, disc.centre[1] - nx // 2)
    if off > max(1.0, 0.05 * disc.radius):
        warnings.append(f"the disc is {off:.1f} px off [{ny // 2}, {nx // 2}]: tilts the phase")
    return Finding("bright field", text, "; ".join(warnings))


def _probe(run: Reconstruction) -> Finding:
    """Size of the probe at the specimen, its overlap with its neighbours, and its margin."""
    power = run.model.probe.detach().abs().square().sum(0).cpu().numpy()
    diameter = _diameter(power)
    step = _nearest_distance(run.model.positions_start[run.fitted])
    overlap = max(0.0, 1 - step / diameter)
    pixel = run.measurements.pixel_size
    unit, scale = ("px", 1.0) if pixel is None else ("A", math.sqrt(pixel[0] * pixel[1]))
    text = (
        f"diameter {diameter * scale:.3g} {unit} (90 % of the intensity), nearest neighbour "
        f"{step * scale:.3g} {unit}, overlap {100 * overlap:.0f} %"
    )
    warnings = []
    if overlap < LEAST_OVERLAP:
        warnings.append("little overlap: the phase may be ambiguous; defocus more or scan denser")
    border = _border_share(power)
    if border > 0.05:
        warnings.append(
            f"{100 * border:.0f} % of the probe lies at the window's border: it wraps round; "
            "use a smaller dk (larger window) or less defocus"
        )
    if run.model.aberrations is not None and not run.config.moves("aberrations"):
        warnings.append("probe.aberrations stay as they are: optimise.aberrations.lr is 0")
    return Finding("probe", text, "; ".join(warnings))


def _canvas(run: Reconstruction) -> Finding:
    modes, slices, height, width = run.model.phase.shape
    text = f"{modes} x {slices} slices of {height} x {width} px"
    thickness = run.model.thickness
    if thickness is not None:
        # The last slice is as thick as the mean of the others.
        text += f", {slices * float(thickness.detach().mean()):.4g} A thick"
        beam = run.config.beam
        if beam is not None and run.measurements.wavelength is not None:
            depth = 2 * run.measurements.wavelength / (beam.semiangle_mrad * 1e-3) ** 2
            text += f" (aperture-limited depth resolution {depth:.3g} A)"
    idle = slices == 1 and run.model.tilt is not None
    warning = "a single slice is never propagated, so its tilt does nothing" if idle else ""
    return Finding("object", text, warning)


def _source(run: Reconstruction, source: tuple[Any, Any]) -> Finding:
    """How well the points stand for the source: on a pattern's dependence on the position, at
    frequencies up to that of the aperture's radius, where the interference of discs is largest."""
    shift, weight = (tensor.double().cpu().numpy() for tensor in source)
    modes = len(run.model.probe)
    text = f"{len(weight)} points, so {modes * len(weight)} modes instead of {modes}"
    beam, pixel, wavelength = run.config.beam, run.measurements.pixel_size, run.model.wavelength
    if beam is None or pixel is None or wavelength is None:
        return Finding("source", text)
    size = run.config.probe.source_size
    omega = 2 * np.pi * np.linspace(0, beam.semiangle_mrad * 1e-3 / wavelength, 65)
    found = np.cos(omega[:, None] * shift[:, 0] * pixel[0]) @ weight
    error = float(np.abs(found - np.exp(-0.5 * (omega * size) ** 2)).max())
    few = f"they are off by {100 * error:.0f} % at the aperture's edge: more probe.source_points"
    return Finding("source", text, few if error > LARGEST_SOURCE_ERROR else "")


def _similarity(run: Reconstruction) -> Finding:
    modes = len(run.model.phase)
    warning = "" if modes > 1 else "one object mode has nothing to be similar to: it is always zero"
    return Finding("loss.similarity", f"between {modes} object modes", warning)


def _shears(run: Reconstruction, stage: Stage) -> bool:
    """Whether tilt and object are free together, and nothing says which of them is to change."""
    tilt, rates, constraints = run.model.tilt, stage.optimise, stage.constraints
    common = tilt is not None and len(tilt) == 1 and rates.tilt.lr > 0
    couplings = (constraints.blur_z, constraints.missing_wedge, constraints.total_variation_z)
    return common and rates.phase.lr > 0 and not any(couplings)


def _shear(stage: Stage) -> Finding:
    return Finding(
        f"{stage.field}tilt",
        "of the whole scan, with a free object",
        "the object can shear instead, slice by slice, with the same patterns: couple its slices "
        "by blur_z, missing_wedge or total_variation_z, or fix one of the two",
    )


def _memory(run: Reconstruction) -> Finding:
    """What goes where, and what it comes to."""
    plan, part = run.memory, run.parts.largest
    of = "" if plan.available is None else f" of {_gib(plan.available)}"
    patterns = {
        "device": f"patterns {_gib(plan.patterns)}",
        "host": "patterns in the host's memory",
    }.get(plan.place, f"patterns on the disk, in {plan.place}")
    waves = f"waves of a batch {_gib(plan.waves)}"
    if plan.limit is not None:
        waves += f" ({_gib(plan.limit)} of them kept, the others computed anew)"
    if part is not None:
        waves += f", in parts of {part} pattern{'s' * (part != 1)}"
    text = (
        f"about {_gib(plan.total)}{of} at the peak: {patterns}, {waves}, unknowns with gradients "
        f"and moments {_gib(plan.unknowns)}"
    )
    if not plan.fits:
        warning = (
            f"only {_gib(plan.available or 0)} are free: lower optimise.batch_size, or take fewer "
            "modes or slices"
        )
        return Finding("memory", text, warning)
    if part is not None:
        text += "; the steps are those of whole batches, a smaller optimise.batch_size is faster"
    return Finding("memory", text)


def _diameter(power: NDArray[np.floating]) -> float:
    """Of the circle round the probe's centre of mass that holds 90 % of its intensity, px."""
    y, x = np.indices(power.shape)
    weight = power / power.sum()
    radius = np.hypot(y - (weight * y).sum(), x - (weight * x).sum()).ravel()
    order = np.argsort(radius)
    inside = np.searchsorted(np.cumsum(weight.ravel()[order]), 0.9)
    return max(1.0, 2 * float(radius[order][min(inside, order.size - 1)]))


def _border_share(power: NDArray[np.floating]) -> float:
    """Share of the intensity in a frame one sixteenth of the window wide."""
    ny, nx = power.shape
    by, bx = max(1, ny // 16), max(1, nx // 16)
    return float(1 - power[by : ny - by, bx : nx - bx].sum() / power.sum())


def _nearest_distance(positions: NDArray[np.float64]) -> float:
    """Median distance to the nearest neighbour, px."""
    if len(positions) < 2:
        return math.inf
    # At most 256 positions are compared with all: enough for a median, cheap for any scan.
    some = positions[:: -(-len(positions) // 256)]
    distance = np.linalg.norm(some[:, None] - positions[None], axis=2)
    distance[distance == 0] = math.inf
    return float(np.median(distance.min(axis=1)))


def _pair(values: tuple[float, float] | list[float]) -> str:
    y, x = values
    return f"{y:.4g}" if math.isclose(y, x) else f"{y:.4g} x {x:.4g}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MiB"
