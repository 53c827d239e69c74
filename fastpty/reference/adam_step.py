"""Adam on the tiles of the object that a batch touches; the others wait, and catch up at once.

Step n with the gradient g, learning rate lr (Kingma & Ba, ICLR 2015)::

    m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2
    x <- x - a m / (b sqrt(v) + eps),    a = lr / (1 - b1^n),    b = 1 / sqrt(1 - b2^n)

A tile without a gradient is left alone in a step but for four sums, j counting such steps::

    decay1 = b1^k    decay2 = b2^k    move = sum a_j b1^j    scaled = sum a_j b1^j / (b_j b2^(j/2))

from which it catches up before its values are needed::

    x <- x - m / (sqrt(v) / scaled + eps / move)

docs/derivations/adam_step.md says how far that is from taking the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

__all__ = ["TILE", "AdamTiles", "adam_catch_up", "adam_settle", "adam_step"]

TILE = 16  # px, each way

# What a tile is: in arrears; touched by the latest batch, or by an earlier one of the same step;
# up to date, whatever its sums say.
AWAY, REACHED, CURRENT, STEPPED = range(4)
DECAY1, DECAY2, MOVE, SCALED = range(4)


@dataclass
class AdamTiles:
    """A volume that Adam fits tile by tile, and what each tile is in arrears with.

    Parameters
    ----------
    value, first, second : [..., Y, X] real: what is fitted, and its moments m and v.
    betas, eps : Adam's.
    arrears : [tiles, 4] float64, decay1, decay2, move, scaled; tiles row by row.
    state : [tiles] int32.
    """

    value: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    betas: tuple[float, float]
    eps: float
    arrears: torch.Tensor = field(init=False)
    state: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        down, across = self.grid
        where = self.value.device
        self.arrears = torch.zeros(down * across, 4, dtype=torch.float64, device=where)
        self.arrears[:, :MOVE] = 1
        self.state = torch.zeros(down * across, dtype=torch.int32, device=where)

    @property
    def grid(self) -> tuple[int, int]:
        """How many tiles there are down and across; the last ones may be cut."""
        y, x = self.value.shape[-2:]
        return -(-y // TILE), -(-x // TILE)


@torch.no_grad()
def adam_catch_up(
    tiles: AdamTiles,
    corner: torch.Tensor,
    window: tuple[int, int],
    reach: tuple[int, int] = (0, 0),
) -> None:
    """Bring the values of all tiles that a batch touches up to date: before its forward.

    Parameters
    ----------
    corner : [B, 2] int64, the windows' top-left pixels.
    window : (Ny, Nx) px.
    reach : px beyond the windows that the batch reads, and that its gradient reaches.
    """
    _forget_step(tiles)
    touched = _touched(tiles, corner, window, reach)
    state = torch.where(tiles.state == REACHED, CURRENT, tiles.state)
    tiles.state.copy_(torch.where((state == AWAY) & touched, REACHED, state))
    _move(tiles, tiles.state == REACHED)


@torch.no_grad()
def adam_step(
    tiles: AdamTiles,
    gradient: torch.Tensor,
    rate: float | torch.Tensor,
    step: float | torch.Tensor,
) -> None:
    """A step of the tiles that were caught up with since the last one.

    Parameters
    ----------
    gradient : [..., Y, X], zero in all other tiles.
    rate : learning rate.
    step : its number, from 1.
    """
    _forget_step(tiles)
    here = tiles.state != AWAY
    first, second = (1 - tiles.arrears.new_tensor(beta) ** step for beta in tiles.betas)
    move, scaled = rate / first, rate / first * second.sqrt()
    sums = tiles.arrears
    sums[:, DECAY1] *= tiles.betas[0]
    sums[:, DECAY2] *= tiles.betas[1]
    # The root of a decay that has left the range of double precision would be divided by.
    ratio = torch.where(sums[:, DECAY1] > 0, sums[:, DECAY1] / sums[:, DECAY2].sqrt(), 0)
    sums[:, MOVE] = torch.where(here, move, sums[:, MOVE] + sums[:, DECAY1] * move)
    sums[:, SCALED] = torch.where(here, scaled, sums[:, SCALED] + ratio * scaled)
    tiles.state.masked_fill_(here, STEPPED)

    pixels = _of_pixels(tiles, here)
    decay1, decay2 = (_of_pixels(tiles, sums[:, i]).to(gradient.dtype) for i in (DECAY1, DECAY2))
    new_first = decay1 * tiles.first + (1 - tiles.betas[0]) * gradient
    new_second = decay2 * tiles.second + (1 - tiles.betas[1]) * gradient.square()
    tiles.first.copy_(torch.where(pixels, new_first, tiles.first))
    tiles.second.copy_(torch.where(pixels, new_second, tiles.second))
    _move(tiles, here)


@torch.no_grad()
def adam_settle(tiles: AdamTiles) -> None:
    """Bring values and moments of all tiles up to date, as if every step had been taken."""
    _forget_step(tiles)
    _move(tiles, tiles.state == AWAY)
    tiles.first.mul_(_of_pixels(tiles, tiles.arrears[:, DECAY1]).to(tiles.first.dtype))
    tiles.second.mul_(_of_pixels(tiles, tiles.arrears[:, DECAY2]).to(tiles.second.dtype))
    tiles.state.fill_(STEPPED)
    _forget_step(tiles)


def _forget_step(tiles: AdamTiles) -> None:
    """A tile that has taken part in a step is like any other from then on."""
    stepped = tiles.state == STEPPED
    tiles.arrears[:, :MOVE].masked_fill_(stepped[:, None], 1)
    tiles.arrears[:, MOVE:].masked_fill_(stepped[:, None], 0)
    tiles.state.masked_fill_(stepped, AWAY)


def _move(tiles: AdamTiles, chosen: torch.Tensor) -> None:
    """x <- x - m / (sqrt(v) / scaled + eps / move) in the tiles that are chosen [tiles]."""
    move, scaled = tiles.arrears[:, MOVE], tiles.arrears[:, SCALED]
    moves = chosen & (move > 0) & (scaled > 0)
    # Without a move, the division by infinity leaves x as it is.
    root = torch.where(moves, 1 / scaled, 0)
    eps = torch.where(moves, tiles.eps / move, torch.inf)
    root, eps = (_of_pixels(tiles, each).to(tiles.value.dtype) for each in (root, eps))
    tiles.value.sub_(tiles.first / (root * tiles.second.sqrt() + eps))


def _of_pixels(tiles: AdamTiles, of_tiles: torch.Tensor) -> torch.Tensor:
    """[Y, X] of [tiles]."""
    y, x = tiles.value.shape[-2:]
    grid = of_tiles.reshape(tiles.grid)
    return grid.repeat_interleave(TILE, 0)[:y].repeat_interleave(TILE, 1)[:, :x]


def _touched(
    tiles: AdamTiles, corner: torch.Tensor, window: tuple[int, int], reach: tuple[int, int]
) -> torch.Tensor:
    """[tiles] whether any window, with what it reaches, overlaps a tile."""
    overlaps = []
    for axis, size in enumerate(tiles.grid):
        begin = TILE * torch.arange(size, device=corner.device)
        end = (begin + TILE).clamp(max=tiles.value.shape[axis - 2])
        low = corner[:, axis, None] - reach[axis]
        high = corner[:, axis, None] + window[axis] + reach[axis]
        overlaps.append((low < end) & (high > begin))
    return (overlaps[0][:, :, None] & overlaps[1][:, None, :]).any(0).flatten()
