"""Adam by tiles beside torch's own: the same gradients, in a few windows that move about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import torch

__all__ = ["BETAS", "EPS", "RATE", "Fit", "fit"]

BETAS, EPS, RATE = (0.9, 0.999), 1e-8, 1e-3
WINDOW = (21, 34)


@dataclass
class Fit:
    """A volume [1, 3, Y, X] whose gradients are given, step by step.

    Parameters
    ----------
    size : (Y, X); neither need be a number of tiles.
    scale : of the gradients; a voxel's own is up to ``decades`` larger or smaller.
    """

    size: tuple[int, int] = (70, 101)
    scale: float = 1e-3
    decades: float = 2.0
    steps: int = 60
    rate: float = RATE
    eps: float = EPS

    def start(self) -> torch.Tensor:
        """float64, as is everything here."""
        return torch.randn(1, 3, *self.size, generator=self._generator(0), dtype=torch.float64)

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(corners [2, 2], gradient) of each step."""
        generator = self._generator(1)
        shape = (1, 3, *self.size)
        spread = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
        scale = self.scale * 10 ** (self.decades * spread)
        room = torch.tensor(self.size) - torch.tensor(WINDOW) + 1
        for _ in range(self.steps):
            corner = (torch.rand(2, 2, generator=generator) * room).long()
            lit = torch.zeros(self.size, dtype=torch.float64)
            for y, x in corner.tolist():
                lit[y : y + WINDOW[0], x : x + WINDOW[1]] = 1
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            yield corner, lit * scale * (0.5 + noise)

    @staticmethod
    def _generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def torchs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(value, m, v) after all steps of ``torch.optim.Adam``."""
        value = self.start().requires_grad_()
        optimiser = torch.optim.Adam([value], lr=self.rate, betas=BETAS, eps=self.eps)
        for _, gradient in self.batches():
            value.grad = gradient
            optimiser.step()
        state = optimiser.state[value]
        return value.detach(), state["exp_avg"], state["exp_avg_sq"]


def fit(
    case: Fit,
    adam: ModuleType,
    dtype: torch.dtype = torch.float64,
    *,
    settle_every: int = 1000,
    device: torch.device | str = "cpu",
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(value, m, v) after all steps by tiles, settled.

    Parameters
    ----------
    adam : has AdamTiles, adam_catch_up, adam_step, adam_settle.
    """
    value = case.start().to(device, dtype)
    tiles = adam.AdamTiles(value, torch.zeros_like(value), torch.zeros_like(value), BETAS, case.eps)
    rate = torch.tensor(case.rate, dtype=torch.float64, device=device)
    for number, (corner, gradient) in enumerate(case.batches(), 1):
        adam.adam_catch_up(tiles, corner.to(device), WINDOW)
        step = torch.tensor(float(number), device=device)
        adam.adam_step(tiles, gradient.to(device, dtype), rate, step)
        if number % settle_every == 0:
            adam.adam_settle(tiles)
    adam.adam_settle(tiles)
    return tiles.value, tiles.first, tiles.second
