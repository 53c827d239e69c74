"""Leakage between probe and object: what is reported, and what moves without a trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fastpty.constraints import leakage
from fastpty.constraints.leakage import illumination
from fastpty.constraints.raster import raster_frequencies
from fastpty.model import Model
from tests.constraints.lens import lens_model, patterns
from tests.constraints.small_model import apply, values
from tests.tolerances import bound, tolerance

CLOSE = tolerance("chain", torch.float32)
#: Only the exact part: no notches.
GAUGE = {"raster": 0}
SLOPE = (0.03, -0.02)  # rad per pixel


def leaked(model: Model) -> Model:
    """The same patterns, with factors and a ramp moved from the probe to the object."""
    y, x = (torch.arange(n, dtype=torch.float64) for n in model.phase.shape[-2:])
    model.phase[:, 0] += (SLOPE[0] * y[:, None] + SLOPE[1] * x).float()
    y, x = (torch.arange(n, dtype=torch.float64) for n in model.probe.shape[-2:])
    ramp = -(SLOPE[0] * y[:, None] + SLOPE[1] * x)
    model.probe *= torch.polar(torch.ones_like(ramp), ramp).to(torch.complex64)
    for index in range(model.phase.shape[1]):
        factor, constant = 0.8 + 0.3 * index, 0.5 + index
        model.amplitude[:, index] *= factor
        model.phase[:, index] += constant
        model.probe *= np.exp(-1j * constant) / factor
    return model


def without(model: Model, *parts: str) -> Model:
    """The exact part of the constraint: these, not the others."""
    switches = {part: part in parts for part in ("amplitude", "phase", "ramp")}
    apply(model, "remove_leakage", GAUGE | switches)
    return model


def wave(model: Model, frequency: np.ndarray) -> torch.Tensor:
    """[Y, X], cos(2 pi G.r)."""
    y, x = (torch.arange(n, dtype=torch.float64) for n in model.phase.shape[-2:])
    return torch.cos(2 * math.pi * (frequency[0] * y[:, None] + frequency[1] * x)).float()


def test_the_illumination_is_where_the_probe_has_been() -> None:
    model = lens_model()
    expected = torch.zeros(model.phase.shape[-2:], dtype=torch.float64)
    power = model.probe.abs().double().square().sum(dim=0)
    ny, nx = power.shape
    for y, x in model.corner.tolist():
        expected[y : y + ny, x : x + nx] += power
    expected /= expected.sum()
    torch.testing.assert_close(illumination(model), expected, rtol=0, atol=CLOSE["atol"] / 1e3)


@pytest.mark.parametrize("object_modes", [1, 2])
@pytest.mark.parametrize("slices", [1, 3])
def test_patterns_know_nothing_of_factors_and_ramp(slices: int, object_modes: int) -> None:
    """The ambiguity itself, and that the constraint resolves it without changing a pattern."""
    true = patterns(lens_model(slices, object_modes))
    close = tolerance("chain", torch.float32, scale=float(true.max()))
    model = leaked(lens_model(slices, object_modes))
    torch.testing.assert_close(patterns(model), true, **close)
    before = values(model)
    without(model, "amplitude", "phase", "ramp")
    assert all(
        not torch.equal(values(model)[n], before[n]) for n in ("phase", "amplitude", "probe")
    )
    torch.testing.assert_close(patterns(model), true, **close)


@pytest.mark.parametrize("slices", [1, 2])
def test_the_leak_does_not_matter(slices: int) -> None:
    """Objects that differ by a leak only are one object after the constraint, probes one probe."""
    parts = ("amplitude", "phase", "ramp")
    clean, model = (without(m, *parts) for m in (lens_model(slices), leaked(lens_model(slices))))
    for name in ("amplitude", "phase"):
        torch.testing.assert_close(model.unknowns[name], clean.unknowns[name], **CLOSE)
    turn = (clean.probe / model.probe)[0, 16, 15]
    torch.testing.assert_close(
        model.probe * turn / turn.abs(), clean.probe, **tolerance("chain", torch.float32, scale=3)
    )


@pytest.mark.parametrize("part", ["amplitude", "phase", "ramp"])
def test_each_part_is_reported_and_removed_alone(part: str) -> None:
    """Of one slice, where the ramp can be removed whole."""
    before = leakage(leaked(lens_model(1)))
    after = leakage(without(leaked(lens_model(1)), part))
    for name in ("amplitude", "phase", "ramp"):
        if name == part:
            assert abs(before[name]) > 0.1
            assert abs(after[name]) < CLOSE["atol"]
        else:
            assert after[name] == pytest.approx(before[name], rel=CLOSE["rtol"], abs=CLOSE["atol"])


def test_numbers_of_a_known_leak() -> None:
    """An empty object of two slices with a factor, a constant and a ramp of known size."""
    model = lens_model()
    model.amplitude.fill_(1.0)
    model.phase.zero_()
    found = leakage(leaked(model))
    assert found["amplitude"] == pytest.approx(0.8 * 1.1 - 1, rel=CLOSE["rtol"])
    pixels = [slope * n / (2 * math.pi) for slope, n in zip(SLOPE, (32, 30), strict=True)]
    assert found["ramp"] == pytest.approx(math.hypot(*pixels), rel=CLOSE["rtol"])
    assert found["raster"] < CLOSE["atol"]
    centre = [
        float((illumination(model).sum(dim=1 - axis) * torch.arange(n)).sum())
        for axis, n in enumerate(model.phase.shape[-2:])
    ]
    constant = 0.5 + 1.5 + SLOPE[0] * centre[0] + SLOPE[1] * centre[1]
    assert found["phase"] == pytest.approx(constant, rel=CLOSE["rtol"])


def test_a_ramp_of_a_deeper_slice_stays_and_is_reported() -> None:
    model = lens_model()
    model.phase.zero_()
    y = torch.arange(model.phase.shape[-2])[:, None]
    model.phase[:, 1] += 0.03 * y
    before = values(model)
    without(model, "ramp")
    assert torch.equal(model.phase[:, 1], before["phase"][:, 1])
    assert leakage(model)["ramp"] == pytest.approx(0.03 * 32 / (2 * math.pi), rel=CLOSE["rtol"])


def test_a_single_position_has_no_slope_that_fails() -> None:
    """Nor has it a raster."""
    model = lens_model(scan=(1, 1))
    apply(model, "remove_leakage")
    assert all(tensor.isfinite().all() for tensor in values(model).values())
    assert "raster" not in leakage(model)


@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_raster_frequencies_are_reciprocal_to_the_steps(orders: int, rotation: float) -> None:
    """G . step is a whole number; one of +-G; all up to the order, below 1/2."""
    model = lens_model(scan=(6, 5), step=(6.0, 7.0))
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    model.positions_start = model.positions_start @ np.array([[c, -s], [s, c]]).T
    grid = model.positions_start.reshape(6, 5, 2)
    steps = np.stack([grid[1, 0] - grid[0, 0], grid[0, 1] - grid[0, 0]])
    found = raster_frequencies(model, orders)
    orders_found = found @ steps.T
    np.testing.assert_allclose(orders_found, orders_found.round(), atol=CLOSE["atol"])
    expected = {
        (h, k) for h in range(orders + 1) for k in range(-orders, orders + 1) if h > 0 or k > 0
    }
    assert {tuple(row) for row in orders_found.round().astype(int).tolist()} == expected


@pytest.mark.parametrize(
    ("scan", "step", "count"),
    [
        ((6, 5), (1.5, 1.5), 0),  # beyond the object's grid
        ((6, 5), (4.0, 1.5), 1),
        ((6, 3), (4.0, 4.0), 1),  # three columns are no grating
        ((3, 3), (4.0, 4.0), 0),
        ((20, 1), (4.0, 4.0), 1),
    ],
)
def test_rasters_without_frequencies(
    scan: tuple[int, int], step: tuple[float, float], count: int
) -> None:
    model = lens_model(scan=scan, step=step)
    assert len(raster_frequencies(model, 1)) == count
    assert ("raster" in leakage(model)) == (count > 0)


def test_a_scan_that_is_no_raster_keeps_its_object() -> None:
    model = lens_model()
    model.scan_shape = None
    before = values(model)
    apply(model, "remove_leakage", {"ramp": False})
    assert all(torch.equal(values(model)[name], before[name]) for name in before)
    assert "raster" not in leakage(model)


def test_the_share_of_a_raster_modulation() -> None:
    """A modulation at a raster frequency has all the variance; beside an equal one elsewhere, half;
    one elsewhere, none."""
    shares = []
    for amounts in ((1, 0), (1, 1), (0, 1)):
        model = lens_model(slices=1, scan=(12, 12))
        model.amplitude.fill_(1.0)
        on, off = raster_frequencies(model, 1)[0], np.array([0.09, 0.13])
        model.phase.copy_(amounts[0] * wave(model, on) + amounts[1] * wave(model, off))
        shares.append(leakage(model)["raster"])
    np.testing.assert_allclose(shares, [1.0, 0.5, 0.0], atol=bound("raster"))


@pytest.mark.parametrize("part", ["amplitude", "phase"])
def test_raster_modulation_is_taken_out(part: str) -> None:
    """And little else: the smooth object below it stays."""
    clean = lens_model(scan=(12, 12))
    model = lens_model(scan=(12, 12))
    for frequency in raster_frequencies(model, 1):
        model.unknowns[part].add_(0.1 * wave(model, frequency))
    before = leakage(model)["raster"]
    apply(model, "remove_leakage", {"ramp": False})
    assert leakage(model)["raster"] < bound("raster") * before
    inside = (slice(None), slice(None), slice(20, -20), slice(20, -20))
    left = (model.unknowns[part] - clean.unknowns[part])[inside].std()
    assert left < bound("raster") * 0.1 * math.sqrt(2)
    means = [m.unknowns[part].mean(dim=(2, 3)) for m in (model, clean)]
    torch.testing.assert_close(*means, rtol=0, atol=bound("raster") * 0.1)


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_the_notch_takes_what_it_is_told(strength: float) -> None:
    """At the frequency itself; a wider notch takes more of its neighbours."""
    model = lens_model(slices=1, scan=(12, 12), step=(5.0, 5.0))
    # A frequency of the object's grid: the wave is one coefficient.
    y, x = model.phase.shape[-2:]
    period = 10 / y
    grid = model.positions_start.reshape(12, 12, 2)
    grid *= np.array([1 / period, 1 / (8 / x)]) / 5.0
    pattern = wave(model, np.array([period, 0.0]))
    model.phase.copy_(pattern)
    apply(model, "remove_leakage", {"ramp": False, "raster": strength})
    torch.testing.assert_close(model.phase[0, 0], (1 - strength) * pattern, **CLOSE)


def test_width_and_orders_of_the_notches_are_used() -> None:
    results = []
    for settings in ({}, {"raster_width": 3}, {"raster_orders": 2}):
        model = lens_model(scan=(12, 12), step=(6.0, 6.0))
        model.phase.copy_(
            torch.randn(model.phase.shape, generator=torch.Generator().manual_seed(1))
        )
        before = values(model)["phase"]
        apply(model, "remove_leakage", {"ramp": False} | settings)
        results.append(float((model.phase - before).square().sum()))
    assert results[1] > 2 * results[0]
    assert results[2] > 2 * results[0]
    # Two to one in area for the second order: 12 frequencies instead of 4.


def test_object_modes_count_by_their_occupancy() -> None:
    model = lens_model(slices=1)
    model.amplitude = torch.stack([model.amplitude[0] * 0 + 0.8, model.amplitude[0] * 0 + 1.2])
    model.phase = torch.zeros_like(model.amplitude)
    assert leakage(model)["amplitude"] == pytest.approx(0, abs=CLOSE["atol"])
    model.occupancy = torch.tensor([0.75, 0.25])
    assert leakage(model)["amplitude"] == pytest.approx(-0.1, abs=CLOSE["atol"])
