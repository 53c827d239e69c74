"""How fast, how large: fastpty against plain torch, side by side: ``python -m bench.report``.

Both sides run in turn in this process; peak memory is that of a fresh process per side, beyond what
the imports take. ``--quick`` does small sizes on few rounds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.cases import CASES, MAIN, QUICK, WAVE_BUDGET, Case, Inputs, backward_step, forward
from bench.iteration.problem import one_step
from bench.machine import machine
from bench.peak import peak_of
from bench.timing import Side, Time, in_turn, ratio
from fastpty import ops, reference

Row = dict[str, Any]

# CPU seconds per wall second and thread, below which others had a part of the cores.
LEAST_BUSY = 0.65

# Slices and modes of a whole step: those of the iteration that is timed, and the largest case.
STEPS = [(10, 4), (MAIN.slices, MAIN.modes)]
QUICK_STEPS = [(4, 2)]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--rounds", type=int, help="rounds of every case (5; quick: 3)")
    parser.add_argument(
        "--threads", type=int, nargs="+", help="thread counts (1 and as many as torch has)"
    )
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 5)
    threads = options.threads or sorted({1, torch.get_num_threads()})
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    where = machine()
    console.print(", ".join(f"{key} {value}" for key, value in where.items()), highlight=False)

    cases = QUICK if options.quick else CASES
    steps = QUICK_STEPS if options.quick else STEPS
    rows: list[Row] = []
    for count in threads:
        torch.set_num_threads(count)
        for case in cases:
            rows += time_case(case, count, rounds)
        for slices, modes in steps:
            rows.append(time_step(slices, modes, count, rounds))
        console.print(f"{count} thread(s): done")
    memory = measure_memory(cases[:1], steps)
    print_times(rows, console)
    print_memory(memory, console)
    if options.json is not None:
        result = {"machine": where, "rounds": rounds, "times": rows, "memory": memory}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        console.print(f"{options.json} written.", soft_wrap=True)


def time_case(case: Case, threads: int, rounds: int) -> list[Row]:
    """Forward, and forward with backward, of one size."""
    inputs = Inputs.of(case)
    with torch.no_grad():
        times = in_turn(
            {
                "fused": Side(partial(forward, ops, inputs)),
                "reference": Side(partial(forward, reference, inputs)),
            },
            rounds,
        )
    rows = [_row("forward", case, threads, times["reference"], times["fused"])]
    fused = backward_step(ops, inputs)
    sides = {
        waves: Side(fused, partial(_with_budget, budget, fused))
        for waves, budget in WAVE_BUDGET.items()
    }
    sides["reference"] = Side(backward_step(reference, inputs))
    times = in_turn(sides, rounds)
    ops.set_wave_budget(None)
    rows += [
        _row(f"forward + backward, {waves}", case, threads, times["reference"], times[waves])
        for waves in WAVE_BUDGET
    ]
    return rows


def _with_budget(budget: int, step: Callable[[], None]) -> None:
    """A new budget frees the memory that the kernel keeps from call to call: take it anew."""
    ops.set_wave_budget(budget)
    step()


def time_step(slices: int, modes: int, threads: int, rounds: int) -> Row:
    """One whole optimisation step: data, forward, losses, backward, Adam."""
    with tempfile.TemporaryDirectory() as folder:
        ours = one_step(Path(folder), slices, modes)
        plain = one_step(Path(folder), slices, modes, plain=True)
    times = in_turn(
        {"fastpty": Side(partial(ours, 1)), "plain torch": Side(partial(plain, 1))}, rounds
    )
    case = _case_of_step(slices, modes)
    return _row("optimisation step", case, threads, times["plain torch"], times["fastpty"])


def _case_of_step(slices: int, modes: int) -> Case:
    return Case(window=128, modes=modes, slices=slices, positions=32)


def _row(what: str, case: Case, threads: int, other: Time, ours: Time) -> Row:
    wall, cpu = ratio(other, ours)
    busy = min(side.median[1] / (threads * side.median[0]) for side in (other, ours))
    return {
        "what": what,
        **case._asdict(),
        "threads": threads,
        "other": other.plain(),
        "fastpty": ours.plain(),
        "ratio_wall": wall,
        "ratio_cpu": cpu,
        "crowded": busy < LEAST_BUSY,
    }


def measure_memory(cases: list[Case], steps: list[tuple[int, int]]) -> list[Row]:
    """Bytes at most beyond those of the imports alone."""
    nothing = peak_of("nothing")
    rows: list[Row] = []
    for case in cases:
        sides = {side: peak_of("call", side, *case) for side in (*WAVE_BUDGET, "reference")}
        rows.append({"what": "forward + backward", **case._asdict(), "peak": sides})
    for slices, modes in steps:
        sides = {side: peak_of("step", side, slices, modes) for side in ("fastpty", "plain torch")}
        case = _case_of_step(slices, modes)
        rows.append({"what": "optimisation step", **case._asdict(), "peak": sides})
    for row in rows:
        row["peak"] = {side: peak - nothing for side, peak in row["peak"].items()}
    return rows


def print_times(rows: list[Row], console: Console) -> None:
    """One line a measurement."""
    table = Table(title="medians, seconds; ratio: plain torch / fastpty")
    table.add_column("what")
    table.add_column("size")
    headings = ("threads", "torch wall", "torch CPU", "fastpty wall", "fastpty CPU", "µs/w.-slice")
    for heading in (*headings, "ratio wall", "ratio CPU"):
        table.add_column(heading, justify="right")
    for row in rows:
        case = Case(*(row[name] for name in Case._fields))
        seconds = [row[side][clock] for side in ("other", "fastpty") for clock in ("wall", "cpu")]
        table.add_row(
            row["what"],
            str(case),
            str(row["threads"]),
            *(f"{value:.3g}" for value in seconds),
            f"{1e6 * row['fastpty']['cpu'] / case.wave_slices:.3g}",
            f"{row['ratio_wall']:.2f}" + ("*" if row["crowded"] else ""),
            f"{row['ratio_cpu']:.2f}",
        )
    console.print(table)
    console.print("µs/w.-slice: CPU time of fastpty per wave-slice.")
    if any(row["crowded"] for row in rows):
        console.print(
            "*: less than its cores. Something else was running, or most of the call is serial: "
            "do not quote these."
        )


def print_memory(rows: list[Row], console: Console) -> None:
    """One line a side; its share of the last side's."""
    table = Table(title="peak memory beyond the imports")
    for heading in ("what", "size", "side"):
        table.add_column(heading)
    for heading in ("MiB", "share"):
        table.add_column(heading, justify="right")
    for row in rows:
        case = Case(*(row[name] for name in Case._fields))
        last = list(row["peak"].values())[-1]
        for side, peak in row["peak"].items():
            table.add_row(row["what"], str(case), side, f"{peak / 2**20:.0f}", f"{peak / last:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
