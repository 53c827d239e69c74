"""Hot and dead pixels: found where they are, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.errors import ConfigError, DataError
from tests.measurements.preprocess.steps import disc, run, scan_of

STEP = {"step": "hot_pixels"}
SHAPE = (24, 28)
CENTRE = (12, 14)


def exposed(kind: str = "u2", counts: float = 40, patterns: int = 30) -> np.ndarray:
    """Poisson counts of a disc above a weak background that falls with the radius."""
    y, x = np.indices(SHAPE)
    rate = disc(SHAPE, CENTRE, 7, counts) + 0.5 * np.exp(-np.hypot(y - 12, x - 14) / 8)
    return np.random.default_rng(1).poisson(np.repeat(rate[None], patterns, 0)).astype(kind)


def found(done: Any) -> list[list[int]]:
    return np.argwhere(~done.good).tolist()


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_nothing_is_found_in_sound_data(kind: str) -> None:
    """Neither at the disc's edge nor among single counts."""
    done = run(exposed(kind), STEP)
    assert found(done) == []
    assert "hot pixels found: 0; dead pixels found: 0; 0 of 672 pixels are masked now" in done.said


@pytest.mark.parametrize("kind", ["u2", "f4"])
@pytest.mark.parametrize("place", [(3, 4), (0, 27), (12, 15), (12, 20)])
def test_a_hot_pixel_is_found_anywhere(kind: str, place: tuple[int, int]) -> None:
    """In the dark, in a corner, in the disc, at its edge."""
    data = exposed(kind)
    data[(slice(None), *place)] += 300
    done = run(data, STEP)
    assert found(done) == [list(place)]
    assert f"hot pixels found: 1 at [{place[0]}, {place[1]}]" in done.said
    assert (done.counts[(slice(None), *place)] == 0).all()


def test_hot_pixels_side_by_side() -> None:
    """The brighter one does not hide the weaker one."""
    data = exposed()
    data[:, 5, 5], data[:, 5, 6] = 5000, 900
    assert found(run(data, STEP)) == [[5, 5], [5, 6]]


def test_a_pixel_that_flickers_is_seen_in_the_maximum() -> None:
    data = exposed()
    data[7, 2, 3] = 60
    assert found(run(data, {**STEP, "find": "max"})) == [[2, 3]]
    assert found(run(data, {**STEP, "find": "both"})) == [[2, 3]]
    assert found(run(data, {**STEP, "find": "mean", "threshold": 30})) == []


def test_a_dead_pixel() -> None:
    data = exposed()
    data[:, 12, 12] = 0
    done = run(data, STEP)
    assert found(done) == [[12, 12]]
    assert "dead pixels found: 1 at [12, 12]" in done.said
    assert found(run(data, {**STEP, "dead": False})) == []


def test_a_pixel_that_never_counts_is_dead_also_among_uneven_ones() -> None:
    """Where the neighbours differ too much to call one too dark, but none is at zero."""
    rate = np.random.default_rng(2).uniform(4, 40, SHAPE)
    data = np.random.default_rng(3).poisson(np.repeat(rate[None], 200, 0)).astype(np.uint16)
    data[:, 3, 4] = 0
    assert found(run(data, STEP)) == [[3, 4]]
    data[7, 3, 4] = 1
    assert found(run(data, STEP)) == []


def test_darkness_is_not_dead() -> None:
    """A few counts in the whole scan: that many pixels had none is no wonder."""
    data = exposed(counts=0.02)
    data[:, :, :] = np.random.default_rng(4).poisson(0.02, data.shape)
    assert (data.max(axis=0) == 0).sum() > 100
    assert found(run(data, STEP)) == []


def test_a_reflection_is_no_hot_pixel() -> None:
    """A spot that spreads over its neighbours by a half; ``contrast`` says what is a spot."""
    data = exposed()
    spot = np.array([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])
    data[:, 2:5, 2:5] += (400 * spot).astype(np.uint16)
    assert found(run(data, STEP)) == []
    assert [3, 3] in found(run(data, {**STEP, "contrast": 1.5}))


def test_threshold_and_radius() -> None:
    data = exposed()
    data[:, 12, 15] += 30
    assert found(run(data, STEP)) == [[12, 15]]
    assert found(run(data, {**STEP, "threshold": 1000})) == []
    area = exposed()
    area[:, 3:6, 3:6] += 50
    wide = {**STEP, "radius": 8, "contrast": 1, "find": "mean"}
    assert found(run(area, {**STEP, "find": "mean"})) == []
    assert [4, 4] not in found(run(area, wide))
    area[:, 4, 4] += 30
    # Among its equals the pixel stands out by little, among more neighbours by much.
    assert found(run(area, {**STEP, "find": "mean", "radius": 1, "threshold": 40})) == []
    assert [4, 4] in found(run(area, {**wide, "threshold": 40}))


def test_pixels_that_are_not_finite_are_bad() -> None:
    data = exposed("f4")
    data[3, 9, 9] = np.nan
    assert found(run(data, STEP)) == [[9, 9]]
    with pytest.raises(DataError, match=r"NaN .*pixel \[9, 9\]. Let the step hot_pixels"):
        run(data, {"step": "centre"})


def test_given_pixels(tmp_path: Path) -> None:
    mask = np.ones(SHAPE, np.uint8)
    mask[1, 1] = 0
    np.save(tmp_path / "good.npy", mask)
    done = run(
        exposed(),
        {
            **STEP,
            "find": "none",
            "dead": False,
            "pixels": [[0, 3]],
            "boxes": [[[20, 22], [5, 7]]],
            "mask": {"path": "good.npy"},
        },
        folder=tmp_path,
    )
    assert found(done) == [[0, 3], [1, 1], [20, 5], [20, 6], [21, 5], [21, 6]]
    assert done.said == "given: 6; 6 of 672 pixels are masked now"


def test_the_mask_of_the_file_stays() -> None:
    mask = np.ones(SHAPE, bool)
    mask[0, 0] = False
    data = exposed()
    data[:, 0, 0] = 9000
    data[:, 20, 20] += 500
    done = run(scan_of(data, mask=mask), STEP)
    assert found(done) == [[0, 0], [20, 20]]
    assert "hot pixels found: 1 at [20, 20]" in done.said


def test_a_bad_detector_is_called_one() -> None:
    data = exposed()
    data[:, ::4, ::4] += 3000
    done = run(data, STEP)
    assert found(done) == np.argwhere(data[0] > 2000).tolist()
    assert "and 34 more" in done.said
    assert "% of the pixels were found bad" in done.recording.reports[0].warning


def test_they_move_with_later_steps() -> None:
    data = exposed()
    data[:, 3, 4] += 300
    done = run(data, STEP, {"step": "flip", "flip_y": True})
    assert found(done) == [[20, 4]]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"pixels": [[24, 0]]}, ConfigError, r"\.pixels: has \[24, 0\], outside of the 24 x 28"),
        ({"boxes": [[[0, 1], [20, 29]]]}, ConfigError, r"\.boxes: has \[\[0, 1\], \[20, 29\]\]"),
        ({"boxes": [[[0, 24], [0, 28]]]}, DataError, r": leaves no good pixel"),
        ({"mask": {"path": "m.npy"}}, DataError, r"\.mask: has shape \[2, 3\]; patterns are"),
    ],
)
def test_what_does_not_fit(
    tmp_path: Path, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    np.save(tmp_path / "m.npy", np.ones((2, 3)))
    with pytest.raises(error, match=rf"^preprocess\.0\.hot_pixels{message}"):
        run(exposed(), {**STEP, **fields}, folder=tmp_path)
