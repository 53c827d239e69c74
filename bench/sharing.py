"""What it costs to share a run: ``python -m bench.sharing [processes]``.

CPU seconds of one iteration, of one process and of several together, in turn, each with one thread;
what is above 1 in their ratio is spent on sums over the processes and on work that all of them do.
Wall-clock seconds say something only where each process has a core to itself.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import multiprocessing

from bench.iteration.problem import BATCH, WIDE_STEP, config_for, write_patterns
from fastpty.distributed import joined
from fastpty.recon import Reconstruction

SCAN = (8, 16)
ROUNDS = 5
# A little object that every batch covers, and a large one of which it touches a part.
STEPS = {"dense scan": 0.4, "wide scan": WIDE_STEP}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        write_patterns(path, SCAN)
        for name, step in STEPS.items():
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            multiprocessing.spawn(_process, (count, port, path, name, step), nprocs=count)


def _process(rank: int, count: int, port: int, path: Path, name: str, step: float) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for variable in ("RANK", "LOCAL_RANK"):
        os.environ[variable] = str(rank)
    for variable in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        os.environ[variable] = str(count)
    with joined() as processes:
        config = config_for(path, step=step)
        alone = Reconstruction.from_config(config, path.parent)
        shared = Reconstruction.from_config(config, path.parent, processes=processes)
        cpu, wall = [], []
        for number in range(ROUNDS + 1):
            one = _timed(alone, number) if rank == 0 else (0.0, 0.0)
            processes.any(False)
            several = _timed(shared, number)
            together = float(processes.add(torch.tensor(several[0], dtype=torch.float64)))
            cpu.append((together, one[0]))
            wall.append((several[1], one[1]))
        if rank == 0:
            canvas = alone.model.phase.shape[-2:]
            print(
                f"{name}, {SCAN[0]} x {SCAN[1]} positions, batches of {BATCH}, object of "
                f"{canvas[0]} x {canvas[1]} px: {count} processes / one, medians: CPU seconds "
                f"{_ratio(cpu):.2f}, wall clock {_ratio(wall):.2f}"
            )


def _timed(run: Reconstruction, number: int) -> tuple[float, float]:
    begun = time.process_time(), time.perf_counter()
    run.engine.run_iteration(number + 1)
    return time.process_time() - begun[0], time.perf_counter() - begun[1]


def _ratio(pairs: list[tuple[float, float]]) -> float:
    """Median, without the first, which makes buffers."""
    return statistics.median(a / b for a, b in pairs[1:])


if __name__ == "__main__":
    main()
