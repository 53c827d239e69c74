"""Adam by tiles against torch's Adam, step by step in turn: ``python -m bench.adam_step``.

Objects of 32 slices, windows of 128 px at 200 x 200 positions, 32 to a batch. A step by tiles is
catching up and stepping; the ratio is what torch takes for what the tiles take.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.timing import Side, in_turn, ratio
from fastpty import ops
from fastpty.engines.grouping import batch_order

SLICES, WINDOW, SIDE, BATCH = 32, 128, 200, 32
BETAS, EPS, RATE = (0.9, 0.999), 1e-8, 5e-4
WARM_UP = 30  # batches, after which what is missed does not grow any more


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.adam_step", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 700], help="px")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table(title="medians of CPU milliseconds; ratios to the tiles")
    for heading in ("px", "grouping", "touched", "tiles", "fused", "foreach", "ratios"):
        table.add_column(heading, justify="right")
    for size, grouping in itertools.product(options.sizes, ("compact", "random", "sparse")):
        table.add_row(str(size), grouping, *measure(size, grouping, options.rounds))
    Console().print(table)


def measure(size: int, grouping: str, rounds: int) -> list[str]:
    """A line of the table."""
    share: list[float] = []
    sides = {
        "tiles": Side(by_tiles(size, grouping, share)),
        "fused": Side(torchs(size, fused=True)),
        "foreach": Side(torchs(size, foreach=True)),
    }
    times = in_turn(sides, rounds)
    ratios = (ratio(times[name], times["tiles"])[1] for name in ("fused", "foreach"))
    milliseconds = (f"{1e3 * time.median[1]:.3g}" for time in times.values())
    return [f"{np.mean(share):.2f}", *milliseconds, ", ".join(f"{r:.2f}" for r in ratios)]


def torchs(size: int, **how: bool) -> Callable[[], object]:
    """A step of torch's own."""
    value = torch.randn(1, SLICES, size, size).requires_grad_()
    value.grad = torch.randn_like(value)
    return torch.optim.Adam([value], lr=RATE, **how).step


def by_tiles(size: int, grouping: str, share: list[float]) -> Callable[[], object]:
    """A step by tiles on the next batch, which also notes the share of tiles that it touches."""
    axis = np.linspace(0, size - WINDOW, SIDE)
    positions = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    order = batch_order(grouping, positions, BATCH, np.random.default_rng(0), (SIDE, SIDE))
    corners = torch.from_numpy(np.rint(positions[order]).astype(np.int64)).split(BATCH)
    value = torch.randn(1, SLICES, size, size)
    gradient = torch.randn_like(value)
    tiles = ops.AdamTiles(value, torch.zeros_like(value), torch.zeros_like(value), BETAS, EPS)
    batches = enumerate(itertools.cycle(corners), 1)

    def step() -> None:
        number, corner = next(batches)
        ops.adam_catch_up(tiles, corner, (WINDOW, WINDOW))
        ops.adam_step(tiles, gradient, RATE, torch.tensor(float(number)))
        share.append(float((tiles.state > 0).float().mean()))

    for _ in range(WARM_UP):
        step()
    return step


if __name__ == "__main__":
    main()
