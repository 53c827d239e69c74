"""Which positions a stage visits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpty.config.plan import SubsetConfig
from fastpty.errors import ConfigError
from fastpty.measurements import visited_positions

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
