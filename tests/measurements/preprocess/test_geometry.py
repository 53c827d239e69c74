"""Steps that move, leave out or sum: index by index, and there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.errors import ConfigError
from tests.measurements.preprocess.steps import run, scan_of

SIDES = st.integers(2, 7)


def numbered(*shape: int, dtype: str = "u2") -> np.ndarray:
    """Every value another one, none of them zero."""
    return np.arange(1, np.prod(shape) + 1).astype(dtype).reshape(shape)


def stack(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1, *data.shape[2:])


DATA = numbered(3, 4, 5, 6)


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        (["slow", "fast", "x", "y"], (0, 1, 3, 2)),
        (["fast", "slow", "y", "x"], (1, 0, 2, 3)),
        (["fast", "slow", "x", "y"], (1, 0, 3, 2)),
        (["n", "x", "y"], (0, 1, 3, 2)),
    ],
)
def test_permute_is_a_transposition_of_the_array(axes: list[str], order: tuple[int, ...]) -> None:
    done = run(DATA, {"step": "permute", "axes": axes})
    expected = DATA.transpose(order)
    np.testing.assert_array_equal(done.counts, stack(expected))
    assert done.recording.scan.scan_shape == expected.shape[:2]


def test_reshape_lays_another_raster() -> None:
    done = run(DATA, {"step": "reshape", "scan_shape": [2, 6]})
    assert done.recording.scan.scan_shape == (2, 6)
    np.testing.assert_array_equal(done.counts, stack(DATA))
    assert run(DATA, {"step": "reshape", "scan_shape": None}).recording.scan.scan_shape is None


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    of=st.sampled_from(["pattern", "scan"]),
    y=st.booleans(),
    x=st.booleans(),
    transpose=st.booleans(),
)
def test_flip_is_flips_then_a_transposition(of: str, y: bool, x: bool, transpose: bool) -> None:
    if not (y or x or transpose):
        return
    done = run(DATA, {"step": "flip", "of": of, "flip_y": y, "flip_x": x, "transpose": transpose})
    first = 0 if of == "scan" else 2
    expected = np.flip(DATA, [first + axis for axis, wanted in enumerate((y, x)) if wanted])
    if transpose:
        expected = np.swapaxes(expected, first, first + 1)
    np.testing.assert_array_equal(done.counts, stack(expected))
    assert done.recording.scan.scan_shape == expected.shape[:2]


@settings(derandomize=True, max_examples=20, deadline=None)
@given(
    shape=st.tuples(SIDES, SIDES, SIDES, SIDES),
    of=st.sampled_from(["pattern", "scan"]),
    field=st.sampled_from(["flip_y", "flip_x", "transpose"]),
)
def test_flipped_twice_is_nothing(shape: tuple[int, ...], of: str, field: str) -> None:
    data = numbered(*shape)
    flip = {"step": "flip", "of": of, field: True}
    done = run(data, flip, flip)
    np.testing.assert_array_equal(done.counts, stack(data))
    assert done.recording.detector == run(data).recording.detector
    np.testing.assert_array_equal(done.recording.index, np.arange(len(done.counts)))


def ranges(n: int) -> Any:
    return st.tuples(st.integers(0, n - 2), st.integers(2, n)).filter(lambda r: r[1] - r[0] >= 2)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(data=st.data())
def test_a_crop_of_a_crop_is_a_crop(data: Any) -> None:
    names = ("rows", "columns", "y", "x")
    array = numbered(6, 7, 8, 9)
    first = [data.draw(ranges(n)) for n in array.shape]
    second = [data.draw(ranges(b - a)) for a, b in first]
    both = [(a + c, a + d) for (a, _), (c, d) in zip(first, second, strict=True)]
    twice = run(
        array,
        {"step": "crop", **dict(zip(names, first, strict=True))},
        {"step": "crop", **dict(zip(names, second, strict=True))},
    )
    once = run(array, {"step": "crop", **dict(zip(names, both, strict=True))})
    expected = array[tuple(slice(*r) for r in both)]
    for done in (twice, once):
        np.testing.assert_array_equal(done.counts, stack(expected))
        assert done.recording.scan.scan_shape == expected.shape[:2]
    assert twice.recording.detector == once.recording.detector
    np.testing.assert_array_equal(twice.recording.index, once.recording.index)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(n=st.integers(2, 12), kept=st.integers(2, 12))
def test_a_crop_by_size_keeps_the_centre(n: int, kept: int) -> None:
    if kept > n:
        return
    data = np.zeros((2, n, n), np.uint8)
    data[:, n // 2, n // 2] = 9
    done = run(data, {"step": "crop", "size": kept})
    assert done.counts.shape[1:] == (kept, kept)
    assert (done.counts[:, kept // 2, kept // 2] == 9).all()
    assert done.recording.detector.centre == (kept // 2, kept // 2)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    blocks=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    factor=st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda f: f != (1, 1)),
    kind=st.sampled_from(["u1", "u2", "u4", "i2", "f4"]),
)
def test_binning_keeps_counts(blocks: tuple[int, int], factor: tuple[int, int], kind: str) -> None:
    shape = (2, blocks[0] * factor[0], blocks[1] * factor[1])
    data = np.random.default_rng(0).integers(1, 127, shape).astype(kind)
    done = run(data, {"step": "bin", "factor": factor})
    parts = data.astype(float).reshape(2, blocks[0], factor[0], blocks[1], factor[1])
    np.testing.assert_array_equal(done.counts, parts.sum(axis=(2, 4)))


@pytest.mark.parametrize(
    ("kind", "largest", "kept"),
    [("u1", 255, "u2"), ("u2", 100, "u2"), ("u2", 65535, "f4"), ("f4", 7, "f4")],
)
def test_binned_counts_stay_narrow_where_they_fit(kind: str, largest: int, kept: str) -> None:
    data = np.full((2, 4, 4), largest, kind)
    done = run(data, {"step": "bin", "factor": 2})
    assert done.patterns.dtype == np.dtype(kept)
    assert (done.counts == 4 * largest).all()


@pytest.mark.parametrize(("n", "factor"), [(8, 2), (9, 3), (12, 4), (6, 3)])
def test_binning_keeps_the_centres_pixel(n: int, factor: int) -> None:
    """The zero frequency stays in the pixel at N//2; how far from its middle is said."""
    data = np.zeros((1, n, n), np.uint8)
    data[0, n // 2, n // 2] = 1
    done = run(data, {"step": "bin", "factor": factor})
    middle = n // factor // 2
    assert done.counts[0, middle, middle] == 1
    centre = done.recording.detector.centre[0]
    assert abs(centre - middle) <= 0.5
    assert ("moved to" in done.said) == (centre != middle)


def test_a_block_with_a_bad_pixel_is_bad() -> None:
    mask = np.ones((4, 6), bool)
    mask[1, 3] = False
    done = run(scan_of(np.ones((2, 4, 6), np.uint8), mask=mask), {"step": "bin", "factor": [2, 3]})
    np.testing.assert_array_equal(done.good, [[True, False], [True, True]])


def test_the_mask_goes_with_the_pixels() -> None:
    data = np.ones((2, 5, 6), np.uint8)
    mask = np.ones((5, 6), bool)
    mask[1, 4] = False
    steps = [{"step": "crop", "y": [1, 5]}, {"step": "flip", "flip_x": True, "transpose": True}]
    done = run(scan_of(data, mask=mask), *steps)
    np.testing.assert_array_equal(done.good, mask[1:, ::-1].T)
    np.testing.assert_array_equal(done.counts, np.broadcast_to(done.good, (2, 6, 4)))


def test_the_detectors_history_is_kept() -> None:
    done = run(
        numbered(1, 2, 8, 12),
        {"step": "bin", "factor": [2, 3]},
        {"step": "flip", "transpose": True},
        {"step": "crop", "y": [1, 4]},
    )
    detector = done.recording.detector
    assert detector.recorded == (8, 12)
    assert detector.axes == (1, 0)
    assert detector.width == (3, 2)
    assert detector.centre == ((6 + 0.5) / 3 - 0.5 - 1, (4 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("order", ["corner", "centre"])
def test_steps_see_the_zero_frequency_in_the_middle(order: str) -> None:
    data = numbered(2, 2, 5, 6)
    given = np.fft.ifftshift(data, axes=(2, 3)) if order == "corner" else data
    section = {"data": {"path": "d.h5", "zero_frequency": order}}
    done = run(given, {"step": "crop", "size": 3}, **section)
    np.testing.assert_array_equal(done.counts, stack(data)[:, 1:4, 2:5])


def test_only_what_a_crop_keeps_is_read() -> None:
    asked = []
    scan = scan_of(np.ones((6, 8, 4, 4), np.uint8))

    def read(start: int, stop: int, inner: Any = scan.read) -> Any:
        asked.extend(range(start, stop))
        return inner(start, stop)

    scan.read = read
    done = run(scan, {"step": "crop", "rows": [1, 3], "columns": [2, 5]})
    assert asked == [10, 11, 12, 18, 19, 20]
    np.testing.assert_array_equal(done.recording.kept, asked)


def test_a_flip_of_the_scan_moves_patterns_and_a_crop_both() -> None:
    flip = {"step": "flip", "of": "scan", "flip_x": True}
    first = {"step": "crop", "columns": [0, 2]}
    done = run(DATA, flip, first).recording
    np.testing.assert_array_equal(done.index.reshape(3, 2), np.arange(12).reshape(3, 4)[:, :1:-1])
    np.testing.assert_array_equal(done.kept.reshape(3, 2), np.arange(12).reshape(3, 4)[:, :2])
    other = run(DATA, first, flip).recording
    np.testing.assert_array_equal(other.index.reshape(3, 2), np.arange(12).reshape(3, 4)[:, 1::-1])
    np.testing.assert_array_equal(other.kept, done.kept)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"step": "crop", "rows": [0, 4]}, r"rows: is \[0, 4\], but there are 3 rows of the scan"),
        ({"step": "crop", "x": [0, 7]}, r"x: is \[0, 7\], but there are 6 columns of the detector"),
        ({"step": "crop", "size": [6, 6]}, r"size: is \[6, 6\], more than the 5 x 6 .*step pad"),
        ({"step": "crop", "y": [2, 3]}, r": leaves \[1, 6\] pixels"),
        ({"step": "bin", "factor": 2}, r"factor: is 2 along y, but 5 .*size: \[4, 6\]"),
        (
            {"step": "reshape", "scan_shape": [5, 2]},
            r"scan_shape: is \[5, 2\], 10 positions, but there are 12",
        ),
    ],
)
def test_what_does_not_fit_the_data(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^preprocess\.0\.{step['step']}.*{message}"):
        run(DATA, step)


@pytest.mark.parametrize(
    "step",
    [
        {"step": "crop", "rows": [0, 2]},
        {"step": "crop", "columns": [0, 2]},
        {"step": "flip", "of": "scan", "flip_y": True},
        {"step": "permute", "axes": ["fast", "slow", "y", "x"]},
    ],
)
def test_what_needs_a_raster(step: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"needs a raster, but .* list of 12 .*step reshape"):
        run(stack(DATA), step)
    reshaped = run(stack(DATA), {"step": "reshape", "scan_shape": [3, 4]}, step)
    np.testing.assert_array_equal(reshaped.counts, run(DATA, step).counts)
