"""Constraints on what belongs to each scan position: the position itself, and its tilt."""

from __future__ import annotations

import torch

from fastpty.config.constraints import RecentrePositionsConfig, SmoothTiltConfig
from fastpty.constraints.common import gaussian_blur
from fastpty.model import Model

__all__ = ["recentre_positions", "smooth_tilt"]


def recentre_positions(model: Model, config: RecentrePositionsConfig) -> None:
    """Remove (1 - relax) of the mean displacement: object and scan may drift together without a
    trace in the data.

    PtyRAD: ``pos_recenter``.
    """
    # In double precision: the mean of a thousand pixels, less the mean at the start.
    start = torch.from_numpy(model.positions_start.mean(axis=0))
    start = start.to(model.shift.device, non_blocking=True)
    mean = model.corner.mean(dim=0, dtype=torch.float64) - start
    mean += model.shift.mean(dim=0, dtype=torch.float64)
    model.shift.sub_(((1 - config.relax) * mean).to(model.shift.dtype))


# The width of PtyRAD's filter, whatever its std.
_TILT_TAPS = 5


def smooth_tilt(model: Model, config: SmoothTiltConfig) -> None:
    """Gaussian blur of the tilts [B, 2] over the scan's grid: 5 x 5 positions, edges replicated.

    Acts where every position of a raster has its own tilt, and leaves a common tilt as it is.
    PtyRAD: ``tilt_smooth``, which mirrors the edges.
    """
    tilt, grid = model.tilt, model.scan_shape
    if tilt is None or grid is None or len(tilt) != grid[0] * grid[1]:
        return
    planes = tilt.T.reshape(2, *grid)
    tilt.copy_(gaussian_blur(planes, (1, 2), config.std, _TILT_TAPS).reshape(2, -1).T)
