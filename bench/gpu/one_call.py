"""One forward and backward for ncu: ``python -m bench.gpu.one_call --window 128``.

Two calls warm up; then one lies between cudaProfilerStart and cudaProfilerStop, where
``ncu --profile-from-start off`` looks.
"""

from __future__ import annotations

import argparse

import torch

from bench.cases import WAVE_BUDGET, Case, Inputs, backward_step
from bench.gpu.kernels import copies_of
from fastpty import ops


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.one_call", description=__doc__)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--modes", type=int, default=6)
    parser.add_argument("--slices", type=int, default=4, help="few: ncu runs a kernel many times")
    parser.add_argument("--positions", type=int, default=44)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    case = Case(options.window, options.modes, options.slices, options.positions)
    inputs: Inputs = copies_of(case, device)[0]
    ops.set_wave_budget(WAVE_BUDGET["stored"])
    step = backward_step(ops, inputs)
    step()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.profiler.start()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.profiler.stop()


if __name__ == "__main__":
    main()
