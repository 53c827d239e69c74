"""Backgrounds of known form, taken out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.measurements.preprocess.background import fit_exponential, fit_power_law
from tests.measurements.preprocess.steps import disc, run, scan_of
from tests.tolerances import bound

SHAPE = (40, 44)
DISC = disc(SHAPE, (20, 22), 8, 100.0)
RADIUS = np.hypot(*(np.indices(SHAPE) - np.reshape((20, 22), (2, 1, 1))))
STEP = {"step": "background"}


def stack(background: Any, kind: str = "f4") -> np.ndarray:
    return np.repeat((DISC + background)[None], 3, axis=0).astype(kind)


def power_law(a: float = 400.0, b: float = 2.0) -> np.ndarray:
    """Constant where the step holds it so: within 1.2 radii of the disc."""
    return a * np.maximum(RADIUS, 1.2 * 8) ** -b


@pytest.mark.parametrize("value", [None, 3.0])
def test_a_constant(value: float | None) -> None:
    """Found outside the disc, or given: in whole counts nothing becomes wider."""
    step = STEP if value is None else {**STEP, "value": value}
    done = run(stack(3, "u2"), step)
    np.testing.assert_array_equal(done.counts[1], DISC)
    assert done.patterns.dtype == np.uint16
    assert "3 in every pixel" in done.said


def test_counts_below_the_background_are_zero_and_counted() -> None:
    data = stack(3)
    data[1, 0, :4] = 1
    done = run(data, {**STEP, "value": 3})
    assert (done.counts[1, 0] == 0).all()
    assert "4 values (0.076 %) set to 0, +2.67 counts a pattern" in done.said


def test_counts_that_become_fractions_cost_memory() -> None:
    done = run(stack(3, "u1"), {**STEP, "value": 2.5})
    assert done.patterns.dtype == np.float32
    assert "uint8 becomes float32, 4 times the memory" in done.said


def test_a_power_law() -> None:
    done = run(stack(power_law()), {**STEP, "model": "power"})
    error = np.abs(done.counts[0] - DISC)
    outside = RADIUS > 1.2 * 8
    assert error[outside].max() < bound("sampled") * power_law()[outside].max()
    # The fitted radius is smaller by a fifth of a pixel, where the law is cut off.
    assert error[~outside].max() < 0.1 * power_law().max()
    assert " r^-2 at r > 9.4 px, " in done.said


def test_a_median_for_each_radius() -> None:
    """Any fall with the radius; reflections stay, as they are few on their ring."""
    spot = np.zeros(SHAPE)
    spot[4, 30] = 500
    falling = 30 * np.exp(-np.maximum(RADIUS, 10) / 12)
    done = run(stack(falling + spot), {**STEP, "model": "radial"})
    assert np.abs(done.counts - DISC - spot).max() < 0.1 * falling.max()
    assert done.counts[0, 4, 30] > 495


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_recorded_image(tmp_path: Path, ndim: int) -> None:
    """One dark image, or a stack of them; ``factor`` for another exposure."""
    dark = np.random.default_rng(0).integers(0, 20, SHAPE).astype(np.float64)
    given = dark / 2 if ndim == 2 else np.stack([dark / 2 - 0.25, dark / 2 + 0.25])
    np.save(tmp_path / "dark.npy", given)
    step = {**STEP, "model": "image", "image": {"path": "dark.npy"}, "factor": 2}
    done = run(stack(dark, "u2"), step, folder=tmp_path)
    np.testing.assert_array_equal(done.counts[0], DISC)
    assert done.patterns.dtype == np.uint16


def test_outside_the_disc_begins_where_it_is_said() -> None:
    """A halo just outside of the disc counts as background, or not."""
    halo = np.where(RADIUS < 13, 40.0, 3.0)
    for outside, found in ((1.1, "3 in every pixel"), (1.8, "3 in every pixel")):
        assert found in run(stack(halo), {**STEP, "outside": outside}).said
    radial = {**STEP, "model": "radial"}
    near, far = (
        run(stack(halo), {**radial, "outside": outside}).counts[0, 20, 22 + 11]
        for outside in (1.1, 1.8)
    )
    assert near == 0
    assert far == 37


def test_bad_pixels_say_nothing_and_stay_zero() -> None:
    mask = np.ones(SHAPE, bool)
    mask[:, :3] = False
    data = stack(3)
    data[:, :, :3] = 900
    done = run(scan_of(data, mask=mask), {**STEP, "model": "radial"})
    assert (done.counts[:, :, :3] == 0).all()
    assert np.abs(done.counts - DISC)[:, :, 3:].max() < 1e-3


def test_the_laws_are_found_from_their_own_values() -> None:
    radius = np.linspace(3, 40, 50)
    np.testing.assert_allclose(fit_power_law(radius, 5 * radius**-1.5), (5, 1.5))
    np.testing.assert_allclose(fit_exponential(radius, 5 * np.exp(-0.2 * radius)), (5, 0.2))
    values = np.where(np.arange(50) < 15, 1.0, 0.0)
    with pytest.raises(ValueError, match="only 15 pixels are greater than zero"):
        fit_power_law(radius, values)
    with pytest.raises(ValueError, match="does not fall with the radius"):
        fit_exponential(radius, radius)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"outside": 4.0}, r"outside: is 4: .*7\.8 px, lie only 0 good pixels"),
        ({"model": "power"}, r"background: only 0 pixels are greater than zero"),
        ({"model": "image", "image": {"path": "d.npy"}}, r"image: has shape \[2, 3\] .*40, 44"),
    ],
)
def test_what_cannot_be_found(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    np.save(tmp_path / "d.npy", np.ones((2, 3)))
    with pytest.raises(DataError, match=rf"^preprocess\.0\.(background\.)?{message}"):
        run(stack(0), {**STEP, **fields}, folder=tmp_path)
