"""The command line: thin, no physics."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import fastpty
from fastpty.cli.common import (
    EXIT_USER_ERROR,
    AsJson,
    ConfigFile,
    DataOverrides,
    Dataset,
    Debug,
    Overrides,
    ScanShape,
    State,
    go_on,
    is_first,
    launched,
    load,
    output_folder,
    print_notes,
)
from fastpty.cli.frc import frc
from fastpty.cli.schema import schema
from fastpty.cli.studies import ablate, tune
from fastpty.cli.watch import watch
from fastpty.errors import FastptyError, MemoryShortageError, OutputError

__all__ = ["app", "main"]

app = typer.Typer(
    name="fastpty",
    help="Electron ptychography: multislice, mixed-state reconstruction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point: user errors become one paragraph and exit code 2."""
    try:
        app()
    except FastptyError as error:
        if State.debug:
            traceback.print_exc()
            sys.exit(EXIT_USER_ERROR)
        # What stops all processes is said by the first; but memory may be short in one alone.
        if not is_first() and not isinstance(error, MemoryShortageError):
            sys.exit(EXIT_USER_ERROR)
        console = Console(stderr=True)
        console.print("[bold red]Error:[/bold red]", end=" ")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(EXIT_USER_ERROR)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fastpty {fastpty.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Electron ptychography: multislice, mixed-state reconstruction."""
    if launched() > 1 and context.invoked_subcommand != "recon":
        raise FastptyError(
            "torchrun",
            f"has started {launched()} processes of fastpty {context.invoked_subcommand}, which "
            "is one.",
            "Run it without torchrun: only recon is shared by several.",
        )


@app.command()
def recon(
    config_file: ConfigFile,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="output folder, instead of the config's")
    ] = None,
    overrides: Overrides = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda, instead of the config's")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the checkpoint")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace the results of an earlier run")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Reconstruct: config file in, folder of results and figures out."""
    from fastpty.distributed import joined
    from fastpty.job import run_job

    if resume and overwrite:
        raise FastptyError("--resume", "and --overwrite contradict each other.", "Give one.")
    console = Console(stderr=as_json, quiet=not is_first())
    config = load(config_file, overrides, device, console)
    folder = output or output_folder(config, config_file)
    with joined() as processes:
        report = run_job(
            config,
            config_file.parent,
            folder,
            console,
            resume=resume,
            overwrite=overwrite,
            processes=processes,
        )
    if as_json and processes.first:
        typer.echo(json.dumps(report.summary))
    if not report.finished:
        chosen = "" if output is None else f" -o {output}"
        go_on(f"fastpty recon {config_file}{chosen}", console)


app.command()(frc)
app.command()(tune)
app.command()(ablate)


@app.command()
def validate(
    config_file: ConfigFile,
    overrides: Overrides = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check a config and its data, and say what a run would do; nothing is written."""
    from dataclasses import asdict

    from fastpty.job import print_preflight, set_up
    from fastpty.preflight import preflight

    console = Console(stderr=as_json)
    run, _ = set_up(load(config_file, overrides, device, console), config_file.parent)
    findings = preflight(run)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
        return
    console.print(f"[bold]{run.measurements.source}[/bold] on {run.model.probe.device}")
    print_preflight(findings, console)
    warnings = sum(bool(finding.warning) for finding in findings)
    console.print(
        "The config is valid."
        + (f" {warnings} warning{'s' * (warnings != 1)}." if warnings else "")
    )


@app.command()
def info(
    data_file: Annotated[
        Path | None, typer.Argument(help="recorded patterns; none: this installation")
    ] = None,
    dataset: Dataset = None,
    scan_shape: ScanShape = None,
    overrides: DataOverrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """What a data file holds and what a config for it says; without a file, this installation."""
    console = Console()
    if data_file is None:
        from fastpty.info import installation

        if dataset or scan_shape or overrides:
            raise FastptyError("info", "has options for a data file, but none is named.")
        content = installation()
    else:
        from fastpty.config.init import data_section
        from fastpty.describe import config_lines, describe

        options = {"dataset": dataset, "scan_shape": scan_shape}
        content = describe(data_file, data_section(data_file, options, overrides or []))
    if as_json:
        typer.echo(json.dumps(content))
        return
    lines = [] if data_file is None else config_lines(content.pop("config"))
    _print_tree(content, console)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def calibrate(
    file: Annotated[
        Path, typer.Argument(help="recorded patterns, or a config (YAML)", show_default=False)
    ],
    overrides: Overrides = None,
    write: Annotated[
        Path | None, typer.Option("--write", help="write a config with what was found")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="folder for calibration.png")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find disc, rotation and flips of the scan, and a first defocus, from the patterns."""
    from fastpty.calibrate import numbers, run_calibration

    folder = output or Path("output") / file.stem
    console = Console(stderr=as_json)
    found = run_calibration(file, overrides or [], folder, write, console, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(numbers(found)))


@app.command()
def init(
    data_file: Annotated[Path, typer.Argument(help="recorded patterns", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="config file; default: <data>.yaml")
    ] = None,
    dataset: Dataset = None,
    scan_shape: ScanShape = None,
    overrides: DataOverrides = None,
    debug: Debug = False,
) -> None:
    """Write a commented config for a data file."""
    from fastpty.config.init import data_section, initial_config
    from fastpty.conversions import refuse_existing, write_text
    from fastpty.io import open_scan

    target = output or Path(f"{data_file.stem}.yaml")
    refuse_existing(target)
    options = {"dataset": dataset, "scan_shape": scan_shape}
    section = data_section(data_file, options, overrides or [])
    with open_scan(data_file, **section.reading) as scan:
        text = initial_config(data_file.resolve(), scan, section)
    write_text(target, text)
    typer.echo(f"{target} written; look for FILL IN, then run: fastpty validate {target}")


@app.command()
def convert(
    params_file: Annotated[
        Path, typer.Argument(help="PtyRAD's parameters: YAML, JSON or TOML", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="config file; default: <params>_fastpty.yaml"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a PtyRAD parameter file as a config, with comments on what each field became."""
    from fastpty.conversions import convert_params

    target = output or Path(f"{params_file.stem}_fastpty.yaml")
    print_notes(convert_params(params_file, target), Console())
    typer.echo(f"{target} written; run: fastpty recon {target}")


@app.command()
def export(
    source: Annotated[
        Path, typer.Argument(help="folder of a run, or its reconstruction.h5", show_default=False)
    ],
    tiff: Annotated[bool, typer.Option("--tiff", help="images and stacks for ImageJ")] = False,
    ptyrad: Annotated[
        Path | None,
        typer.Option("--ptyrad", metavar="FILE", help="a model file from which PtyRAD can start"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="folder of --tiff; default: tiff beside the result"),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="override a field: output.tiff.area=full"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace earlier files")] = False,
    debug: Debug = False,
) -> None:
    """Write a finished reconstruction in another program's format."""
    from fastpty.conversions import export_ptyrad, export_tiff
    from fastpty.results import RESULT_NAME, read_results

    if not tiff and ptyrad is None:
        raise FastptyError("export", "is told no format.", "Add --tiff or --ptyrad FILE.")
    path = source / RESULT_NAME if source.is_dir() else source
    results = read_results(path)
    if ptyrad is not None:
        export_ptyrad(results, ptyrad, overwrite)
        typer.echo(f"{ptyrad} written")
    if tiff:
        folder = output or path.parent / "tiff"
        files = export_tiff(results, folder, overrides or [], overwrite)
        typer.echo(f"{len(files)} files written to {folder}")


@app.command()
def report(
    source: Annotated[
        Path, typer.Argument(help="folder of a run, or its reconstruction.h5", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="HTML file; default: report.html beside the result"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier file")] = False,
    debug: Debug = False,
) -> None:
    """Write one HTML page about a run: data, plan, figures, numbers."""
    from fastpty.report import REPORT_NAME, write_report

    target = output or (source if source.is_dir() else source.parent) / REPORT_NAME
    if target.exists() and not overwrite:
        raise OutputError(
            str(target), "exists already.", "Choose another name with -o, or allow --overwrite."
        )
    write_report(source, target)
    typer.echo(f"{target} written")


app.command()(watch)


app.command()(schema)


@app.command()
def simulate(
    config_file: ConfigFile,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="data file, instead of the config's")
    ] = None,
    overrides: Overrides = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an earlier data file")
    ] = False,
    debug: Debug = False,
) -> None:
    """Simulate a 4D-STEM data set: atoms in, HDF5 out."""
    from rich.progress import Progress

    from fastpty.config import load_config
    from fastpty.simulate import SimulateConfig
    from fastpty.simulate import simulate as run_simulation

    config = load_config(SimulateConfig, config_file, overrides or [])
    target = output or Path(config.output)
    if target.exists() and not overwrite:
        raise OutputError(
            str(target), "exists already.", "Choose another name with -o, or allow --overwrite."
        )
    console = Console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("simulating", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        path = run_simulation(config, target, progress=advance)
    console.print(f"{path} written.", highlight=False, soft_wrap=True)


def _print_tree(content: dict[str, Any], console: Console, indent: str = "") -> None:
    for key, value in content.items():
        if isinstance(value, dict):
            console.print(f"{indent}{key}", highlight=False)
            _print_tree(value, console, indent + "  ")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            text = "none" if shown in (None, "") else str(shown)
            console.print(f"{indent}{key}: {text}", highlight=False, markup=False, soft_wrap=True)
