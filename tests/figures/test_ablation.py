"""Figures of an ablation."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.ablation import AblationView, draw_heat_maps, draw_objects, draw_panels

SLICES, MODES = ["1", "2"], ["1", "4", "6"]


def number_of(slices: str, modes: str, seed: int) -> float:
    return 1 / int(slices) + 0.1 / int(modes) + 0.01 * seed


VIEW = AblationView(
    factors={"object.slices": SLICES, "probe.modes": MODES},
    runs=[
        (
            {"object.slices": s, "probe.modes": m},
            {"r_factor": number_of(s, m, seed), "free_r_factor": 2.0, "frc": None},
        )
        for s in SLICES
        for m in MODES
        for seed in (0, 1)
        if (s, m) != ("2", "6")
    ],
)


def test_panels() -> None:
    """Mean and range of all runs of a level; what no run has has no row."""
    figure = draw_panels(VIEW)
    figure.draw_without_rendering()
    slices, modes = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["object.slices", "probe.modes"]
    fitted, free = slices.containers
    found = [number_of("1", m, seed) for m in MODES for seed in (0, 1)]
    line, _, (bars,) = fitted
    assert line.get_ydata()[0] == pytest.approx(np.mean(found))
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], (min(found), max(found)))
    assert list(free[0].get_ydata()) == [2, 2]
    assert [tick.get_text() for tick in modes.get_xticklabels()] == MODES


def test_heat_maps() -> None:
    figure = draw_heat_maps(VIEW)
    figure.draw_without_rendering()
    first = figure.axes[0]
    image = first.images[0].get_array()
    assert image[1, 0] == pytest.approx(number_of("1", "4", 0) + 0.005)
    assert np.isnan(np.ma.filled(image, np.nan)[2, 1])
    assert len(first.texts) == 5
    assert (first.get_xlabel(), first.get_ylabel()) == ("object.slices", "probe.modes")
    assert [axes.get_title() for axes in figure.axes] == ["R factor\nfitted", "R factor\nleft out"]


@pytest.mark.parametrize("pixel", [(0.4, 0.5), (np.nan, np.nan)])
def test_objects(pixel: tuple[float, float]) -> None:
    image = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    figure = draw_objects({f"slices: {n}": (image, np.array(pixel)) for n in range(5)})
    figure.draw_without_rendering()
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [f"slices: {n}" for n in range(5)]
    expected = 1.0 if np.isnan(pixel[0]) else pixel[0] / pixel[1]
    assert shown[0].get_aspect() == expected
