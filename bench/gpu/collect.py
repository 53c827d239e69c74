"""The parts that the steps of bench/gpu.sh left -> one result file and one printed page.

``python -m bench.gpu.collect WORK -o bench/results``: WORK holds steps.tsv (name, outcome, seconds,
note), the parts *.json, and ncu-*.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.cases import Case
from bench.gpu.device import describe

Row = dict[str, Any]


def main() -> None:
    """Merge, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.collect", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("bench/results"))
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    result = merge(options.work, describe(torch.device(options.device)))
    for line in page(result):
        print(line)
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{result['machine']['date']}-{slug(result['machine']['device'])}.json"
    (options.out / name).write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{options.out / name} written.")


def merge(work: Path, machine: Row) -> Row:
    """Everything that is there; a part that is broken off says so in its place."""
    result: Row = {"machine": machine, "steps": steps(work / "steps.tsv")}
    for part in sorted(work.glob("*.json")):
        try:
            result |= json.loads(part.read_text())
        except json.JSONDecodeError as error:
            result[part.stem] = {"error": f"not whole: {error}"}
    profiles = {path.stem: profile(path) for path in sorted(work.glob("ncu-*.csv"))}
    if profiles:
        result["ncu"] = profiles
    return result


def steps(path: Path) -> list[Row]:
    """What was run, and what came of it."""
    if not path.exists():
        return []
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [
        {"step": name, "outcome": outcome, "seconds": float(seconds), "note": note}
        for name, outcome, seconds, note in lines
    ]


def slug(name: str) -> str:
    """Letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def profile(path: Path) -> list[Row]:
    """Per kernel: launches, and the mean of every metric over them. Lines of ncu's own come before
    the table."""
    lines = path.read_text(errors="replace").splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if head is None:
        return []
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader(lines[head:]):
        try:
            value = float((row.get("Metric Value") or "").replace(",", ""))
        except ValueError:
            continue
        kernel = row.get("Kernel Name") or "?"
        unit = row.get("Metric Unit") or ""
        found[kernel][f"{row.get('Metric Name')} [{unit}]"].append(value)
    return [
        {
            "kernel": kernel,
            "launches": max(map(len, metrics.values())),
            "metrics": {name: statistics.fmean(values) for name, values in metrics.items()},
        }
        for kernel, metrics in found.items()
    ]


def page(result: Row) -> Iterator[str]:
    """For people."""
    machine = result["machine"]
    yield f"{machine['device']}, torch {machine['torch']}, {machine['date']}"
    ceilings = result.get("ceilings", {})
    for name, value in ceilings.items():
        yield f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}"
    rows = [row for row in result.get("kernels", []) if isinstance(row, dict)]
    if rows:
        yield ""
        yield from kernel_lines(rows, ceilings, result.get("scan", 0))
    if iteration := result.get("iteration"):
        yield ""
        yield "whole iterations, us a position"
        for row in iteration:
            each = 1e6 * row["seconds_per_position"]
            yield f"  batch {row['batch']:4}  {row['side']:40} {each:10.2f}"
    for name, kernels in result.get("ncu", {}).items():
        yield ""
        yield f"{name}: kernels by ncu, means over launches"
        for kernel in kernels:
            yield f"  {kernel['launches']} x {kernel['kernel'][:100]}"
            for metric, value in kernel["metrics"].items():
                yield f"      {metric:70} {value:.5g}"
    yield ""
    yield f"{'step':22} {'outcome':10} {'s':>6}  note"
    for step in result["steps"]:
        yield f"{step['step']:22} {step['outcome']:10} {step['seconds']:6.0f}  {step['note']}"


def kernel_lines(rows: list[Row], ceilings: Row, scan: int) -> Iterator[str]:
    """One line a measurement: time, ratio to the rivals, share of what the ceilings allow."""
    yield (
        f"{'multislice_intensity, medians':62} {'ms':>9} {'us/pos.':>8} {'ns/w.-sl.':>9} "
        f"{'plain/it':>8} {'ref./it':>8} {'of floor':>9}"
    )
    best: tuple[float, Case] | None = None
    for row in rows:
        case = Case(*(row[name] for name in Case._fields))
        size = f"{case.window} px {case.modes} x {case.slices}, {case.positions} pos."
        head = f"{size:28} {row['what']}, {row['side']}"
        if "error" in row:
            yield f"{head:62} {row['error'][:80]}"
            continue
        seconds = row["seconds"]["median"]
        each = seconds / case.positions
        times = [1e3 * seconds, 1e6 * each, 1e9 * seconds / case.wave_slices]
        ratios = [ratio(rows, row, rival) for rival in ("plain torch", "reference")]
        shown = [f"{value:.2f}" if value else "" for value in ratios]
        yield (
            f"{head:62} {times[0]:9.4g} {times[1]:8.4g} {times[2]:9.4g} {shown[0]:>8} "
            f"{shown[1]:>8} {share(row, ceilings):>9}"
        )
        ours = row["side"] in ("stored", "recomputed", "graph")
        if ours and (case.window, case.modes, case.slices) == (128, 6, 32):
            best = min(best or (each, case), (each, case))
    if best is not None and scan:
        yield (
            f"estimate: {best[0] * scan:.3g} s for forward and backward of {scan} positions, from "
            f"batches of {best[1].positions}"
        )
    yield "sizes: window, modes x slices, positions"
    yield "of floor: the least time that the measured ceilings allow / the time taken"


def ratio(rows: list[Row], row: Row, rival: str) -> float | None:
    """How much longer a rival takes for the same."""
    same = ("what", *Case._fields)
    for other in rows:
        if other["side"] == rival and all(other[key] == row[key] for key in same):
            theirs = other.get("seconds")
            return None if theirs is None else theirs["median"] / row["seconds"]["median"]
    return None


def share(row: Row, ceilings: Row) -> str:
    """Of the least time in the time taken, and what sets it."""
    copy, rate = ceilings.get("copy_bytes_per_s"), ceilings.get("multiply_adds_per_s")
    if not copy or not rate:
        return ""
    arithmetic, traffic = row["operations"] / (2 * rate), row["bytes"] / copy
    what = "fma" if arithmetic > traffic else "mem"
    return f"{max(arithmetic, traffic) / row['seconds']['median']:.2f} {what}"


if __name__ == "__main__":
    main()
