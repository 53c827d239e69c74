"""The overlaps that LSQ-ML takes its steps from, against explicit sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty import ops
from fastpty.ops import native
from tests.tolerances import tolerance

pytestmark = pytest.mark.skipif(not native.AVAILABLE, reason="the native core is not built")


@dataclass(frozen=True)
class Case:
    """Sizes: a window of several blocks of columns, of less than one, and of one and a rest."""

    window: tuple[int, int] = (16, 64)
    modes: int = 1
    object_modes: int = 1
    slices: int = 1

    def random(self, *shape: int, seed: int, real: bool = False) -> NDArray[Any]:
        rng = np.random.default_rng([seed, *self.window])
        parts = rng.normal(size=(2, *shape)).astype(np.float32)
        return parts[0] ** 2 if real else parts[0] + 1j * parts[1]

    def arguments(self) -> dict[str, Any]:
        ny, nx = self.window
        b, volume = 3, (self.object_modes, self.slices)
        plane, windows = (*volume, ny + 9, nx + 7), (b, *volume, ny, nx)
        waves = (b, self.modes, ny, nx)
        weight = np.linspace(0.2, 0.8, self.object_modes, dtype=np.float32)
        found = {
            "obj": self.random(*plane, seed=1),
            "of_object": self.random(*plane, seed=2),
            "lit": self.random(*waves, seed=3),
            "power": self.random(*windows, seed=4, real=True),
            "product": self.random(*windows, seed=5),
            "entrance": self.random(*waves, seed=6),
            "asked": self.random(*waves, seed=7),
            "corner": np.array([[0, 7], [9, 0], [4, 3]]),
            "occupancy": None if self.object_modes == 1 else weight,
        }
        return found


CASES = [
    Case(),
    Case((7, 5), modes=3),
    Case((12, 45), modes=2, object_modes=2, slices=3),
]


def explicit(
    obj: Any,
    of_object: Any,
    lit: Any,
    power: Any,
    product: Any,
    entrance: Any,
    asked: Any,
    corner: Any,
    occupancy: Any,
) -> NDArray[np.float64]:
    """The equations as they stand in the module, in double precision."""
    b, _, slices, ny, nx = power.shape
    w = np.ones(1) if occupancy is None else occupancy.astype(float)
    found = np.zeros((b, slices, 5))
    for j, (y, x) in enumerate(corner):
        window = np.s_[..., y : y + ny, x : x + nx]
        o = obj[window].astype(complex)
        d = np.zeros_like(o) if of_object is None else of_object[window].astype(complex)
        for z in range(slices):
            if of_object is not None:
                weighted = w[:, None, None] * power[j, :, z]
                found[j, z, 0] = (np.abs(d[:, z]) ** 2 * weighted).sum()
                found[j, z, 3] = (d[:, z].conj() * product[j, :, z]).real.sum()
        if lit is None:
            continue
        turned = np.einsum("n,nyx,nyx->yx", w, o[:, 0], d[:, 0].conj())
        met = (entrance[j].astype(complex).conj() * lit[j]).sum(0)
        passed = np.einsum("n,nyx->yx", w, np.abs(o[:, 0]) ** 2)
        found[j, 0, 1] = (turned * met).real.sum()
        found[j, 0, 2] = (passed * (np.abs(lit[j]) ** 2).sum(0)).sum()
        found[j, 0, 4] = (lit[j].conj() * asked[j]).real.sum()
    return found


def tensors(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: None if v is None else torch.from_numpy(v) for k, v in arguments.items()}


def assert_near(found: torch.Tensor, arguments: dict[str, Any]) -> None:
    expected = torch.from_numpy(explicit(**arguments))
    close = tolerance("sum", torch.float32, float(expected.abs().max()))
    torch.testing.assert_close(found.double(), expected, **close)


@pytest.mark.parametrize("missing", [(), ("of_object",), ("lit",)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_sums(case: Case, missing: tuple[str, ...]) -> None:
    arguments = case.arguments() | dict.fromkeys(missing)
    assert_near(ops.step_overlaps(**tensors(arguments)), arguments)


def test_variants_and_threads() -> None:
    """Every variant is right, and gives the same bits on any number of threads."""
    from fastpty import _core

    arguments, before = CASES[-1].arguments(), torch.get_num_threads()
    try:
        for variant in _core.available_simd():
            _core.set_simd(variant)
            results = []
            for threads in (1, 3):
                torch.set_num_threads(threads)
                results.append(ops.step_overlaps(**tensors(arguments)))
            assert_near(results[0], arguments)
            assert torch.equal(*results)
    finally:
        _core.set_simd(None)
        torch.set_num_threads(before)


def test_no_position_at_all() -> None:
    arguments = tensors(CASES[0].arguments())
    for name in ("lit", "power", "product", "entrance", "asked", "corner"):
        arguments[name] = arguments[name][:0]
    assert ops.step_overlaps(**arguments).shape == (0, 1, 5)


def test_a_window_outside_is_refused() -> None:
    arguments = CASES[0].arguments()
    arguments["corner"] = np.array([[0, 0], [10, 0], [0, 0]])
    with pytest.raises(ValueError, match="corner: must be from 0 to 9, found 10"):
        ops.step_overlaps(**tensors(arguments))
