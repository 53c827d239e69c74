"""Stacks that do not fill their scan: what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpty.errors import DataError
from fastpty.io import open_scan


def stack(path: Path, count: int) -> Path:
    """The number of each pattern in its pixels."""
    np.save(path, np.broadcast_to(np.arange(count)[:, None, None], (count, 2, 3)))
    return path


@settings(
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    slow=st.integers(1, 4),
    fast=st.integers(1, 5),
    skip=st.integers(0, 3),
    flyback=st.integers(0, 3),
    last=st.booleans(),
    data=st.data(),
)
def test_rows_between_flyback(
    tmp_path: Path,
    slow: int,
    fast: int,
    skip: int,
    flyback: int,
    last: bool,
    data: st.DataObject,
) -> None:
    """Against the numbers counted one by one; the flyback after the last row may be missing."""
    wanted, number = [], skip
    for row in range(slow):
        wanted += range(number, number + fast)
        number += fast + (flyback if row < slow - 1 or last else 0)
    path = stack(tmp_path / "scan.npy", number)
    scan = open_scan(path, scan_shape=(slow, fast), skip=skip, flyback=flyback)
    assert (scan.shape[0], scan.scan_shape) == (slow * fast, (slow, fast))
    start = data.draw(st.integers(0, slow * fast - 1))
    stop = data.draw(st.integers(start + 1, slow * fast))
    assert scan.read(start, stop)[:, 1, 2].tolist() == wanted[start:stop]


@pytest.mark.parametrize(("count", "rows"), [(11, 2), (12, 3), (14, 3), (4, 1)])
def test_an_interrupted_scan_keeps_its_whole_rows(tmp_path: Path, count: int, rows: int) -> None:
    path = stack(tmp_path / "scan.npy", count)
    scan = open_scan(path, scan_shape=(3, 4), scan_mismatch="crop")
    assert scan.scan_shape == (rows, 4)
    assert scan.read(0, rows * 4)[:, 0, 0].tolist() == list(range(rows * 4))


def test_a_list_of_positions_needs_no_shape(tmp_path: Path) -> None:
    scan = open_scan(stack(tmp_path / "scan.npy", 7), skip=2)
    assert (scan.shape[0], scan.scan_shape) == (5, None)
    assert scan.read(0, 5)[:, 0, 0].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scan_shape": (3, 5)}, r"^data\.scan_shape: is \[3, 5\], 15 positions, but .*holds 12"),
        (
            {"scan_shape": (3, 4), "flyback": 2, "skip": 1},
            r"12 positions with 2 of flyback a row, but .*holds 11 patterns after the first 1",
        ),
        ({"skip": 12}, r"^data\.skip: is 12, but scan\.npy holds 12 patterns"),
        ({"flyback": 1}, r"^data\.scan_shape: is needed to tell rows from flyback"),
        (
            {"scan_shape": (2, 20), "scan_mismatch": "crop"},
            r"^data\.scan_shape: is \[2, 20\], but .*holds only 12 patterns. .*not even one row",
        ),
    ],
)
def test_what_does_not_fit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_scan(stack(tmp_path / "scan.npy", 12), **options)


@pytest.mark.parametrize("option", [{"skip": 1}, {"flyback": 1}, {"scan_mismatch": "crop"}])
def test_a_full_raster_has_nothing_to_leave_out(tmp_path: Path, option: dict[str, Any]) -> None:
    np.save(tmp_path / "scan.npy", np.zeros((2, 3, 4, 4)))
    name = next(iter(option))
    with pytest.raises(DataError, match=rf"^data\.{name}: has no meaning: .*raster of \[2, 3\]"):
        open_scan(tmp_path / "scan.npy", **option)


def test_a_hint_that_the_file_does_not_keep(tmp_path: Path) -> None:
    """The name says 3 x 3, but the scan was stopped; what the user says counts more."""
    path = tmp_path / "scan_x3_y3.raw"
    np.zeros((7, 130, 128), "<f4").tofile(path)
    message = (
        r"^data\.scan_shape: is needed: .*says that it is a scan of 3 x 3, 9 positions, but holds 7"
    )
    with pytest.raises(DataError, match=message):
        open_scan(path)
    assert open_scan(path, scan_mismatch="crop").scan_shape == (2, 3)
    assert open_scan(path, scan_shape=(7, 1)).scan_shape == (7, 1)
