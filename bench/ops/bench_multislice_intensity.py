"""multislice_intensity: the fused kernel against its pure-torch twin.

Forward without gradients, and forward with backward; the fused kernel keeps every wave from one to
the other, or computes them a second time. On one thread and on all. Time is that of a whole call,
the allocation of its results included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.cases import CASES, WAVE_BUDGET, Case, Inputs, backward_step, forward
from fastpty import ops, reference

ROUNDS = 4


@pytest.fixture(params=sorted({1, os.cpu_count() or 1}), ids=lambda n: f"{n}threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.mark.parametrize("side", ["fused", "reference"])
def bench_forward(benchmark: BenchmarkFixture, case: Case, side: str, threads: int) -> None:
    call = partial(forward, ops if side == "fused" else reference, Inputs.of(case))
    benchmark.group = f"multislice_intensity, forward: {case}, {threads} threads"
    with torch.no_grad():
        benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("side", ["fused, stored", "fused, recomputed", "reference"])
def bench_forward_backward(
    benchmark: BenchmarkFixture, case: Case, side: str, threads: int
) -> None:
    name, _, waves = side.partition(", ")
    step = backward_step(ops if name == "fused" else reference, Inputs.of(case))
    benchmark.group = f"multislice_intensity, forward and backward: {case}, {threads} threads"
    ops.set_wave_budget(WAVE_BUDGET.get(waves))
    try:
        benchmark.pedantic(step, rounds=ROUNDS, warmup_rounds=1)
    finally:
        ops.set_wave_budget(None)
