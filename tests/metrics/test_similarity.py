"""Structural similarity, against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastpty.metrics import ssim

RNG = np.random.default_rng(3)
TRUTH = RNG.normal(size=(13, 12))
IMAGE = 0.8 * TRUTH + 0.3 * RNG.normal(size=(13, 12)) + 0.1


def test_sums_by_hand() -> None:
    """Neighbourhood by neighbourhood, as in the paper, brightnesses from the truth's lowest."""
    span = TRUTH.max() - TRUTH.min()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    weight = [[math.exp(-(i * i + j * j) / 4.5) for j in range(-5, 6)] for i in range(-5, 6)]
    norm = sum(map(sum, weight))
    values = []
    for top in range(3):
        for left in range(2):
            cells = [
                (
                    weight[i][j] / norm,
                    IMAGE[top + i, left + j] - TRUTH.min(),
                    TRUTH[top + i, left + j] - TRUTH.min(),
                )
                for i in range(11)
                for j in range(11)
            ]
            mx, my = sum(w * x for w, x, _ in cells), sum(w * y for w, _, y in cells)
            vx = sum(w * (x - mx) ** 2 for w, x, _ in cells)
            vy = sum(w * (y - my) ** 2 for w, _, y in cells)
            cov = sum(w * (x - mx) * (y - my) for w, x, y in cells)
            light = (2 * mx * my + c1) / (mx * mx + my * my + c1)
            values.append(light * (2 * cov + c2) / (vx + vy + c2))
    assert ssim(IMAGE, TRUTH) == pytest.approx(sum(values) / len(values))


def test_equal_images_and_units() -> None:
    assert ssim(TRUTH, TRUTH) == pytest.approx(1)
    assert ssim(7 * IMAGE, 7 * TRUTH) == pytest.approx(ssim(IMAGE, TRUTH))
    # Both from another zero: only differences of phase count.
    assert ssim(IMAGE - 40, TRUTH - 40) == pytest.approx(ssim(IMAGE, TRUTH))


def test_a_weak_phase_is_not_alike() -> None:
    """The correlation does not see the strength; the similarity does."""
    assert ssim(0.2 * TRUTH, TRUTH) < ssim(0.9 * TRUTH, TRUTH) < 1


@pytest.mark.parametrize(
    ("image", "truth", "message"),
    [
        (np.ones((11, 11)), np.eye(12), "of one shape"),
        (np.ones((10, 20)), np.ones((10, 20)), "11 px or more"),
        (np.full((11, 11), np.inf), np.eye(11), "finite"),
        (np.eye(11), np.ones((11, 11)), "flat"),
    ],
)
def test_what_is_refused(image: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ssim(image, truth)
