"""The state of a run on disk: all that a resumed run needs to go on as if never stopped."""

from __future__ import annotations

import math
import zipfile
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastpty
from fastpty.atomic import atomic_path
from fastpty.config.differences import differences
from fastpty.config.plan import Stage
from fastpty.convergence import restore_model
from fastpty.errors import ConfigError, DataError
from fastpty.recon import Reconstruction
from fastpty.results import History, Snapshot

__all__ = ["CHECKPOINT_NAME", "read_checkpoint", "write_checkpoint"]

CHECKPOINT_NAME = "checkpoint.pt"
FORMAT_VERSION = 6

_ANEW = "Start a new run without --resume."

# Fields that may differ between the run that stopped and the one that goes on. Files may have
# moved: what they hold is compared instead. When a stage ends is not what it does, and the stages
# are compared one by one.
_FREE_FIELDS = (
    "output",
    "device",
    "memory",
    "truth",
    "convergence",
    "plan",
    "optimise",
    "loss",
    "constraints",
    "data.path",
    "data.scratch",
    "data.mask.path",
    "scan.positions.path",
    "probe.start.path",
    "preprocess.*.path",
    "object.tilts.path",
    "start.file",
)


def write_checkpoint(run: Reconstruction, path: Path) -> None:
    """Write the state after the last finished iteration, whole or not at all.

    Raises
    ------
    OSError : the disk is full or the folder cannot be written; an earlier file stays.
    """
    model = run.model
    state = {
        "format_version": FORMAT_VERSION,
        "fastpty_version": fastpty.__version__,
        "config": run.config.model_dump(mode="json"),
        "stages": [_content(stage) for stage in run.stages],
        "stage": run.stage.number,
        "diverged": run.diverged,
        "iteration": run.iteration,
        "data": _fingerprint(run),
        "unknowns": {name: tensor.detach() for name, tensor in model.unknowns.items()},
        "corner": model.corner,
        "engine": run.engine.state(),
        # Sums over parts have other roundings than those over whole batches.
        "part": run.parts.largest,
        "history": asdict(run.history),
        "snapshots": [
            {
                "iteration": s.iteration,
                "index": torch.from_numpy(s.index),
                "measured": torch.from_numpy(s.measured),
                "simulated": torch.from_numpy(s.simulated),
                "r_factor": s.r_factor,
            }
            for s in run.snapshots
        ],
    }
    with atomic_path(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # torch's word for a write that failed
            raise OSError(f"writing failed: {_first_line(error)}") from error


def read_checkpoint(run: Reconstruction, path: Path) -> None:
    """Bring a freshly built run to the state of a checkpoint.

    Raises
    ------
    DataError : there is none, it is damaged, or of other data.
    ConfigError : the config differs from the one that the checkpoint was made with.
    """
    if not path.is_file():
        raise DataError("--resume", f"there is no {path}.", "Start the run without --resume.")
    try:
        _check_sums(path)
        state = torch.load(path, map_location=run.model.probe.device, weights_only=True)
    except Exception as error:  # whatever the unpickler makes of arbitrary bytes
        raise DataError(
            str(path), f"is damaged or no checkpoint ({type(error).__name__}).", _ANEW
        ) from error
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        raise DataError(str(path), "is no checkpoint of this version of fastpty.", _ANEW)
    try:
        _same_config(run, state)
        _same_data(path, _fingerprint(run), state["data"])
        _restore(run, state)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise DataError(str(path), f"is incomplete ({_first_line(error)}).", _ANEW) from error


def _check_sums(path: Path) -> None:
    """torch writes a zip archive with checksums, and does not compare them on reading."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def _restore(run: Reconstruction, state: dict[str, Any]) -> None:
    if missing := run.model.unknowns.keys() - state["unknowns"].keys():
        raise ConfigError(
            "plan",
            f"moves {', '.join(sorted(missing))}, which the run that --resume goes on with had "
            "fixed from the first stage to the last.",
            "Take its reconstruction.h5 as start.file of a new run.",
        )
    restore_model(run.model, state["unknowns"], state["corner"])
    run.iteration = state["iteration"]
    run.diverged = state["diverged"]
    run.history = History(**state["history"])
    run.parts.at_most(state["part"])
    run.begin_stage(state["stage"])
    run.engine.load_state(state["engine"])
    good = run.measurements.patterns.centred_mask
    run.snapshots = [
        Snapshot(
            s["iteration"],
            s["index"].cpu().numpy(),
            s["measured"].cpu().numpy(),
            s["simulated"].cpu().numpy(),
            s["r_factor"],
            good,
        )
        for s in state["snapshots"]
        # What was the final state of a shorter run is no longer, if this one goes further.
        if run.finished or s["iteration"] in run.config.output.snapshots
    ]


def _fingerprint(run: Reconstruction) -> dict[str, Any]:
    """What tells one set of patterns, positions and mask from another."""
    patterns = run.measurements.patterns
    start = run.model.positions_start
    # Of another weight each: a raster that is mirrored has the same mean and deviation.
    order = np.linspace(0, 1, len(start))
    return {
        "shape": list(patterns.shape),
        "object": list(run.model.phase.shape),
        "numbers": [
            patterns.scale,
            run.model.power_start,
            *start.mean(axis=0).tolist(),
            *start.std(axis=0).tolist(),
            *(order @ start / len(start)).tolist(),
        ],
    }


def _same_data(path: Path, now: dict[str, Any], then: dict[str, Any]) -> None:
    close = len(now["numbers"]) == len(then["numbers"]) and all(
        # Equal but for the rounding of sums, which another machine may take in another order.
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
        for a, b in zip(now["numbers"], then["numbers"], strict=True)
    )
    same_shapes = now["shape"] == then["shape"] and now["object"] == then["object"]
    if not close or not same_shapes:
        found = (
            "other values in arrays of the same shapes"
            if same_shapes
            else f"{then['shape']} patterns and an object of {then['object']}; these are "
            f"{now['shape']} and {now['object']}"
        )
        raise DataError(
            str(path),
            f"was made from other data: {found}.",
            "Restore the data, positions or mask, or start a new run in another folder.",
        )


def _first_line(error: Exception) -> str:
    """torch explains at length; the first line says what happened."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _content(stage: Stage) -> dict[str, Any]:
    return {"iterations": stage.iterations, **stage.settings()}


def _same_config(run: Reconstruction, state: dict[str, Any]) -> None:
    """Stages that have begun may not differ; the present one may have other iterations and, after
    it has diverged, other settings."""
    present = state["stage"]
    if present >= len(run.stages):
        raise ConfigError(
            "plan",
            f"has {len(run.stages)} stages; the run that --resume goes on with is in stage "
            f"{present + 1}.",
            "Restore those that have begun, or start a new run in another folder.",
        )
    changed = {
        name: values
        for name, values in differences(run.config.model_dump(mode="json"), state["config"]).items()
        if not any(fnmatchcase(name, free) or name.startswith(f"{free}.") for free in _FREE_FIELDS)
    }
    for stage, then in zip(run.stages[: present + 1], state["stages"], strict=False):
        now = _content(stage)
        free = ["iterations"] * (stage.number == present)
        if state["diverged"] and stage.number == present:
            free += ["optimise", "loss", "constraints"]
        for name in set(now) & set(then) - set(free):
            field = stage.iterations_field if name == "iterations" else f"{stage.field}{name}"
            changed |= differences(now[name], then[name], f"{field}.")
    if changed:
        changed = dict(sorted(changed.items()))
        found = ", ".join(f"{a!r} instead of {b!r}" for a, b in changed.values())
        raise ConfigError(
            ", ".join(changed),
            f"differs from the run that --resume goes on with: {found}.",
            "Restore the old value, or start a new run in another folder.",
        )
