"""Processes on this machine that find each other as torchrun's do."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from fastpty.distributed import Processes, joined
from fastpty.measurements.views import measured_views
from tests.recon_cases import Tiny, tiny_run

__all__ = ["STEADY", "as_processes", "started", "tiny_shared"]

# A server that has imported torch once, of which processes are copies.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["fastpty.job", "tests.distributed.cases"])

PATIENCE = 60.0  # s

# Nothing that a rounding decides: no position half-way between two windows, and no step of Adam's
# along the gradient in a shift over a flat object, or in what else such an object does not show.
STEADY: dict[str, Any] = {
    "scan": {"step": [1.04, 1.12]},
    "optimise": {name: {"lr": 0.01, "start": 2} for name in ("positions", "tilt", "thickness")},
}


def as_processes(count: int, action: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """What an action of a module returns in each of so many processes.

    Parameters
    ----------
    action : takes its :class:`fastpty.distributed.Processes` and ``args``.
    folder : for what the processes return.
    """
    processes = started(count, action, folder, *args)
    for process in processes:
        process.join(PATIENCE)
    stuck = [process for process in processes if process.is_alive()]
    for process in stuck:
        process.kill()
    assert not stuck, f"{len(stuck)} of {count} processes do not end"
    found = [torch.load(path, weights_only=False) for path in _paths(folder, count)]
    raised = [result.text for result in found if isinstance(result, _Raised)]
    if raised:
        raise AssertionError("\n".join(raised))
    return found


def started(
    count: int, action: Callable[..., Any], folder: Path, *args: Any
) -> Sequence[BaseProcess]:
    """As :func:`as_processes`, and does not wait for them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths = _paths(folder, count)
    processes = [
        _CONTEXT.Process(target=_run, args=(rank, count, port, paths[rank], action, args))
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    return processes


class _Raised:
    def __init__(self, text: str) -> None:
        self.text = text


def _paths(folder: Path, count: int) -> list[Path]:
    return [folder / f"rank_{rank}.pt" for rank in range(count)]


def _run(
    rank: int, count: int, port: int, path: Path, action: Callable[..., Any], args: Sequence[Any]
) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        with joined() as processes:
            result = action(processes, *args)
    except Exception:
        result = _Raised(traceback.format_exc())
    torch.save(result, path)


def tiny_shared(
    processes: Processes, tiny: Tiny, changes: dict[str, Any], largest: int | None = None
) -> dict[str, Any]:
    """The tiny experiment to its end; ``largest``: patterns in a part of a batch."""
    run = tiny_run(tiny, processes, **changes)
    run.parts.largest = largest
    run.run()
    results = run.results()
    return {
        "loss": run.history.loss,
        "unknowns": {name: tensor.detach() for name, tensor in run.model.unknowns.items()},
        "measured": [snapshot.measured for snapshot in run.snapshots],
        "agreement": results.agreement["fitted"],
        "virtual": measured_views(run.measurements, run.config.output.virtual),
        "bytes": run.measurements.patterns.nbytes,
    }
