"""A small made-up reconstruction: the figures' input, in every form that they must take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fastpty.results import History, Results, Snapshot


def build_results(
    *,
    object_modes: int = 1,
    slices: int = 3,
    probe_modes: int = 2,
    window: tuple[int, int] = (16, 16),
    scan: tuple[int, int] = (5, 6),
    pixel_size: tuple[float, float] | None = (0.25, 0.25),
    wavelength: float | None = 0.02,
    raster: bool = True,
    iterations: int = 12,
    moved: float = 0.3,
) -> Results:
    rng = np.random.default_rng(7)
    ny, nx = window
    step = 4.0
    shape = int(scan[0] * step) + ny + 4, int(scan[1] * step) + nx + 4
    phase = rng.normal(size=(object_modes, slices, *shape)).astype(np.float32)
    y, x = np.arange(ny)[:, None] - ny // 2, np.arange(nx)[None, :] - nx // 2
    gauss = np.exp(-(y**2 + x**2) / 18) * np.exp(0.05j * (y**2 + x**2))
    probe = np.stack([gauss * (y + x) ** m / 4**m for m in range(probe_modes)])
    grid = np.stack(np.indices(scan), axis=-1).reshape(-1, 2) * step + 2
    simulated = rng.uniform(1, 20, (5, ny, nx)).astype(np.float32)
    mask = np.ones(window, dtype=bool)
    mask[3, :] = False
    falling = [1.0 / (i + 1) for i in range(iterations)]
    return Results(
        amplitude=np.ones_like(phase),
        phase=phase,
        probe=probe.astype(np.complex64),
        positions=grid + moved * rng.uniform(-1, 1, grid.shape),
        positions_start=grid,
        scan_shape=scan if raster else None,
        pixel_size=pixel_size,
        wavelength=wavelength,
        thickness=np.float32(10.0) if slices > 1 and pixel_size else None,
        history=History(
            loss=falling,
            seconds=[0.5] * iterations,
            terms={
                "amplitude": [0.9 * v for v in falling],
                "sparsity": [0.1 * v for v in falling],
            },
            displacement=[moved * (1 - v) for v in falling],
        ),
        snapshots=[
            Snapshot(
                iteration=iteration,
                index=np.array([0, 7, 14, 21, 29]),
                measured=rng.poisson(simulated).astype(np.float32),
                simulated=simulated,
                r_factor=0.25,
                mask=mask,
            )
            for iteration in (0, iterations)
        ],
    )


@pytest.fixture
def make_results() -> Callable[..., Results]:
    return build_results


CASES = {
    "plain": {},
    "single slice": {"slices": 1},
    "object modes": {"object_modes": 3},
    "single mode": {"probe_modes": 1},
    "many modes": {"probe_modes": 8},
    "pixel units": {"pixel_size": None, "wavelength": None},
    "no wavelength": {"wavelength": None},
    "position list": {"raster": False},
    "one iteration": {"iterations": 1},
    "rectangular": {"window": (12, 20), "pixel_size": (0.2, 0.3)},
    "thick": {"slices": 32},
    "line scan": {"scan": (1, 9)},
    "one position": {"scan": (1, 1)},
    "dense": {"scan": (40, 50), "slices": 1},
    "not moved": {"moved": 0.0},
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def any_results(request: pytest.FixtureRequest) -> Results:
    return build_results(**request.param)
