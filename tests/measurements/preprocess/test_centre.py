"""The centre moved by whole pixels: counts stay what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.errors import DataError
from tests.measurements.preprocess.steps import disc, run, scan_of

SHAPE = (30, 33)
STEP = {"step": "centre"}


def stack(centre: tuple[float, float], background: int = 1) -> np.ndarray:
    counts = disc(SHAPE, centre, 6, 100) + background
    return np.stack([counts, 2 * counts]).astype(np.uint16)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(
    y=st.integers(8, 21), x=st.integers(8, 24), method=st.sampled_from(["disc", "mass", "given"])
)
def test_the_disc_comes_to_the_middle(y: int, x: int, method: str) -> None:
    data = stack((y, x), 0)
    step = {**STEP, "at": [y, x]} if method == "given" else {**STEP, "method": method}
    done = run(data, step)
    np.testing.assert_array_equal(done.counts, stack((15, 16), 0))
    assert f"moved by [{15 - y}, {16 - x}] px; [+0.00, +0.00] px from N//2 remain" in done.said
    assert done.patterns.dtype == np.uint16
    assert done.recording.detector.centre == pytest.approx((15, 16))


def test_a_bright_spot_beside_the_disc_pulls_at_the_mass_alone() -> None:
    data = stack((15, 16), 0)
    data[:, 2, 3] = 60000
    np.testing.assert_array_equal(run(data, STEP).counts, data)
    assert "centre of mass [4.78, 5.78]" in run(data, {**STEP, "method": "mass"}).said


def test_what_comes_in_at_the_edge_is_not_measured() -> None:
    done = run(stack((12, 19)), STEP)
    expected = np.ones(SHAPE, bool)
    expected[:3] = False
    expected[:, 30:] = False
    np.testing.assert_array_equal(done.good, expected)
    assert "of the counts left the detector" in done.said


def test_what_leaves_comes_back_on_the_other_side() -> None:
    data = stack((12, 19))
    done = run(data, {**STEP, "edge": "wrap"})
    np.testing.assert_array_equal(done.counts, np.roll(data, (3, -3), axis=(1, 2)))
    assert done.good.all()


def test_what_is_left_of_the_way_is_said() -> None:
    done = run(stack((12, 19)), {**STEP, "at": [14.7, 16.2]})
    assert "given centre [14.70, 16.20] moved by [0, 0] px; [-0.30, +0.20] px" in done.said
    np.testing.assert_array_equal(done.counts, stack((12, 19)))
    assert done.recording.detector.centre == (14.7, 16.2)


def test_the_mask_moves_along() -> None:
    mask = np.ones(SHAPE, bool)
    mask[5, 7] = False
    done = run(scan_of(stack((13, 17)), mask=mask), STEP)
    assert not done.good[7, 6]
    assert done.good[5, 7]


def test_centring_twice_is_centring_once() -> None:
    data = stack((12, 19))
    once, twice = run(data, STEP), run(data, STEP, STEP)
    np.testing.assert_array_equal(once.counts, twice.counts)
    np.testing.assert_array_equal(once.good, twice.good)


@pytest.mark.parametrize(
    ("data", "fields", "message"),
    [
        (stack((12, 19)), {"at": [12, 40]}, r"at: the centre \[12, 40\] lies outside of the 30 x"),
        (np.zeros((1, 4, 4)), {"method": "mass"}, "zero: it has no centre of mass"),
    ],
)
def test_there_must_be_a_centre(data: np.ndarray, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(data, {**STEP, **fields})
