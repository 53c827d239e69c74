"""Padding and resampling, in memory and when a batch is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.errors import ConfigError, DataError
from fastpty.measurements.canvas import Canvas, pad_matrix, resample_matrix
from tests.measurements.preprocess.steps import run, scan_of
from tests.tolerances import bound, tolerance

SINGLE = tolerance("sum", torch.float32)
SIDES = st.integers(2, 9)


def stack(shape: tuple[int, int] = (5, 6), kind: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, (3, *shape)).astype(kind)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(shape=st.tuples(SIDES, SIDES), more=st.tuples(SIDES, SIDES), stored=st.booleans())
def test_padding_puts_the_centre_at_the_centre(
    shape: tuple[int, int], more: tuple[int, int], stored: bool
) -> None:
    data = stack(shape)
    size = [n + m for n, m in zip(shape, more, strict=True)]
    done = run(data, {"step": "pad", "size": size, "stored": stored})
    y, x = (m // 2 - n // 2 for n, m in zip(shape, size, strict=True))
    expected = np.zeros((3, *size))
    expected[:, y : y + shape[0], x : x + shape[1]] = data
    np.testing.assert_array_equal(done.counts, expected)
    np.testing.assert_array_equal(done.good, expected[0] > 0)
    assert done.recording.detector.centre == (size[0] // 2, size[1] // 2)
    back = run(data, {"step": "pad", "size": size}, {"step": "crop", "size": list(shape)})
    np.testing.assert_array_equal(back.counts, data)


@pytest.mark.parametrize("stored", [False, True])
def test_what_is_padded_takes_no_memory_until_it_is_used(stored: bool) -> None:
    data = stack()
    done = run(data, {"step": "pad", "size": 20, "stored": stored})
    assert done.patterns.dtype == np.uint16
    assert done.patterns.nbytes == (3 * 20 * 20 * 2 if stored else data.nbytes)
    assert done.patterns.shape == (3, 20, 20)
    assert ("in memory" if stored else "when a batch is used") in done.said


def test_a_later_step_has_the_padded_patterns() -> None:
    data = stack((4, 4))
    done = run(data, {"step": "pad", "size": 8}, {"step": "bin", "factor": 2})
    np.testing.assert_array_equal(
        done.counts[:, 1:3, 1:3], data.reshape(3, 2, 2, 2, 2).sum(axis=(2, 4))
    )
    assert done.patterns.nbytes == 3 * 4 * 4 * 2
    np.testing.assert_array_equal(done.good, np.pad(np.ones((2, 2), bool), 1))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("fill", "mode", "options"),
    [
        ("zero", "constant", {}),
        ("constant", "constant", {"constant_values": 7}),
        ("edge", "edge", {}),
        ("linear_ramp", "linear_ramp", {}),
    ],
)
def test_fills_that_numpy_knows(
    fill: str, mode: Any, options: dict[str, Any], stored: bool
) -> None:
    data = stack()
    value = {"value": 7} if fill == "constant" else {}
    done = run(data, {"step": "pad", "size": [12, 11], "fill": fill, "stored": stored, **value})
    expected = [np.pad(p.astype(float), ((4, 3), (2, 3)), mode, **options) for p in data]
    np.testing.assert_allclose(done.counts, expected, **tolerance("sum", torch.float32, 200))
    assert done.good.all()


@pytest.mark.parametrize("fill", ["power", "exp"])
def test_a_law_that_goes_on_outside(fill: str) -> None:
    """A pattern that follows the law everywhere is continued as itself."""

    def pattern(n: int) -> np.ndarray:
        y, x = np.indices((n, n)) - n // 2
        radius = np.maximum(np.hypot(y, x), 1)
        return (20 * radius**-1.5 if fill == "power" else 20 * np.exp(-radius / 9)) ** 2

    done = run(np.stack([pattern(24)] * 2), {"step": "pad", "size": 40, "fill": fill})
    outside = ~np.pad(np.ones((24, 24), bool), 8)
    error = np.abs(done.counts[0] - pattern(40))[outside].max()
    assert error < bound("sampled") * pattern(40)[outside].max()


def test_the_percentile_chooses_what_is_fitted() -> None:
    """Below it lies the weak outer part, which here follows another law than the strong one."""
    y, x = np.indices((24, 24)) - 12
    radius = np.maximum(np.hypot(y, x), 1)
    mean = np.where(radius < 8, 100 - radius, (50 / radius) ** 2)
    said = [
        run(mean[None], {"step": "pad", "size": 30, "fill": "power", "percentile": p}).said
        for p in (40, 100)
    ]
    assert "(50 r^-1)^2" in said[0]
    assert "(50 r^-1)^2" not in said[1]


@settings(derandomize=True, max_examples=40, deadline=None)
@given(before=st.integers(2, 12), after=st.integers(2, 30))
def test_resampling_keeps_counts_and_the_centre(before: int, after: int) -> None:
    matrix = resample_matrix(before, after)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=0), 1)
    # Away from the edges, even counts stay even.
    inside = np.abs(np.arange(after) - after // 2) < after / 2 - 2 - after / before
    np.testing.assert_allclose(matrix.sum(axis=1)[inside], before / after)
    # What is symmetric about the centre stays so.
    reach = min(before // 2, (before - 1) // 2)
    sample = np.zeros(before)
    sample[before // 2 - reach : before // 2 + reach + 1] = 1
    sample[: 1 - before % 2] = 0
    image = matrix @ sample
    near = min(after // 2, (after - 1) // 2, max(0, int(reach * after / before) - 1))
    centre = after // 2
    np.testing.assert_allclose(
        image[centre - near : centre + 1], image[centre : centre + near + 1][::-1], atol=1e-12
    )


def test_twice_the_pixels_are_a_linear_interpolation() -> None:
    matrix = resample_matrix(6, 12)
    np.testing.assert_allclose(matrix[6, 2:5], [0, 0.5, 0])
    np.testing.assert_allclose(matrix[7, 2:5], [0, 0.25, 0.25])
    np.testing.assert_array_equal(resample_matrix(5, 5), np.eye(5))


@pytest.mark.parametrize("stored", [False, True])
def test_resampled_patterns(stored: bool) -> None:
    data = stack()
    done = run(data, {"step": "resample", "factor": [2, 1.5], "stored": stored})
    assert done.counts.shape == (3, 10, 9)
    np.testing.assert_allclose(done.counts.sum(axis=(1, 2)), data.sum(axis=(1, 2)), **SINGLE)
    assert done.recording.detector.width == (0.5, 6 / 9)
    assert done.recording.detector.centre == (5, 4)
    assert done.patterns.dtype == (np.float32 if stored else np.uint16)


def test_one_after_the_other_is_both() -> None:
    """Late steps are joined into one; the same steps in memory come to the same."""
    steps: list[dict[str, Any]] = [
        {"step": "normalise", "to": "max"},
        {"step": "pad", "size": 10, "fill": "constant", "value": 0.5},
        {"step": "resample", "factor": 1.5},
        {"step": "pad", "size": [17, 18], "fill": "masked"},
        {"step": "normalise", "to": "sum"},
    ]
    mask = np.ones((5, 6), bool)
    mask[0, 3] = False
    data = stack()
    late = run(scan_of(data, mask=mask), *steps)
    done = run(scan_of(data, mask=mask), *steps, {"step": "crop", "size": [17, 18]})
    good = done.good
    np.testing.assert_array_equal(late.good, good)
    np.testing.assert_allclose(late.counts[:, good], done.counts[:, good], **SINGLE)
    means = (np.fft.fftshift(d.patterns.mean)[good] for d in (late, done))
    np.testing.assert_allclose(*means, **SINGLE)
    assert late.patterns.nbytes < done.patterns.nbytes
    assert late.counts[:, late.good].sum() == pytest.approx(3)


def test_a_bad_pixel_spreads_as_far_as_its_counts() -> None:
    mask = np.ones((4, 4), bool)
    mask[2, 1] = False
    good = Canvas(rows=resample_matrix(4, 8), columns=resample_matrix(4, 8)).good(mask)
    np.testing.assert_array_equal(
        np.argwhere(~good), [[y, x] for y in (3, 4, 5) for x in (1, 2, 3)]
    )


def test_the_batches_of_a_canvas_go_where_the_patterns_go() -> None:
    done = run(stack(), {"step": "pad", "size": 9, "fill": "constant", "value": 2})
    patterns = done.patterns.to(torch.device("meta"))
    counts = patterns.counts(torch.tensor([0, 1], device="meta"))
    assert (counts.device.type, counts.shape) == ("meta", (2, 9, 9))
    assert patterns.recorded_buffer(2, device="meta").shape == (2, 5, 6)


def test_pad_matrix_of_the_same_size_is_nothing() -> None:
    for edge in ("none", "edge", "ramp"):
        np.testing.assert_array_equal(pad_matrix(5, 5, edge), np.eye(5))


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ({"step": "pad", "size": 5}, ConfigError, r"pad\.size: is \[5, 5\], less than .* 5 x 6"),
        ({"step": "resample", "factor": 0.2}, ConfigError, r"resample\.factor: leaves \[1, 1\]"),
        (
            {"step": "pad", "size": 9, "fill": "power"},
            DataError,
            r"pad: only 0 pixels are greater than zero .* Raise percentile",
        ),
    ],
)
def test_what_does_not_fit(step: dict[str, Any], error: type[Exception], message: str) -> None:
    data = np.zeros((3, 5, 6), np.uint8)
    data[:, 2, 3] = 1
    with pytest.raises(error, match=rf"^preprocess\.0\.{message}"):
        run(data, step)
