"""The state of a run on disk: all that a resumed run needs to go on as if never stopped."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastpty
from fastpty.atomic import atomic_path
from fastpty.errors import ConfigError, DataError
from fastpty.recon import Reconstruction
from fastpty.results import History, Snapshot

__all__ = ["CHECKPOINT_NAME", "read_checkpoint", "write_checkpoint"]

CHECKPOINT_NAME = "checkpoint.pt"
FORMAT_VERSION = 1

# Fields that may differ between the run that stopped and the one that goes on.
_FREE_FIELDS = ("output", "device", "truth", "optimise.iterations")


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
        "iteration": run.iteration,
        "unknowns": {name: tensor.detach() for name, tensor in model.unknowns.items()},
        "corner": model.corner,
        "positions_start": torch.from_numpy(model.positions_start),
        "optimiser": run.engine.state(),
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
        torch.save(state, temporary)


def read_checkpoint(run: Reconstruction, path: Path) -> None:
    """Bring a freshly built run to the state of a checkpoint.

    Raises
    ------
    DataError : there is none, it is damaged, or of another model.
    ConfigError : the config differs from the one that the checkpoint was made with.
    """
    if not path.is_file():
        raise DataError("--resume", f"there is no {path}.", "Start the run without --resume.")
    try:
        state = torch.load(path, map_location=run.model.probe.device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise DataError(str(path), f"is damaged ({error}).", "Start without --resume.") from error
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        raise DataError(str(path), "is no checkpoint of this version of fastpty.")
    _same_config(run.config.model_dump(mode="json"), state["config"])
    model = run.model
    with torch.no_grad():
        for name, tensor in model.unknowns.items():
            saved = state["unknowns"][name]
            if saved.shape != tensor.shape:
                raise DataError(
                    str(path),
                    f"holds {name} of shape {list(saved.shape)}; the data give "
                    f"{list(tensor.shape)}.",
                    "Has the data file changed?",
                )
            tensor.copy_(saved)
        model.corner.copy_(state["corner"])
    model.positions_start = state["positions_start"].cpu().numpy()
    run.engine.load_state(state["optimiser"])
    run.iteration = state["iteration"]
    run.history = History(**state["history"])
    mask = run.measurements.patterns.mask
    good = None if mask is None else np.fft.fftshift(mask.cpu().numpy())
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
    ]


def _same_config(now: dict[str, Any], then: dict[str, Any]) -> None:
    changed = [
        name
        for name in _differing(now, then)
        if not any(name == free or name.startswith(f"{free}.") for free in _FREE_FIELDS)
    ]
    if changed:
        raise ConfigError(
            ", ".join(changed),
            "differs from the run that --resume goes on with.",
            "Restore the old value, or start a new run in another folder.",
        )


def _differing(now: Any, then: Any, prefix: str = "") -> list[str]:
    if isinstance(now, dict) and isinstance(then, dict):
        keys = sorted(now.keys() | then.keys())
        return [
            name
            for key in keys
            for name in _differing(now.get(key), then.get(key), f"{prefix}{key}.")
        ]
    return [] if now == then else [prefix.rstrip(".")]
