"""Whole iterations of a reconstruction on the GPU: ``python -m bench.gpu.iteration -o part.json``.

Data, forward, losses, backward, Adam on every unknown; no constraints, no files. Steps launched one
by one and as CUDA graphs, patterns in the device's memory and in the host's, and the same engine on
the reference operations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from bench.gpu.device import clocks, skip
from fastpty import ops

try:
    from bench.iteration.problem import config_for, write_patterns
    from fastpty.engines import graphs
    from fastpty.measurements import patterns as patterns_module
    from fastpty.recon import Reconstruction
except ModuleNotFoundError as missing:
    skip(f"no module {missing.name}")

WARM_UP = 4  # graphs are recorded after three steps of a kind


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.iteration", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script")
    options = parser.parse_args()
    device = torch.device(options.device)
    scan, slices, modes = ((2, 4), 2, 1) if options.tiny else ((16, 32), 32, 6)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        write_patterns(path, scan)
        for batch in (4,) if options.tiny else (32, 128):
            for name, engine in engines(path, slices, modes, batch, device).items():
                row = {"side": name, "batch": batch, "slices": slices, "modes": modes}
                row |= measured(engine, scan[0] * scan[1], options.rounds, device)
                rows.append(row)
                print(
                    f"batch {batch}, {name}: {1e6 * row['seconds_per_position']:.4g} us a position"
                )
                options.out.write_text(json.dumps({"iteration": rows}, indent=1) + "\n")


def engines(
    path: Path, slices: int, modes: int, batch: int, device: torch.device
) -> dict[str, Callable[[], Callable[[int], object]]]:
    """Name -> what makes an iteration. Made one after the other: each has its own memory."""

    def run(graphed: bool, fits: bool = True) -> Callable[[int], object]:
        config = config_for(path, slices, modes)
        optimise = config.optimise.model_copy(update={"batch_size": batch})
        config = config.model_copy(update={"device": device.type, "optimise": optimise})
        with patch.object(patterns_module, "_fits", lambda nbytes, where: fits):
            engine = Reconstruction.from_config(config, path.parent).engine
        on_cuda = device.type == "cuda"
        engine.record_with(graphs.CudaRecorder(device) if graphed and on_cuda else None)
        return engine.run_iteration

    def by_reference() -> Callable[[int], object]:
        iterate = run(False)

        def iteration(number: int) -> object:
            with ops.use_backend("reference"):
                return iterate(number)

        return iteration

    return {
        "launched one by one": lambda: run(False),
        "graphs": lambda: run(True),
        "graphs, patterns in the host's memory": lambda: run(True, fits=False),
        "reference operations": by_reference,
    }


def measured(
    make: Callable[[], Callable[[int], object]], positions: int, rounds: int, device: torch.device
) -> dict[str, Any]:
    """Seconds by the host's clock: an iteration ends when its losses are there."""
    iterate = make()
    for number in range(1, WARM_UP + 1):
        iterate(number)
    seconds = []
    for number in range(WARM_UP + 1, WARM_UP + rounds + 1):
        begun = time.perf_counter()
        iterate(number)
        seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    return {
        "positions": positions,
        "seconds": seconds,
        "seconds_per_position": statistics.median(seconds) / positions,
        "peak_bytes": peak,
        "clocks_after": clocks(device),
    }


if __name__ == "__main__":
    main()
