"""The emulator itself, on small kernels: what they may use works, and mistakes do not pass."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import pytest

from tests.emulator import build

pytestmark = pytest.mark.skipif(build.MISSING is not None, reason=str(build.MISSING))

KERNELS = Path(__file__).parent / "kernels"
ORDERS = ("forward", "reverse", "random")
THREADS = 64


def run(
    program: Path, *arguments: str, order: str = "forward", **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FASTPTY_EMULATOR_ORDER": order, **more}
    return subprocess.run(
        [str(program), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def mistake(
    name: str, order: str = "forward", flavour: build.Flavour = build.FAST, **more: str
) -> str:
    """What a kernel of mistakes.cu prints, the same both times that it runs."""
    program = build.program(KERNELS / "mistakes.cu", flavour=flavour)
    found = run(program, name, order=order, **more)
    assert found.returncode == 0, found
    first, second = found.stdout.splitlines()
    if name != "blocks_in_order":
        assert first == second
    return first


def numbers(name: str, order: str = "forward", **more: str) -> list[float]:
    return [float(word) for word in mistake(name, order, **more).split()]


@pytest.mark.parametrize("clusters_in_flight", ["1", "3"])
@pytest.mark.parametrize("order", ORDERS)
def test_what_kernels_use(order: str, clusters_in_flight: str) -> None:
    program = build.program(KERNELS / "features.cu")
    found = run(program, order=order, FASTPTY_EMULATOR_THREADS=clusters_in_flight)
    assert found.returncode == 0, found.stdout + found.stderr


def test_without_the_processors_own_switch() -> None:
    flags = ["-DFASTPTY_EMULATOR_UCONTEXT"]
    found = run(build.program(KERNELS / "features.cu", flags=flags))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["sanitized", "races"])
def test_what_kernels_use_is_right_in_every_flavour(flavour: str) -> None:
    found = run(build.program(KERNELS / "features.cu", flavour=build.FLAVOURS[flavour]))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("order", ORDERS)
def test_a_read_before_the_write_finds_nan(order: str) -> None:
    found = numbers("no_barrier", order)
    assert any(math.isnan(value) for value in found)
    # Whoever ran last has found what the others wrote.
    assert any(value == t + 1 for t, value in enumerate(found))


def test_some_order_shows_a_read_after_the_next_write() -> None:
    right = [float((t + 1) % THREADS) for t in range(THREADS)]
    wrong = {order: numbers("no_second_barrier", order) != right for order in ORDERS}
    # Forward, only the last thread reads late, and in reverse all others do.
    assert wrong == {"forward": True, "reverse": True, "random": True}


@pytest.mark.parametrize("order", ORDERS)
def test_a_missing_barrier_within_a_warp(order: str) -> None:
    assert any(math.isnan(value) for value in numbers("no_warp_barrier", order))


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("name", ["warp_barrier_for_block", "block_barrier_for_cluster"])
def test_a_barrier_of_too_few_threads(name: str, order: str) -> None:
    assert any(math.isnan(value) for value in numbers(name, order))


def test_the_order_of_blocks() -> None:
    forward, reverse = (numbers("blocks_in_order", order)[0] for order in ORDERS[:2])
    assert (forward, reverse) == (123, 3210)
    random = {
        numbers("blocks_in_order", "random", FASTPTY_EMULATOR_SEED=str(seed))[0]
        for seed in range(5)
    }
    assert len(random) > 1


def test_a_seed_repeats_an_order() -> None:
    first, second = (mistake("no_barrier", "random", FASTPTY_EMULATOR_SEED="4") for _ in range(2))
    assert first == second
    assert first != mistake("no_barrier", "random", FASTPTY_EMULATOR_SEED="5")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("behind", ["out_of_bounds", "block (0, 0, 0)", "thread (5, 0, 0)", "byte 256 of the 256"]),
        ("long_before", ["thread (5, 0, 0)", "byte -8192 of the 256"]),
        ("just_before", ["block (0, 0, 0)", "wrote next to its 256 bytes"]),
        ("behind_odd", ["wrote next to its 252 bytes"]),
        ("reads_behind", ["reads_behind", "thread (63, 0, 0)", "byte 256 of the 256"]),
        ("no_shared", ["of the 0 bytes"]),
        ("far_away", ["thread (0, 0, 0)", "memory that is not there"]),
        ("divides", ["thread (0, 0, 0)", "by zero"]),
        ("one_returns", ["63 x waits at __syncthreads (mistakes.cu:", "1 x returned"]),
        ("one_returns", ["first thread (3, 0, 0)", "block (0, 0, 0)"]),
        ("two_barriers", ["thread (32, 0, 0)", "divergent barrier", "thread (0, 0, 0) at"]),
        ("barrier_and_vote", ["__syncthreads (", "__syncthreads_or ("]),
        ("half_a_warp", ["32 x waits at __shfl_xor_sync", "32 x returned"]),
        ("lane_outside", ["reads lane 1, which does not take part"]),
        ("mask_without_itself", ["thread (1, 0, 0)", "lacks the caller"]),
        ("two_masks", ["32 x returned", "32 x waits at __syncwarp", "thread (16, 0, 0)"]),
        ("cluster_leaves_early", ["block (1, 0, 0)", "block (0, 0, 0), which has returned"]),
        ("many_threads", ["cannot be launched: 1025 threads"]),
        ("much_shared", ["cannot be launched: 233472 bytes"]),
        ("grid_y", ["cannot be launched: a grid of (1, 65536, 1)"]),
        ("odd_cluster", ["cannot be launched: clusters of 2"]),
    ],
)
def test_a_mistake_is_named(name: str, words: list[str]) -> None:
    found = mistake(name)
    assert found.startswith("error: kernel "), found
    for word in words:
        assert word in found


def test_an_unknown_order_is_refused() -> None:
    assert "not 'sideways'" in mistake("no_barrier", "sideways")


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_barrier", ["which nobody has written"]),
        ("no_second_barrier", ["which thread (", "no barrier lies between, after __syncthreads"]),
        ("no_warp_barrier", ["which nobody has written"]),
        ("blocks_in_order", ["in global memory, which a thread of another block writes"]),
        ("two_writers", ["writes byte", "which thread", "writes, and no barrier lies between"]),
        ("added_and_read", ["in global memory", "changes atomically"]),
        ("block_barrier_for_cluster", ["of the shared memory of block"]),
    ],
)
def test_a_race_is_named_in_every_order(name: str, words: list[str], order: str) -> None:
    found = mistake(name, order, flavour=build.RACES)
    assert found.startswith("error: kernel "), found
    for word in words:
        assert word in found
