"""Updates of the ptychographical iterative engines against their papers' steps in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty import ops
from fastpty.engines.exit_waves import ExitWaves, Rule, amplitude_ratio, transmitted
from tests.engines.pie_cases import (
    WINDOW,
    Plain,
    complex_object,
    random_model,
    random_patterns,
    updates_of,
)
from tests.tolerances import tolerance

Waves = NDArray[np.complex128]
EPIE = Rule(1.0, 1.0)


def total(a: list[Waves], b: list[Waves]) -> Any:
    return sum(x.conj() * y for x, y in zip(a, b, strict=True))


def power(a: list[Waves]) -> Any:
    return sum(np.abs(x) ** 2 for x in a)


def pie(alpha: float, beta: float) -> Callable[..., Any]:
    """Rodenburg & Faulkner 2004, for one mode: |P| / |P|max  P* / (|P|^2 + alpha)  beta Delta."""

    def update(a: list[Waves], b: list[Waves]) -> Any:
        (wave,), (change,) = a, b
        size = np.abs(wave)
        regularised = size**2 + alpha * size.max() ** 2
        return beta * size / size.max() * wave.conj() / regularised * change

    return update


def epie(alpha: float) -> Callable[..., Any]:
    """Maiden & Rodenburg 2009: alpha P* / |P|^2_max Delta."""
    return lambda a, b: alpha * total(a, b) / power(a).max()


def rpie(alpha: float, step: float = 1.0) -> Callable[..., Any]:
    """Maiden, Johnson & Li 2017: P* / ((1 - alpha) |P|^2 + alpha |P|^2_max) Delta."""
    return lambda a, b: step * total(a, b) / ((1 - alpha) * power(a) + alpha * power(a).max())


CASES: dict[str, dict[str, Any]] = {
    "one slice": {},
    "between the pixels": {"shift": [[0.31, -0.44]]},
    "probe modes": {"modes": 3, "shift": [[0.31, -0.44]]},
    "object modes": {"modes": 2, "occupancy": [0.7, 0.3]},
    "slices": {"slices": 3, "shift": [[0.31, -0.44]]},
    "slices, tilted": {"slices": 3, "tilt": [[30.0, -20.0]]},
    "all": {"modes": 2, "slices": 2, "occupancy": [0.5, 0.2, 0.3], "shift": [[-0.2, 0.1]]},
}
ENGINES = {
    "epie": ((0.8, 1.0), (0.6, 1.0), epie(0.8), epie(0.6)),
    "rpie": ((1.0, 0.1), (1.0, 0.4), rpie(0.1), rpie(0.4)),
    "mpie": ((0.3, 0.05), (0.7, 1.0), rpie(0.05, 0.3), rpie(1.0, 0.7)),
}


def assert_close(found: Waves, expected: Waves) -> None:
    scale = float(np.abs(expected).max())
    assert scale > 0.01
    np.testing.assert_allclose(found, expected, **tolerance("chain", torch.float32, scale))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_papers_steps(engine: str, case: str) -> None:
    model, measured = random_model([[9, 11]], **CASES[case]), random_patterns(1)
    of_object, of_wave, rule, wave_rule = ENGINES[engine]
    found = updates_of(model, measured, Rule(*of_object), Rule(*of_wave), [0])
    expected = Plain(model).updates(0, measured[0], rule, wave_rule)
    for pair in zip(found, expected, strict=True):
        assert_close(*pair)


def test_the_first_pies_step() -> None:
    model, measured = random_model([[9, 11]], shift=[[0.3, 0.1]]), random_patterns(1)
    found, _ = updates_of(model, measured, Rule(0.9, 0.02, weighted=True), EPIE, [0])
    expected, _ = Plain(model).updates(0, measured[0], pie(0.02, 0.9), epie(1.0))
    assert_close(found, expected)


def test_bad_pixels_keep_their_waves() -> None:
    """Whatever was recorded there."""
    model, measured = random_model([[9, 11]], modes=2), random_patterns(1)
    mask = torch.rand(WINDOW, generator=torch.Generator().manual_seed(5)) > 0.3
    expected = Plain(model).updates(0, measured[0], epie(1.0), epie(1.0), mask.numpy())
    for there in (measured, torch.where(mask, measured, 1e6)):
        found = updates_of(model, there, EPIE, EPIE, [0], mask)
        for pair in zip(found, expected, strict=True):
            assert_close(*pair)


def test_after_the_projection_the_moduli_are_the_measured_ones() -> None:
    model, measured = random_model([[9, 11]], slices=2, occupancy=[0.6, 0.4]), random_patterns(1)
    with torch.no_grad():
        waves = ExitWaves(model, complex_object(model), torch.tensor([0]), model.corner)
        change = waves.chain.change(amplitude_ratio(waves.intensity(), measured, None))
        after = torch.fft.fft2(waves.chain._slices[-1].exit + change, norm="ortho")
    weight = torch.tensor([0.6, 0.4])[:, None, None]
    found = (weight * after.abs().square()).sum((1, 2))
    torch.testing.assert_close(found, measured, **tolerance("transform", torch.float32))


def test_the_way_back_is_the_adjoint() -> None:
    """<H psi, chi> = <psi, H* chi> over a gap, with a tilt of each position."""
    tilt = [[30.0, -20.0], [-10.0, 40.0]]
    model = random_model([[0, 0], [5, 7]], slices=2, tilt=tilt)
    waves = ExitWaves(model, complex_object(model), torch.tensor([0, 1]), model.corner).chain
    generator = torch.Generator().manual_seed(6)
    a, b = torch.randn(2, 2, 1, 1, *WINDOW, dtype=torch.complex64, generator=generator)
    forth = (waves._propagated(a, 0).conj() * b).sum()
    back = (a.conj() * waves._propagated(b, 0, backwards=True)).sum()
    scale = float(a.norm() * b.norm())
    torch.testing.assert_close(forth, back, **tolerance("transform", torch.float32, scale))


@pytest.mark.parametrize("rule", [EPIE, Rule(0.5, 0.1), Rule(1.0, 0.01, weighted=True)])
def test_far_windows_in_a_batch_are_updates_one_by_one(rule: Rule) -> None:
    """Of the object; the probe, which all of them share, takes the mean."""
    model, measured = random_model([[0, 0], [18, 17]]), random_patterns(2)
    alone = [updates_of(model, measured, rule, EPIE, [j]) for j in (0, 1)]
    # Where windows do not overlap, the maxima are all that could differ.
    together = updates_of(model, measured, rule, EPIE, [0, 1])
    assert_close(together[0], alone[0][0] + alone[1][0])
    plain = Plain(model)
    places = [np.s_[:12, :10], np.s_[18:30, 17:27]]
    powers = [np.abs(plain.object[0, 0][place]) ** 2 for place in places]
    asked = [of_probe[0] * p.max() for (_, of_probe), p in zip(alone, powers, strict=True)]
    assert_close(together[1][0], sum(asked) / sum(powers).max())


def test_windows_that_coincide_are_averaged() -> None:
    """The same pattern twice asks for what it asks once; two different ones for their mean."""
    model, measured = random_model([[9, 11]] * 3), random_patterns(3)
    measured[1] = measured[0]
    rule = Rule(1.0, 0.2)
    once, other = (updates_of(model, measured, rule, rule, [j]) for j in (0, 2))
    twice = updates_of(model, measured, rule, rule, [0, 1])
    mean = updates_of(model, measured, rule, rule, [0, 2])
    for part in (0, 1):
        assert_close(twice[part], once[part])
        assert_close(mean[part], (once[part] + other[part]) / 2)


def test_a_finite_source_lights_by_shifted_modes() -> None:
    """Its points are modes of one probe, whose update is that of all, each shifted back."""
    model, measured = random_model([[9, 11]]), random_patterns(1)
    shift, weight = torch.tensor([[0.5, 0.0], [-0.5, 0.25]]), torch.tensor([0.4, 0.6])
    model.source = (shift, weight)
    found = updates_of(model, measured, EPIE, EPIE, [0])
    plain = Plain(random_model([[9, 11]]))
    points = [random_model([[9, 11]], shift=[s]) for s in shift.tolist()]
    modes = [
        w**0.5 * Plain(p).shifted(plain.probe[0], 0)
        for w, p in zip(weight.tolist(), points, strict=True)
    ]
    plain.probe = np.stack(modes)
    expected = plain.updates(0, measured[0], epie(1.0), epie(1.0))
    assert_close(found[0], expected[0])
    back = [
        w**0.5 * Plain(p).shifted(of_mode, 0, -1)
        for w, p, of_mode in zip(weight.tolist(), points, expected[1], strict=True)
    ]
    assert_close(found[1][0], sum(back))


@pytest.mark.parametrize("slices", [1, 2])
def test_a_small_shift_is_found_at_once(slices: int) -> None:
    """By patterns that differ by nothing else, mixed and through two object modes; a pixel that
    was not measured has no say."""
    start = [[0.1, -0.2], [0.3, 0.2]]
    corner = [[0, 0], [7, 5]]
    model = random_model(corner, shift=start, modes=2, occupancy=[0.7, 0.3], slices=slices)
    # Smooth, as a probe is that can be shifted at all.
    y, x = (np.arange(n) - n // 2 for n in WINDOW)
    spot = np.exp(-(y[:, None] ** 2 + x**2) / 8)
    model.probe.copy_(torch.from_numpy(np.stack([spot, spot * (y[:, None] + 1j * x) / 3])))
    away = torch.tensor([[0.01, 0.02], [-0.02, 0.005]])
    index = torch.tensor([0, 1])
    mask = torch.ones(WINDOW, dtype=torch.bool)
    mask[0, 0] = False
    with torch.no_grad():
        here = ExitWaves(model, complex_object(model), index, model.corner)
        model.shift.add_(away)
        there = ExitWaves(model, complex_object(model), index, model.corner)
        measured = torch.where(mask, there.intensity(), 1e4)
        found = here.position_steps(here.intensity(), measured, mask)
    assert float((found - away).abs().max()) < 0.05 * float(away.abs().max())


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_no_positions_ask_for_nothing(backend: Any) -> None:
    """Of a batch a process may have none."""
    model = random_model([[9, 11]], modes=2, slices=2, occupancy=[0.6, 0.4])
    none = torch.empty(0, dtype=torch.int64)
    with ops.use_backend(backend), torch.no_grad():
        obj = complex_object(model)
        waves = ExitWaves(model, obj, none, model.corner[none])
        ratio = amplitude_ratio(waves.intensity(), random_patterns(0), None)
        found = waves.products(ratio, rule=(1.0, 0.3), asked=True)
        asked = waves.asked(found, Rule(1.0, 0.3), transmitted(model, obj, model.corner))
    for part, like in ((asked.obj, obj), (asked.light, obj), (asked.probe, model.probe)):
        assert part.shape == like.shape
        assert not part.any()


def test_nothing_follows_from_no_light() -> None:
    """No update, and no NaN, of a wave that is zero."""
    model, measured = random_model([[9, 11]], slices=2), random_patterns(1)
    model.probe.zero_()
    found = updates_of(model, measured, EPIE, EPIE, [0])
    assert not any(part.any() for part in found)
    with torch.no_grad():
        waves = ExitWaves(model, complex_object(model), torch.tensor([0]), model.corner)
        assert not waves.position_steps(waves.intensity(), measured, None).any()
