"""Agreement of patterns with a model: against sums by hand, and for the true model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.agreement import LEAST_COUNTS, pattern_agreement
from fastpty.engines import passes
from fastpty.measurements import Patterns
from fastpty.recon import Reconstruction
from tests.recon_cases import WINDOW, Tiny, make_tiny, tiny_run
from tests.tolerances import bound, tolerance

SINGLE = tolerance("chain", torch.float32)["rtol"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("masked", [False, True])
def test_sums_by_hand(tiny: Tiny, tmp_path: Path, masked: bool) -> None:
    """Of some patterns, in batches of which the last is short, pixel by pixel."""
    good = np.ones(WINDOW, bool)
    changes: dict[str, Any] = {}
    if masked:
        good[:, 4:9] = False
        np.save(tmp_path / "mask.npy", good)
        changes = {"data": {"mask": {"path": str(tmp_path / "mask.npy")}}}
    run = tiny_run(tiny, **changes)
    index = np.array([1, 4, 7, 22, 29])
    found = pattern_agreement(run.model, run.measurements.patterns, index, 2)
    measured, simulated = (p[:, good].astype(float) for p in run._patterns(torch.from_numpy(index)))
    nll = chi = difference = total = 0.0
    bright = 0
    for m, i in zip(measured.ravel(), simulated.ravel(), strict=True):
        e = max(i, LEAST_COUNTS)
        nll += e - m * math.log(e) + math.lgamma(m + 1)
        chi += (m - i) ** 2 / i if i >= LEAST_COUNTS else 0.0
        bright += i >= LEAST_COUNTS
        difference += abs(math.sqrt(m) - math.sqrt(i))
        total += math.sqrt(m)
    assert found.patterns == 5
    assert found.r_factor == pytest.approx(difference / total, rel=SINGLE)
    assert found.poisson_nll == pytest.approx(nll / measured.size, rel=SINGLE)
    assert found.chi_square == pytest.approx(chi / bright, rel=SINGLE)
    assert 0 < bright < measured.size


def with_counts(run: Reconstruction, seed: int) -> np.ndarray:
    """Give a run counts drawn from its own model; the expected ones [N, Ny, Nx] before that."""
    expected = run._patterns(torch.arange(30))[1].astype(float)
    counts = np.random.default_rng(seed).poisson(expected).astype(np.float32)
    patterns = Patterns(np.fft.ifftshift(counts, axes=(1, 2)))
    patterns.scale = run.measurements.patterns.scale
    run.measurements.patterns = patterns
    return expected


def test_the_true_model_has_a_chi_square_of_one(tiny: Tiny) -> None:
    """Of Poisson counts of mean I: E (m - I)^2 / I = 1, its variance 2 + 1 / I."""
    run = tiny_run(tiny)
    expected = with_counts(run, 0)
    expected = expected[expected >= LEAST_COUNTS]
    deviation = math.sqrt((2 + 1 / expected).sum()) / expected.size
    found = run.agreement()["fitted"]
    assert found.chi_square == pytest.approx(1, abs=bound("deviations") * deviation)


def test_the_true_model_is_the_likeliest(tiny: Tiny) -> None:
    """A model of another strength is less likely, by the Kullback-Leibler divergence of Poisson
    distributions: sum I (c - 1 - ln c) for expected counts c I."""
    run = tiny_run(tiny)
    expected = with_counts(run, 1)
    likely = run.agreement()["fitted"].poisson_nll
    factor = 1.3
    run.model.probe.mul_(math.sqrt(factor))
    more = run.agreement()["fitted"].poisson_nll - likely
    divergence = expected.mean() * (factor - 1 - math.log(factor))
    scatter = math.sqrt(expected.mean() / expected.size) * math.log(factor)
    assert more == pytest.approx(divergence, abs=bound("deviations") * scatter)


def test_left_out_patterns_are_in_no_fit(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """In no stage, and their positions stay; they are judged apart, in the area of the last."""
    seen: set[int] = set()
    simulate = passes.simulate_patterns

    def recorded(model: Any, index: torch.Tensor) -> torch.Tensor:
        seen.update(index.tolist())
        return simulate(model, index)

    monkeypatch.setattr(passes, "simulate_patterns", recorded)
    plan = [{"iterations": 1}, {"iterations": 1, "scan": {"rows": [0, 4]}}]
    off = {"recentre_positions": False}
    run = tiny_run(tiny, data={"leave_out": 0.2}, plan=plan, constraints=off)
    out = sorted(set(range(30)) - set(run.fitted.tolist()))
    assert len(out) == 6
    run.run()
    assert seen == set(run.fitted.tolist())
    moved = np.hypot(*(run.model.positions - run.model.positions_start).T)
    assert (moved[out] == 0).all()
    assert (moved[run.fitted] > 0).all()
    found = run.results().agreement
    inside = np.array([i for i in out if i < 24])
    assert found["left_out"]["patterns"] == len(inside) > 0
    assert found["fitted"]["patterns"] == 24 - len(inside)
    measured, simulated = (np.sqrt(p) for p in run._patterns(torch.from_numpy(inside)))
    free = np.abs(measured - simulated).sum() / measured.sum()
    assert found["left_out"]["r_factor"] == pytest.approx(free, rel=SINGLE)


def test_without_left_out_patterns_there_is_no_free_r_factor(tiny: Tiny) -> None:
    assert list(tiny_run(tiny).agreement()) == ["fitted"]


def test_the_free_r_factor_sees_a_fit_of_noise(tiny: Tiny, tmp_path: Path) -> None:
    """At a few counts in a pixel more iterations fit the patterns better, and the truth worse: only
    those left out say so."""
    with h5py.File(tiny.folder / "tiny.h5") as source, h5py.File(tmp_path / "tiny.h5", "w") as file:
        counts = np.random.default_rng(0).poisson(0.1 * source["data"][()])
        file["data"] = counts.astype(np.uint16)
    found = []
    for iterations in (5, 25):
        run = tiny_run(
            replace(tiny, folder=tmp_path),
            data={"leave_out": 0.1},
            optimise={"iterations": iterations, "positions": {"lr": 0}},
        )
        run.run()
        found.append(run.agreement())
    early, late = found
    for name in ("r_factor", "poisson_nll", "chi_square"):
        assert getattr(late["fitted"], name) < getattr(early["fitted"], name)
    for name in ("r_factor", "poisson_nll"):
        assert getattr(late["left_out"], name) > getattr(early["left_out"], name)
