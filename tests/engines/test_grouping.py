"""Batches of any positions, of neighbours, of distant ones: each position is in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastpty.engines import grouping, passes
from fastpty.engines.grouping import _hilbert_index, batch_order
from tests.recon_cases import Tiny, make_tiny, tiny_run

MODES = ["random", "compact", "sparse"]
Positions = NDArray[np.float64]


def raster(rows: int, columns: int, angle: float = 0.0) -> Positions:
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(grid.reshape(-1, 2) * (3.0, 3.3) @ turn)


def spiral(count: int) -> Positions:
    """Vogel's, whose positions are evenly dense and in no rows."""
    number = np.arange(count)
    radius, angle = 2 * np.sqrt(number), number * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)


SCANS: dict[str, tuple[Positions, tuple[int, int] | None]] = {
    "raster": (raster(20, 23), (20, 23)),
    "turned raster": (raster(20, 23, 0.4), (20, 23)),
    "list": (raster(20, 23, 0.4), None),
    "spiral": (spiral(460), None),
}


def order_of(mode: str, scan: str, size: int, iteration: int = 1) -> NDArray[np.int64]:
    positions, shape = SCANS[scan]
    return batch_order(mode, positions, size, np.random.default_rng([0, iteration]), shape)


def batches(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [order[i : i + size] for i in range(0, len(order), size)]


def nearest(points: Positions) -> NDArray[np.float64]:
    """Distance of each point to the nearest other."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return np.asarray(distance.min(axis=1))


def mean_over_batches(mode: str, scan: str, size: int, measure: Any) -> float:
    whole = [b for b in batches(order_of(mode, scan, size), size) if len(b) == size]
    return float(np.mean([measure(SCANS[scan][0][b]) for b in whole]))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.integers(1, 90),
    known=st.booleans(),
    kind=st.sampled_from(["raster", "random", "one place"]),
)
def test_every_position_once(
    mode: str, shape: tuple[int, int], size: int, known: bool, kind: str
) -> None:
    positions = raster(*shape, 0.3)
    if kind == "random":
        positions = np.random.default_rng(5).uniform(0, 30, positions.shape)
    elif kind == "one place":
        positions = np.full(positions.shape, 7.5)
    generator = np.random.default_rng(1)
    order = batch_order(mode, positions, size, generator, shape if known else None)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(len(positions)))


def test_random_is_a_plain_permutation() -> None:
    expected = np.random.default_rng([0, 1]).permutation(460)
    assert np.array_equal(order_of("random", "raster", 8), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scan", SCANS)
def test_seed_and_iteration_decide(mode: str, scan: str) -> None:
    assert np.array_equal(order_of(mode, scan, 16), order_of(mode, scan, 16))
    members = [
        {frozenset(b) for b in batches(order_of(mode, scan, 16, iteration), 16)}
        for iteration in range(1, 6)
    ]
    for i, some in enumerate(members):
        for others in members[:i]:
            assert len(some & others) < len(some) / 2


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("size", [4, 16, 40])
def test_compact_batches_are_of_neighbours(scan: str, size: int) -> None:
    """Half as wide as others, at the most; their batches are shuffled."""

    def spread(points: Positions) -> float:
        return float(np.sqrt(points.var(axis=0).sum()))

    assert 2 * mean_over_batches("compact", scan, size, spread) < mean_over_batches(
        "random", scan, size, spread
    )
    centres = np.array(
        [SCANS[scan][0][b].mean(0) for b in batches(order_of("compact", scan, 4), 4)]
    )
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    assert steps.mean() > 2 * nearest(centres).mean()


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("size", [4, 16, 40])
def test_sparse_batches_are_of_distant_positions(scan: str, size: int) -> None:
    def distance(points: Positions) -> float:
        return float(nearest(points).mean())

    assert mean_over_batches("sparse", scan, size, distance) > 1.2 * mean_over_batches(
        "random", scan, size, distance
    )


def test_the_short_batch_is_cut_out_anywhere() -> None:
    """Else the end of the curve would always be in it."""
    last = [set(order_of("compact", "raster", 16, i)[-(460 % 16) :]) for i in range(8)]
    assert not set.intersection(*last)


def test_hilbert_curve_visits_neighbours() -> None:
    side = 32
    cells = np.stack(np.meshgrid(*2 * [np.arange(side)], indexing="ij"), axis=-1).reshape(-1, 2)
    index = _hilbert_index(cells)
    assert sorted(index) == list(range(side**2))
    path = cells[np.argsort(index)]
    assert np.all(np.abs(np.diff(path, axis=0)).sum(axis=1) == 1)


@pytest.mark.parametrize(("classes", "squared"), [(2, 2), (5, 5), (8, 8), (10, 10), (13, 13)])
def test_the_lattice_of_a_class_is_the_sparsest(classes: int, squared: int) -> None:
    """Squared distances of the best square lattices: 5 is a knight's move, 10 is 3 and 1."""
    factor = grouping._best_factor(classes, 1.0, 1.0)
    vectors = [
        (r, c)
        for r in range(-classes, classes + 1)
        for c in range(-classes, classes + 1)
        if (r or c) and (c + factor * r) % classes == 0
    ]
    assert min(r * r + c * c for r, c in vectors) == squared


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("mode", ["compact", "sparse"])
def test_the_engine_groups_as_the_config_says(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """By the positions before the fit, which a resumed run knows too."""
    run = tiny_run(tiny, optimise={"grouping": mode})
    seen: list[list[int]] = []
    simulate = passes.simulate_patterns

    def recorded(model: Any, index: Any) -> Any:
        seen.append(index.tolist())
        return simulate(model, index)

    monkeypatch.setattr(passes, "simulate_patterns", recorded)
    run.engine.run_iteration(3)
    expected = batch_order(
        mode, run.model.positions_start, 8, np.random.default_rng([0, 3]), (5, 6)
    )
    assert [len(batch) for batch in seen] == [8, 8, 8, 6]
    assert np.array_equal(np.concatenate(seen), expected)
