"""Where an iteration's time goes: ``python -m bench.profile configs/demo.yaml``.

One iteration warms up, the next ones are recorded: the last ones of the config, when everything
that it frees is free. They start from the start model, on the CPU; nothing is written but the
trace, which chrome://tracing and https://ui.perfetto.dev show. What the profiler itself takes, a
few microseconds an event, is in the numbers.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile, record_function

from fastpty import recon
from fastpty.config import ReconConfig, load_config
from fastpty.engines import passes
from fastpty.engines.tiled_adam import TiledAdam
from fastpty.measurements import Patterns
from fastpty.recon import Reconstruction

REST = "Python and the rest"

# Regions that the profiler is told of: where each is called from, and what it is called there.
REGIONS: list[tuple[str, Any, str]] = [
    ("data (batch)", Patterns, "recorded"),
    ("data (batch)", Patterns, "scaled"),
    ("forward, rest", passes, "simulate_patterns"),
    ("loss", passes, "total_loss"),
    ("backward, rest", torch.Tensor, "backward"),
    ("optimiser", torch.optim.Adam, "step"),
    ("optimiser", TiledAdam, "step"),
    ("optimiser", TiledAdam, "catch_up"),
    ("optimiser", TiledAdam, "settle"),
    ("constraints", recon, "apply_constraints"),
]

# Events inside a region that are told apart, by a part of their names; the first that fits.
EVENTS: list[tuple[str, str]] = [
    ("fft", "torch FFT"),
    ("fastpty::multislice_intensity_forward", "fused kernel, forward"),
    ("fastpty::multislice_intensity_backward", "fused kernel, backward"),
    ("fastpty::", "other ops of fastpty"),
]

ORDER = [
    "fused kernel, forward",
    "fused kernel, backward",
    "other ops of fastpty",
    "torch FFT",
    "forward, rest",
    "loss",
    "backward, rest",
    "optimiser",
    "constraints",
    "data (batch)",
    REST,
]


def main() -> None:
    """Record, print, write the trace."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--trace", type=Path, help="Chrome trace to write")
    options = parser.parse_args()

    config = load_config(ReconConfig, options.config, ["device=cpu"])
    run = Reconstruction.from_config(config, options.config.parent)
    numbers = last_iterations(config.stages[0].iterations, options.iterations)
    iterate(run, numbers[0])
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as recorded, regions():
        wall, cpu = time.perf_counter(), time.process_time()
        for number in numbers:
            iterate(run, number)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print_table(shares(recorded.events(), wall), len(numbers), wall, cpu)
    if options.trace is not None:
        options.trace.parent.mkdir(parents=True, exist_ok=True)
        recorded.export_chrome_trace(str(options.trace))
        print(f"{options.trace} written.")


def last_iterations(total: int, count: int) -> list[int]:
    """``count`` iteration numbers, the last of ``total`` where there are so many."""
    first = max(1, total - count + 1)
    return list(range(first, first + count))


def iterate(run: Reconstruction, number: int) -> None:
    """One iteration as :meth:`Reconstruction.run` does it, without records and files."""
    run.engine.run_iteration(number)
    recon.apply_constraints(run.model, run.stage.constraints, number)
    run.model.rechoose_corners()


@contextmanager
def regions() -> Iterator[None]:
    """Tell the profiler of every entry in REGIONS."""
    with ExitStack() as stack:
        for name, owner, attribute in REGIONS:
            told = _telling(name, getattr(owner, attribute))
            stack.enter_context(patch.object(owner, attribute, told))
        yield


def _telling(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def told(*arguments: Any, **settings: Any) -> Any:
        with record_function(name):
            return function(*arguments, **settings)

    return told


def shares(events: Any, wall: float) -> dict[str, float]:
    """Seconds by category: every event's own time goes to the nearest category around it."""
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        seconds[_category(event)] += event.self_cpu_time_total * 1e-6
    seconds[REST] = wall - sum(value for name, value in seconds.items() if name != REST)
    return dict(seconds)


def _category(event: Any) -> str:
    names = {name for name, _, _ in REGIONS}
    while event is not None:
        if event.name in names:
            return str(event.name)
        for part, category in EVENTS:
            if part in event.name:
                return category
        event = event.cpu_parent
    return REST


def print_table(seconds: dict[str, float], iterations: int, wall: float, cpu: float) -> None:
    """One line a category."""
    console = Console()
    console.print(
        f"{iterations} iterations, {torch.get_num_threads()} threads: "
        f"{wall / iterations:.3g} s each ({cpu / iterations:.3g} CPU seconds)"
    )
    table = Table()
    table.add_column("part")
    table.add_column("ms per iteration", justify="right")
    table.add_column("share", justify="right")
    for name in ORDER:
        value = seconds.get(name, 0.0)
        if value or name == REST:
            table.add_row(name, f"{1e3 * value / iterations:.1f}", f"{100 * value / wall:.1f} %")
    console.print(table)


if __name__ == "__main__":
    main()
