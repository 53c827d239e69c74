"""From a configuration file to an output folder: the work of ``fastpty recon``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

from fastpty.atomic import atomic_path
from fastpty.checkpoint import CHECKPOINT_NAME, read_checkpoint
from fastpty.config import ReconConfig, resolve_path
from fastpty.config.data import ArrayFile
from fastpty.config.tiff import TiffConfig
from fastpty.distributed import ALONE, Processes
from fastpty.errors import FastptyError, OutputError
from fastpty.export import check_tifffile, write_tables, write_tiffs
from fastpty.figures import save_figures
from fastpty.heap import keep_freed_memory
from fastpty.io import RawScan
from fastpty.measurements.views import measured_views
from fastpty.metrics import displacement
from fastpty.observers import Checkpoints, Interrupt, ProgressDisplay, ProgressFiles
from fastpty.preflight import Finding, preflight
from fastpty.quality import quality_of, quality_table
from fastpty.recon import Observer, Reconstruction
from fastpty.report import REPORT_NAME, write_report
from fastpty.results import RESULT_NAME, Results, write_results
from fastpty.truth import Truth, compare_with_truth, read_truth
from fastpty.virtual import VirtualImages, phase_beside

__all__ = [
    "JobReport",
    "print_preflight",
    "refuse_overwriting",
    "run_job",
    "say_what_comes",
    "set_up",
    "watch_over",
    "with_absolute_paths",
]

CONFIG_NAME = "config.yaml"
SUMMARY_NAME = "summary.json"
QUALITY_STEM = "quality"


@dataclass(frozen=True)
class JobReport:
    """What a job came to; ``finished`` is false when it was stopped early. Of several processes the
    first alone has a summary, and has written it."""

    folder: Path
    finished: bool
    results: Results
    summary: dict[str, Any]


def set_up(
    config: ReconConfig,
    folder: Path,
    scan: RawScan | None = None,
    scratch: Path | None = None,
    processes: Processes = ALONE,
) -> tuple[Reconstruction, Truth | None]:
    """Read everything that the config names. Its paths become absolute: a copy of it, in
    whatever folder, then means the same.

    Parameters
    ----------
    folder : relative paths in the config start here.
    scan : the recorded patterns, where they are not those of ``data.path``.
    scratch : folder for patterns that do not fit into memory; None: the system's.
    processes : which share the work; none waits for another here.

    Raises
    ------
    ConfigError, DataError : naming the field, what was found and what to do.
    """
    if config.output.tiff is not None:
        check_tifffile("output.tiff")  # now, not after hours of work
    config = with_absolute_paths(config, folder, from_file=scan is None)
    keep_freed_memory()
    run = Reconstruction.from_config(
        config, folder, scan=scan, scratch=scratch, processes=processes
    )
    if config.truth is None:
        return run, None
    return run, read_truth(Path(config.truth), run.measurements)


def with_absolute_paths(
    config: ReconConfig, folder: Path, *, from_file: bool = True
) -> ReconConfig:
    """A copy that means the same in whatever folder it stands.

    Parameters
    ----------
    folder : where relative paths start now.
    from_file : whether ``data.path`` names the patterns.

    Raises
    ------
    ConfigError : an environment variable in a path is not set.
    """

    def absolute(field: str, path: str) -> str:
        return os.path.abspath(resolve_path(field, path, folder))

    config = config.model_copy(deep=True)
    sections: dict[str, ArrayFile | None] = {
        "data": config.data if from_file else None,
        "data.mask": config.data.mask,
        "scan.positions": config.scan.positions,
        "probe.start": config.probe.start,
        "probe.vacuum": config.probe.vacuum,
        "object.tilts": config.object.tilts,
    }
    for number, step in enumerate(config.preprocess):
        files = {name: value for name, value in step if isinstance(value, ArrayFile)}
        sections |= {f"preprocess.{number}.{step.step}.{n}": file for n, file in files.items()}
    for name, section in sections.items():
        if section is not None:
            section.path = absolute(f"{name}.path", section.path)
    if config.start is not None:
        config.start.file = absolute("start.file", config.start.file)
    if config.data.scratch is not None:
        config.data.scratch = absolute("data.scratch", config.data.scratch)
    if config.truth is not None:
        config.truth = absolute("truth", config.truth)
    return config


def run_job(
    config: ReconConfig,
    folder: Path,
    output: Path,
    console: Console,
    *,
    resume: bool = False,
    overwrite: bool = False,
    scan: RawScan | None = None,
    observers: Sequence[Observer] = (),
    processes: Processes = ALONE,
) -> JobReport:
    """Reconstruct and write everything.

    Parameters
    ----------
    folder : relative paths in the config start here.
    output : folder for the results; made if need be.
    resume : go on from the checkpoint in ``output``.
    overwrite : replace the results of an earlier run in ``output``.
    scan : the recorded patterns, where they are not those of ``data.path``.
    observers : who else watches.
    processes : which share the work; the first of them prints and writes.

    Raises
    ------
    FastptyError : naming the field, what was found and what to do. Nothing is overwritten.
    """

    def begin() -> tuple[Reconstruction, Truth | None]:
        if not resume and not overwrite:
            refuse_overwriting(output)
        run, truth = set_up(config, folder, scan, output, processes)
        if resume:
            read_checkpoint(run, output / CHECKPOINT_NAME)
        return run, truth

    def announce() -> list[dict[str, Any]]:
        findings = say_what_comes(run, console)
        _prepare(output, run.config)
        return [asdict(finding) for finding in findings]

    first = processes.first
    if not first:
        console = Console(quiet=True)
    run, truth = processes.together(begin)
    checks = processes.together(announce if first else list)
    with ProgressFiles(output, checks) if first else nullcontext() as progress:
        live = [progress] if progress and config.output.progress else []
        kept = [Checkpoints(output, console)] if first else []
        watch_over(run, console, [*kept, *live, *observers])
        results = run.results()
        virtual = measured_views(run.measurements, config.output.virtual)
        if not first:
            return JobReport(output, run.finished, results, {})
        summary = _summary(run, results, output)
        summary["preflight"] = checks
        if truth is not None:
            _add_truth(summary, run, results, truth, console)
        if virtual is not None:
            summary["virtual"] = phase_beside(virtual, results)
        _write(results, summary, output)
    if config.output.figures:
        _draw(results, virtual, output / "figures", console)
    if config.output.tiff is not None:
        _export(results, config.output.tiff, output / "tiff", console)
    if config.output.report:
        _report(output, console)
    _print_summary(summary, console)
    return JobReport(output, run.finished, results, summary)


def say_what_comes(run: Reconstruction, console: Console) -> list[Finding]:
    """Data, device and preflight of a run that is set up."""
    count = run.processes.count
    each = "" if run.processes.alone else f", shared by {count} processes"
    console.print(f"[bold]{run.measurements.source}[/bold] on {run.model.probe.device}{each}")
    findings = preflight(run)
    print_preflight(findings, console)
    return findings


def watch_over(run: Reconstruction, console: Console, observers: Sequence[Observer]) -> None:
    """Run to the end, or to Ctrl-C, with its progress on the console."""
    interrupt, display = Interrupt(console), ProgressDisplay(console)
    try:
        run.run([interrupt, display, *observers])
    finally:
        interrupt.restore()
        display.close()


def _write(results: Results, summary: dict[str, Any], output: Path) -> None:
    try:
        write_results(results, output / RESULT_NAME)
        with atomic_path(output / SUMMARY_NAME) as path:
            path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        write_tables(quality_table(summary), output, QUALITY_STEM)
    except OSError as error:
        kept = (output / CHECKPOINT_NAME).exists()
        raise OutputError(
            str(output),
            f"the results could not be written ({' '.join(str(error).split())}).",
            "Make room, then go on with --resume from the checkpoint." if kept else "Make room.",
        ) from error


def print_preflight(findings: list[Finding], console: Console) -> None:
    """One line a finding, warnings below in yellow."""
    for finding in findings:
        console.print(f"  {finding.subject:<13}{finding.text}", highlight=False, soft_wrap=True)
        if finding.warning:
            console.print(
                f"  {'':<13}! {finding.warning}", style="yellow", highlight=False, soft_wrap=True
            )


def refuse_overwriting(output: Path) -> None:
    """Leave a folder alone that holds what an earlier run has left.

    Raises
    ------
    OutputError : it does.
    """
    for name in (RESULT_NAME, CHECKPOINT_NAME):
        if os.path.exists(output / name):
            raise OutputError(
                str(output),
                f"holds the {name} of an earlier run.",
                "Choose another folder with -o, go on with --resume, or allow --overwrite.",
            )


def _prepare(output: Path, config: ReconConfig) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        with atomic_path(output / CONFIG_NAME) as path:
            plain = config.model_dump(mode="json")
            path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise OutputError(str(output), f"cannot be written ({error}).", "Use -o.") from error


def _draw(results: Results, virtual: VirtualImages | None, folder: Path, console: Console) -> None:
    """Figures are a view of the results: without them the run is still whole."""
    try:
        save_figures(results, folder, virtual=virtual)
    except (FastptyError, OSError) as error:
        console.print(f"No figures: {error}", style="yellow")


def _export(results: Results, tiff: TiffConfig, folder: Path, console: Console) -> None:
    """Like the figures; ``fastpty export`` makes up for what could not be written."""
    try:
        write_tiffs(results, folder, **tiff.model_dump())
    except OutputError as error:
        console.print(f"No TIFF files: {error}", style="yellow")


def _report(output: Path, console: Console) -> None:
    """Like the figures; ``fastpty report`` makes up for it."""
    try:
        write_report(output, output / REPORT_NAME)
    except (FastptyError, OSError) as error:
        console.print(f"No report: {error}", style="yellow")


def _summary(run: Reconstruction, results: Results, output: Path) -> dict[str, Any]:
    moved = displacement(results.positions, results.positions_start)
    seconds = results.history.seconds
    return {
        "output": str(output),
        "finished": run.finished,
        "iterations": run.iteration,
        "loss": results.history.loss[-1] if results.history.loss else None,
        "terms": {k: v[-1] for k, v in results.history.terms.items()},
        "change": {k: v[-1] for k, v in results.history.change.items()},
        "passes": sum(results.history.passes),
        "stages": [asdict(ending) for ending in run.endings()],
        "r_factor": results.r_factor,
        "quality": quality_of(results),
        "seconds": sum(seconds),
        "seconds_per_iteration": float(np.median(seconds)) if seconds else None,
        "displacement_px": moved._asdict(),
        "memory": {
            **asdict(run.memory),
            "total": run.memory.total,
            "part": run.parts.largest,
            "shortages": run.parts.shortages,
        },
        "unknowns": {k: v[-1] for k, v in results.history.unknowns.items()},
        "aberrations_A": results.aberrations,
    }


def _add_truth(
    summary: dict[str, Any],
    run: Reconstruction,
    results: Results,
    truth: Truth,
    console: Console,
) -> None:
    try:
        found = compare_with_truth(results, truth, run.fitted)
    except ValueError as error:
        console.print(f"No comparison with the truth: {error}", style="yellow")
        return
    summary["truth"] = {
        "correlation": found.phase.correlation,
        "ssim": found.ssim,
        "gain": found.phase.gain,
        "shift_px": list(found.phase.shift_px),
        "position_rmse_start_px": found.position_rmse_start,
        "position_rmse_px": found.position_rmse,
        "position_rmse_centred_start_px": found.position_rmse_centred_start,
        "position_rmse_centred_px": found.position_rmse_centred,
    }


def _print_summary(summary: dict[str, Any], console: Console) -> None:
    state = "finished" if summary["finished"] else "stopped"
    loss = "-" if summary["loss"] is None else f"{summary['loss']:.5g}"
    left_out = summary["quality"]["left_out"]
    free = "" if left_out is None else f", free R factor {left_out['r_factor'] or math.nan:.4f}"
    console.print(
        f"{state} after {summary['iterations']} iterations, {summary['seconds']:.4g} s: "
        f"loss {loss}, R factor {summary['r_factor']:.4f}{free}",
        highlight=False,
        soft_wrap=True,
    )
    stages = summary["stages"]
    if len(stages) > 1 or stages[0]["ended"] == "converged":
        for stage in stages:
            console.print(stage["text"], highlight=False, soft_wrap=True)
    if "truth" in summary:
        truth = summary["truth"]
        console.print(
            f"correlation of the z-summed phase with the truth: {truth['correlation']:.3f} "
            f"(gain {truth['gain']:.3f})\n"
            f"RMS error of the positions: {truth['position_rmse_px']:.3f} px "
            f"(start {truth['position_rmse_start_px']:.3f} px)",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"results in {summary['output']}", highlight=False, soft_wrap=True)
