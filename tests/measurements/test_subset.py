"""Which positions a stage visits, and which no stage does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpty.config.data import DataConfig, HalfConfig
from fastpty.config.plan import SubsetConfig
from fastpty.errors import ConfigError
from fastpty.measurements import visited_positions, withheld_positions

RASTER = (5, 6)
NUMBERS = np.arange(30).reshape(RASTER)


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ({}, NUMBERS),
        ({"center": (3, 2)}, NUMBERS[1:4, 2:4]),
        ({"center": (2, 3)}, NUMBERS[1:3, 1:4]),
        ({"center": (5, 6)}, NUMBERS),
        ({"sub": (5, 3)}, NUMBERS[:, 1::2]),
        ({"sub": (1, 2)}, NUMBERS[2:3, 1::3]),
        ({"sub": (5, 6)}, NUMBERS),
        ({"rows": (1, 3)}, NUMBERS[1:3]),
        ({"columns": (5, 6)}, NUMBERS[:, 5:]),
        ({"rows": (0, 2), "columns": (1, 3)}, NUMBERS[:2, 1:3]),
    ],
)
def test_rows_and_columns(subset: dict[str, Any], expected: Any) -> None:
    found = visited_positions(SubsetConfig(**subset), 30, RASTER, "scan")
    assert found.index.tolist() == expected.ravel().tolist()
    assert found.scan_shape == expected.shape
    assert len(found) == expected.size


def test_a_list_of_positions_is_visited_whole() -> None:
    found = visited_positions(SubsetConfig(), 7, None, "scan")
    assert found.index.tolist() == list(range(7))
    assert found.scan_shape is None


@pytest.mark.parametrize("shape", [None, (5, 5)])
def test_a_list_of_positions_has_no_rows(shape: tuple[int, int] | None) -> None:
    message = r"^plan\.1\.scan: names rows and columns, but the scan is a list of 30 .*scan: full"
    with pytest.raises(ConfigError, match=message):
        visited_positions(SubsetConfig(center=(1, 1)), 30, shape, "plan.1.scan")


@pytest.mark.parametrize(
    ("subset", "asked"),
    [
        ({"center": (6, 1)}, "6 rows"),
        ({"sub": (1, 7)}, "7 columns"),
        ({"rows": (2, 6)}, "6 rows"),
        ({"columns": (0, 9)}, "9 columns"),
    ],
)
def test_beyond_the_scan(subset: dict[str, Any], asked: str) -> None:
    with pytest.raises(ConfigError, match=rf"^plan\.0\.scan: asks for {asked}; the scan is 5 x 6"):
        visited_positions(SubsetConfig(**subset), 30, RASTER, "plan.0.scan")


# What no stage visits.


def test_left_out_patterns_are_drawn_by_seed() -> None:
    found = [withheld_positions(DataConfig(path="d", leave_out=0.1), 400, None, s) for s in (0, 1)]
    assert [out.sum() for out in found] == [40, 40]
    assert (found[0] != found[1]).any()
    again = withheld_positions(DataConfig(path="d", leave_out=0.1), 400, (20, 20), 0)
    assert (again == found[0]).all()
    assert withheld_positions(DataConfig(path="d", leave_out=0.001), 30, RASTER, 0).sum() == 1
    assert not withheld_positions(DataConfig(path="d"), 30, RASTER, 0).any()


@pytest.mark.parametrize("split", ["chessboard", "random"])
def test_halves_share_nothing_and_leave_nothing(split: str) -> None:
    halves = [{"split": split, "part": part, "seed": 3} for part in (1, 2)]
    out = [
        withheld_positions(DataConfig.model_validate({"path": "d", "half": half}), 35, (5, 7), 0)
        for half in halves
    ]
    assert (out[0] != out[1]).all()
    assert (out[0].sum(), out[1].sum()) == (17, 18)


def test_a_chessboard_has_no_neighbours() -> None:
    data = DataConfig(path="d", half=HalfConfig())
    fitted = ~withheld_positions(data, 30, RASTER, 0).reshape(RASTER)
    assert fitted[0, 0]
    assert not (fitted[1:] & fitted[:-1]).any()
    assert not (fitted[:, 1:] & fitted[:, :-1]).any()


def test_a_random_half_depends_on_its_own_seed() -> None:
    def fitted(seed: int, of_the_run: int) -> list[bool]:
        data = DataConfig(path="d", half=HalfConfig(split="random", seed=seed))
        return withheld_positions(data, 30, None, of_the_run).tolist()

    assert fitted(0, 0) == fitted(0, 1) != fitted(1, 0)


def test_halves_can_leave_patterns_out() -> None:
    data = DataConfig(path="d", leave_out=0.2, half=HalfConfig())
    both = withheld_positions(data, 30, RASTER, 0)
    alone = withheld_positions(DataConfig(path="d", leave_out=0.2), 30, RASTER, 0)
    half = withheld_positions(DataConfig(path="d", half=HalfConfig()), 30, RASTER, 0)
    assert (both == (alone | half)).all()


def test_a_list_of_positions_has_no_chessboard() -> None:
    data = DataConfig(path="d", half=HalfConfig())
    message = r"^data\.half\.split: is chessboard, but the scan is a list of 30 .*Use random"
    with pytest.raises(ConfigError, match=message):
        withheld_positions(data, 30, None, 0)


def test_what_is_withheld_stands_beside_what_is_visited() -> None:
    visited = visited_positions(SubsetConfig(rows=(1, 2)), 30, RASTER, "scan")
    withheld = np.zeros(30, bool)
    withheld[[0, 7, 9]] = True
    found = visited.without(withheld, "scan")
    assert found.index.tolist() == [6, 8, 10, 11]
    assert found.left_out.tolist() == [7, 9]
    assert found.scan_shape is None
    assert visited.without(np.zeros(30, bool), "scan").scan_shape == (1, 6)


def test_a_stage_keeps_a_position() -> None:
    visited = visited_positions(SubsetConfig(rows=(0, 1), columns=(0, 1)), 30, RASTER, "scan")
    message = r"^plan\.0\.scan: visits 1 position, all of which data\.leave_out .*lower data\.leave"
    with pytest.raises(ConfigError, match=message):
        visited.without(np.ones(30, bool), "plan.0.scan")
