"""The numbers of quality that a result has by itself, and their table."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpty.quality import quality_of, quality_table
from fastpty.results import Results
from tests.tolerances import bound

SIDE = 128
WINDOW = 16


def crystal(pixel_size: tuple[float, float] | None) -> Results:
    """A lattice of 5 px in weak noise, in two slices, scanned 8 px from all edges."""
    y, x = np.indices((SIDE, SIDE))
    random = np.random.default_rng(0)
    lattice = np.cos(2 * np.pi * y / 5) + np.cos(2 * np.pi * x / 5)
    phase = (0.1 * lattice + 0.1 * random.normal(size=(2, SIDE, SIDE))).astype(np.float32)
    positions = np.array([[0.0, 0.0], [SIDE - WINDOW - 1.0, SIDE - WINDOW - 1.0]])
    fitted = {"patterns": 2, "r_factor": math.nan, "poisson_nll": 1.5, "chi_square": 1.0}
    return Results(
        amplitude=np.ones_like(phase[None]),
        phase=phase[None],
        probe=np.ones((1, WINDOW, WINDOW), np.complex64),
        positions=positions,
        positions_start=positions,
        pixel_size=pixel_size,
        agreement={"fitted": fitted},
    )


@pytest.mark.parametrize(("pixel", "unit"), [((0.2, 0.2), "Å"), (None, "px")])
def test_the_information_limit_is_a_period(pixel: tuple[float, float] | None, unit: str) -> None:
    found = quality_of(crystal(pixel))
    assert found["length_unit"] == unit
    scale = 1.0 if pixel is None else pixel[0]
    assert found["information_limit"] == pytest.approx(5 * scale, rel=bound("raster"))
    # What is not a number has no place in JSON.
    expected = {"patterns": 2, "r_factor": None, "poisson_nll": 1.5, "chi_square": 1.0}
    assert found["fitted"] == expected
    assert found["left_out"] is None


def test_rows_are_those_that_a_run_has() -> None:
    quality = quality_of(crystal((0.2, 0.2)))
    names = [row.name for row in quality_table({"quality": quality})]
    assert names == [
        "number of fitted patterns",
        "R factor",
        "Poisson -log likelihood per pixel, fitted patterns",
        "chi-square per pixel, fitted patterns",
        "information limit",
    ]
    limit = quality_table({"quality": quality})[-1]
    assert (limit.value, limit.unit) == (quality["information_limit"], "Å")
    numbers = {"patterns": 1, "r_factor": 0.5, "poisson_nll": 1.0, "chi_square": 2.0}
    truth = {"correlation": 0.9, "ssim": None}
    rows = quality_table({"quality": {**quality, "left_out": numbers}, "truth": truth})
    values = {row.name: row.value for row in rows}
    assert values["free R factor"] == 0.5
    assert values["structural similarity to the truth"] is None
    assert "slope of the phase over the truth" not in values
