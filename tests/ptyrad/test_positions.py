"""Positions of a converted scan are those of PtyRAD's own formula."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty.measurements import load_measurements
from tests.ptyrad.cases import native
from tests.recon_cases import PIXEL, SCAN, Tiny, make_tiny
from tests.tolerances import tolerance


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"), (24, 24))


def of_ptyrad(flips: list[int] | None, affine: list[float] | None) -> NDArray[np.float64]:
    """As its ``Initializer`` does, in px: rows (y, x) about their mean."""
    slow, fast = SCAN
    rows = np.array([(y, x) for y in range(slow) for x in range(fast)], float) / PIXEL
    rows = rows - rows.mean(axis=0)
    if flips is not None:
        grid = np.flip(rows.reshape(slow, fast, 2), np.nonzero(flips)[0])
        rows = grid.reshape(-1, 2)
    if affine is not None:
        scale, asymmetry, rotation, shear = affine
        turn, slant = np.radians([rotation, shear])
        matrices = (
            np.array([[scale, 0], [0, scale]]),
            np.array([[1 + asymmetry / 2, 0], [0, 1 - asymmetry / 2]]),
            np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]),
            np.array([[1, 0], [np.tan(slant), 1]]),
        )
        for matrix in matrices:
            rows = rows @ matrix
    return rows - rows.mean(axis=0)


@pytest.mark.parametrize("affine", [None, [1.1, 0.05, 12.0, 3.0], [0.95, -0.1, -100.0, 0.0]])
@pytest.mark.parametrize("flips", [None, *map(list, itertools.product([0, 1], repeat=3))])
def test_flips_and_affine(tiny: Tiny, flips: list[int] | None, affine: list[float] | None) -> None:
    given: dict[str, Any] = {
        "meas_params": {"path": str(tiny.folder / "tiny.h5"), "key": "data"},
        "meas_calibration": {"mode": "dx", "value": PIXEL},
        "pos_scan_flipT": flips,
        "pos_scan_affine": affine,
        "pos_scan_rand_std": None,
    }
    found = load_measurements(native(init=given), Path()).positions
    found = found - found.mean(axis=0)
    expected = of_ptyrad(flips, affine)
    near = tolerance("chain", torch.float64, scale=float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, **near)


def test_the_four_numbers_keep_their_names() -> None:
    assert native().scan.affine_parts is None
    parts = native(init={"pos_scan_affine": [1.1, 0.05, 30, -2]}).scan.affine_parts
    assert parts is not None
    assert list(parts.model_dump().values()) == [1.1, 0.05, 30, -2]
    assert native(init={"pos_scan_flipT": [1, 0, 0]}).scan.affine == ((-1, 0), (0, 1))
