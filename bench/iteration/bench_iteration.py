"""Whole iterations: fastpty's gradient engine against a plain torch loop, in one run.

The case is one eighth of a 48 x 48 scan, 288 positions: the time is proportional to their number.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.iteration.problem import PlainLoop, config_for, write_patterns
from fastpty.recon import Reconstruction

THREADS = torch.get_num_threads()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Reconstruction:
    folder = tmp_path_factory.mktemp("iteration")
    write_patterns(folder / "data.h5", (18, 16))
    return Reconstruction.from_config(config_for(folder / "data.h5"), Path(folder))


@pytest.mark.parametrize("loop", ["fastpty", "plain torch"])
@pytest.mark.parametrize("threads", sorted({1, THREADS}))
def bench_iteration(benchmark, run, loop, threads):
    torch.set_num_threads(threads)
    engine = run.engine if loop == "fastpty" else PlainLoop(run)
    benchmark.group = f"iteration of 288 positions, 10 slices, 4 modes, {threads} threads"
    benchmark.pedantic(engine.run_iteration, args=(1,), rounds=5, warmup_rounds=1)
    torch.set_num_threads(THREADS)
