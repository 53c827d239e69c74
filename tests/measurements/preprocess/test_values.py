"""Steps on counts: negative values, divisors, and the memory that they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.errors import DataError
from fastpty.measurements.preprocess import preprocess
from tests.measurements.preprocess.steps import config_of, run, scan_of
from tests.tolerances import tolerance

SINGLE = tolerance("product", torch.float32)
CLIP = {"step": "remove_negative"}


def signed(kind: str = "i2") -> np.ndarray:
    data = np.random.default_rng(0).integers(-20, 100, (6, 4, 5)).astype(kind)
    data.flat[:3] = (-20, 99, 0)
    return data


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "f4", "f2"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, lambda d: np.maximum(d, 0)),
        ({"mode": "clip_below", "value": 7}, lambda d: np.where(d < 7, 0, d)),
        ({"mode": "subtract_min"}, lambda d: d + 20),
        ({"mode": "subtract", "value": 5}, lambda d: np.maximum(d - 5, 0)),
        ({"mode": "subtract", "value": -4}, lambda d: np.maximum(d + 4, 0)),
        ({"mode": "subtract", "value": 0.5}, lambda d: np.maximum(d - 0.5, 0)),
    ],
    ids=["clip", "below", "min", "value", "lift", "fraction"],
)
def test_no_value_below_zero(kind: str, fields: dict[str, Any], expected: Any) -> None:
    data = signed(kind)
    done = run(data, {**CLIP, **fields})
    np.testing.assert_array_equal(done.counts, expected(data.astype(np.float64)))
    whole = np.dtype(kind).kind == "i" and fields.get("value") != 0.5
    assert done.recording.scan.dtype.kind == ("u" if whole else "f")


@settings(derandomize=True, max_examples=20, deadline=None)
@given(kind=st.sampled_from(["u1", "u2", "i1", "i2"]), level=st.integers(0, 300))
def test_whole_numbers_subtracted_never_leave_the_type(kind: str, level: int) -> None:
    limits = np.iinfo(kind)
    data = np.linspace(limits.min, limits.max, 20).astype(kind).reshape(1, 4, 5)
    step = {"step": "remove_negative", "mode": "subtract", "value": level}
    scan = preprocess(scan_of(data), config_of(step), Path()).scan
    np.testing.assert_array_equal(scan.read(0, 1), np.maximum(data.astype(int) - level, 0))
    assert scan.dtype.itemsize == data.dtype.itemsize


def test_the_lowest_value_of_a_type_just_fits() -> None:
    data = np.full((1, 2, 2), 32767, "i2")
    data[0, 0, 0] = -32768
    done = run(data, {**CLIP, "mode": "subtract_min"})
    assert done.counts.max() == 65535
    assert done.patterns.dtype == np.uint16


def test_what_was_clipped_is_counted() -> None:
    data = np.ones((2, 4, 5), "f4")
    data[0, 1, 2], data[1, 3, 3] = -2, -4
    said = run(data, CLIP).said
    assert "2 values (5 %) set to 0, +3 counts a pattern" in said
    assert "no value was set to 0" in run(np.abs(data), CLIP).said
    cropped = run(data.reshape(1, 2, 4, 5), CLIP, {"step": "crop", "columns": [1, 2]}).said
    assert "1 values (5 %) set to 0, +4 counts a pattern" in cropped
    assert "uint8 has no sign" in run(np.ones((1, 2, 2), "u1"), CLIP).said


@pytest.mark.parametrize("lowest", [-1, 0])
def test_only_if_negative(lowest: int) -> None:
    data = np.full((1, 2, 3), 10, "f4")
    data[0, 0, 0] = lowest
    step = {**CLIP, "mode": "subtract", "value": 3, "only_if_negative": True}
    assert run(data, step).counts.max() == (7 if lowest < 0 else 10)


def test_the_minimum_is_that_of_the_good_pixels() -> None:
    data = np.full((2, 3, 4), 10, "f4")
    data[:, 1, 1], data[:, 0, 0] = -1000, -2
    mask = np.ones((3, 4), bool)
    mask[1, 1] = False
    done = run(scan_of(data, mask=mask), {**CLIP, "mode": "subtract_min"})
    assert done.counts[:, 2, 2].tolist() == [12, 12]
    assert (done.counts[:, 1, 1] == 0).all()


def test_what_is_still_negative_is_refused_or_clipped_in_the_end() -> None:
    data = np.ones((2, 4, 4), "f4")
    data[0, 0, 0] = -0.5
    crop = {"step": "crop", "size": 4}
    with pytest.raises(DataError, match="negative values"):
        run(data, crop)
    section = {"path": "d.h5", "negative": "clip"}
    assert run(data, crop, data=section).counts.min() == 0


def drifting() -> np.ndarray:
    current = np.array([1, 2, 4, 5], np.uint16)
    return current[:, None, None] * np.arange(1, 21, dtype=np.uint16).reshape(4, 5)


def test_patterns_of_equal_counts_keep_their_mean() -> None:
    data = drifting()
    done = run(data, {"step": "normalise"})
    totals = done.counts.sum(axis=(1, 2))
    np.testing.assert_allclose(totals, data.sum(axis=(1, 2)).mean(), **SINGLE)
    assert "factors 0.3333 to 1.667" in done.said
    assert "uint16 becomes float32, 2 times the memory" in done.said


def test_exposures_of_the_recorded_patterns(tmp_path: Path) -> None:
    """They go with the patterns that a crop of the scan keeps."""
    np.save(tmp_path / "current.npy", [9.0, 1, 2, 4, 5, 9])
    data = np.concatenate([drifting()[:1], drifting(), drifting()[:1]])
    done = run(
        scan_of(data, (1, 6)),
        {"step": "crop", "columns": [1, 5]},
        {"step": "normalise", "to": "exposure", "exposure": {"path": "current.npy"}},
        folder=tmp_path,
    )
    np.testing.assert_allclose(done.counts, np.broadcast_to(done.counts[:1], (4, 4, 5)), **SINGLE)
    np.testing.assert_allclose(done.counts[0], 3 * data[1], **SINGLE)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    ("to", "level"),
    [("max", 60.0), ("mean", 31.5), ("sum", 630.0), ("constant", 4.0)],
)
def test_divided_by_one_number(to: str, level: float, late: bool) -> None:
    """In memory the counts stay what they are, unless a later step wants them divided."""
    data = drifting()
    value = {"value": 4.0} if to == "constant" else {}
    steps: list[dict[str, Any]] = [{"step": "normalise", "to": to, **value}]
    if not late:
        steps.append({"step": "flip", "flip_x": True})
    done = run(data, *steps)
    expected = data / level if late else data[..., ::-1] / level
    np.testing.assert_allclose(done.counts, expected, **SINGLE)
    assert done.patterns.dtype == (np.uint16 if late else np.float32)
    np.testing.assert_allclose(done.patterns.mean.max(), done.counts.mean(axis=0).max(), **SINGLE)


@pytest.mark.parametrize(
    ("exposure", "message"),
    [
        (np.ones(3), r"exposure: has shape \[3\] .* holds 4 patterns"),
        (np.array([1, 1, 0, 1.0]), r"exposure: is 0 in pattern 2, but must be positive"),
        (np.ones(4, complex), r"need real numbers \[4\]"),
    ],
)
def test_exposures_that_cannot_be(tmp_path: Path, exposure: np.ndarray, message: str) -> None:
    np.save(tmp_path / "e.npy", exposure)
    step = {"step": "normalise", "to": "exposure", "exposure": {"path": "e.npy"}}
    with pytest.raises(DataError, match=message):
        run(drifting(), step, folder=tmp_path)


def test_a_pattern_without_counts_has_no_factor() -> None:
    data = drifting()
    data[1] = 0
    with pytest.raises(DataError, match=r"^preprocess\.0\.normalise: is 0 in pattern 1"):
        run(data, {"step": "normalise"})
