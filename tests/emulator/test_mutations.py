"""Mistakes put into the kernels are found: what the comparison with the reference is worth.

Each takes something out of a copy of the sources that no compiler misses, a barrier, a conjugate, a
step of an index, and runs the smallest problem that its family has. What is changed is found by
pattern, so a test fails when the sources move on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpty import reference
from tests.emulator import build
from tests.emulator.changed import ONE_SIZE, Change, copy_of_sources
from tests.emulator.emulated import EmulatedOp
from tests.multislice_cases import Problem, problem, relative
from tests.tolerances import bound

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(build.MISSING is not None, reason=str(build.MISSING)),
]

FOLDER = "multislice_intensity"
BARRIER = r"^ +__syncthreads\(\);\n"

# Nothing beyond 32 x 32 points by the split family and 64 x 64 by the on-chip one.
FEW = (
    *ONE_SIZE,
    Change("cuda/lines.cuh", r"return run\(RuntimePlan<kKind>\(plan\)\);", "throw length;"),
)

LINES, SPLIT, SUMS = "cuda/lines.cuh", f"{FOLDER}/split.cuh", f"{FOLDER}/sums.cuh"
SPLIT_MISTAKES = {
    "no barrier behind the columns' first pass": Change(LINES, BARRIER, "", 8, 0),
    "no barrier behind the columns' work": Change(LINES, BARRIER, "", 8, 2),
    "no barrier behind the rows' twiddles": Change(LINES, BARRIER, "", 8, 3),
    "no barrier behind the rows' first pass": Change(LINES, BARRIER, "", 8, 4),
    "no barrier behind the rows' work": Change(LINES, BARRIER, "", 8, 5),
    "each frequency in the next one's slots": Change(
        LINES,
        r"int group\(int frequency\) const \{ return frequency; \}",
        "int group(int frequency) const { return (frequency + 1) % kFirst; }",
    ),
    "twiddles of the inverse not conjugate": Change(LINES, r"mul_conj\(v\[q\],", "mul(v[q],"),
    "a gradient through O, not conj(O)": Change(
        SPLIT, r"mul_conj\(v\[k\], pixel\.object\)", "mul(v[k], pixel.object)"
    ),
    "the object's gradient with psi, not conj(psi)": Change(
        SPLIT, r"mul_conj\(v\[k\], load_once", "mul(v[k], load_once"
    ),
    "a gradient through H, not conj(H)": Change(
        SPLIT, r"kConjugate \? mul_conj\(v\[k\], factor\)", "kConjugate ? mul(v[k], factor)", 2, 0
    ),
    "a gradient through the tilt, not its conjugate": Change(
        SPLIT, r"kConjugate \? mul_conj\(v\[k\], factor\)", "kConjugate ? mul(v[k], factor)", 2, 1
    ),
    "the probe's gradient with the ramp, not its conjugate": Change(
        SUMS, r"mul_conj\(\*g, ramp\)", "mul(*g, ramp)"
    ),
}

SLICES, PASSES = f"{FOLDER}/on_chip_slices.cuh", f"{FOLDER}/on_chip_passes.cuh"
ON_CHIP_MISTAKES = {
    "no barrier in front of the forward's inverse rows": Change(SLICES, BARRIER, "", 4, 0),
    "no barrier behind the forward's rows": Change(SLICES, BARRIER, "", 4, 1),
    "no barrier in front of the backward's inverse rows": Change(SLICES, BARRIER, "", 4, 2),
    "no barrier behind the backward's rows": Change(SLICES, BARRIER, "", 4, 3),
    "no barrier around the pixels": Change(
        PASSES, r"barrier_around_pixels\(\) \{ __syncthreads\(\); \}", "barrier_around_pixels() {}"
    ),
    "each frequency in the next one's slot": Change(
        PASSES, r"return first \+ First \* rest;", "return (first + 1) % First + First * rest;"
    ),
    "a gradient through H, not conj(H)": Change(
        SLICES, r"Adjoint \? mul_conj\(a, b\) : mul\(a, b\)", "mul(a, b)"
    ),
    "the object's gradient with psi, not conj(psi)": Change(
        SLICES, r"mul_conj\(turned_back, psi\)", "mul(turned_back, psi)"
    ),
    "the propagator of the first gap in all": Change(
        SLICES, r"\(z == 0 \|\| gap > 0\)", "(z == 0)"
    ),
}


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csrc without mistakes."""
    return copy_of_sources(tmp_path_factory.mktemp("unchanged"), FEW)


@pytest.fixture(scope="module", params=[(32, 32), (64, 64)], ids=["split", "on_chip"])
def case(request: pytest.FixtureRequest) -> Problem:
    return smallest(request.param)


def smallest(window: tuple[int, int]) -> Problem:
    """Two gaps that differ, a tilt, two modes: every term that a mistake could be in."""
    return problem(window, positions=2, slices=3, gaps=True, tilts=2)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    def each() -> Iterator[str]:
        for order in ("forward", "reverse"):
            monkeypatch.setenv("FASTPTY_EMULATOR_ORDER", order)
            yield order

    return each()


def what_is_wrong(case: Problem, op: EmulatedOp) -> list[str]:
    """The results that differ from the reference, or the emulator's error."""
    try:
        actual = case.run(op)
    except RuntimeError as error:
        return [str(error)]
    expected = case.double().run(reference.multislice_intensity)
    kinds = {"intensity": "single intensity"}
    return [
        name
        for name, value in actual.items()
        if not relative(value, expected[name]) < bound(kinds.get(name, "single gradient"))
    ]


def found_in(
    mistake: Change,
    window: tuple[int, int],
    unchanged: Path,
    tmp_path: Path,
    orders: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    changed = copy_of_sources(tmp_path, [mistake], unchanged)
    path = build.module(csrc=unchanged, flavour=build.QUICK, changed={FOLDER: changed})
    op = EmulatedOp(build.load(path), monkeypatch)
    return [wrong for _ in orders for wrong in what_is_wrong(smallest(window), op)]


def test_without_a_mistake(
    case: Problem, unchanged: Path, orders: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build.load(build.module(csrc=unchanged, flavour=build.QUICK))
    op = EmulatedOp(module, monkeypatch)
    for _ in orders:
        assert what_is_wrong(case, op) == []


@pytest.mark.parametrize("mistake", SPLIT_MISTAKES.values(), ids=list(SPLIT_MISTAKES))
def test_split(
    mistake: Change,
    unchanged: Path,
    tmp_path: Path,
    orders: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found_in(mistake, (32, 32), unchanged, tmp_path, orders, monkeypatch)


@pytest.mark.parametrize("mistake", ON_CHIP_MISTAKES.values(), ids=list(ON_CHIP_MISTAKES))
def test_on_chip(
    mistake: Change,
    unchanged: Path,
    tmp_path: Path,
    orders: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found_in(mistake, (64, 64), unchanged, tmp_path, orders, monkeypatch)
