"""Mistakes put into the kernels are found: what the comparison with the reference is worth.

Each takes something out of a copy of the sources that no compiler misses, a barrier, a conjugate, a
step of an index, and runs the smallest problem that its family has. What is changed is found by
pattern, so a test fails when the sources move on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastpty import reference
from tests.emulator import build
from tests.emulator.changed import ONE_SIZE, Change, copy_of_sources
from tests.emulator.emulated import EmulatedOp
from tests.multislice_cases import ALL, Problem, problem, relative
from tests.tolerances import bound

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(build.MISSING is not None, reason=str(build.MISSING)),
]

FOLDER = "multislice_intensity"
WINDOWS = {"split": (32, 32), "on_chip": (64, 64), "cluster": (256, 256)}
BARRIER = r"^ +__syncthreads\(\);\n"

# What WINDOWS needs, and no more.
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


CLUSTER = f"{FOLDER}/cluster_passes.cuh"
CLUSTER_MISTAKES = {
    "only the block waits around the pixels": Change(
        CLUSTER,
        r"(barrier_around_pixels\(\)) \{ cluster_barrier\(\); \}",
        r"\1 { __syncthreads(); }",
    ),
    "blocks leave that others still read": Change(
        CLUSTER, r"(barrier_before_exit\(\)) \{ cluster_barrier\(\); \}", r"\1 {}"
    ),
    "each frequency in another one's slot": Change(
        CLUSTER, r"4 \* \(column % kRestX / 8\)", "4 * ((column + 8) % kRestX / 8)"
    ),
    "rows with the wrong block": Change(CLUSTER, r"\(rank == 0 \? 4 : 8 - rank\)", "(4 + rank)"),
}


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csrc without mistakes."""
    return copy_of_sources(tmp_path_factory.mktemp("unchanged"), FEW)


def smallest(window: tuple[int, int]) -> Problem:
    """Two gaps that differ and tilts: every term that a mistake could be in."""
    return problem(window, positions=2, modes=1, slices=3, gaps=True, tilts=2)


def what_is_wrong(case: Problem, op: EmulatedOp, wanted: tuple[str, ...]) -> list[str]:
    """The results that differ from the reference, or the emulator's error."""
    try:
        actual = case.run(op, wanted)
    except RuntimeError as error:
        return [str(error)]
    expected = case.double().run(reference.multislice_intensity, wanted)
    kinds = {"intensity": "single intensity"}
    return [
        name
        for name, value in actual.items()
        if value is not None
        and not relative(value, expected[name]) < bound(kinds.get(name, "single gradient"))
    ]


def wrong_in_some_order(
    window: tuple[int, int], op: EmulatedOp, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Everything wrong with all gradients, and with those of the object alone, which end sooner."""
    case = smallest(window)
    found = []
    for order in ("forward", "reverse"):
        monkeypatch.setenv("FASTPTY_EMULATOR_ORDER", order)
        for wanted in (ALL, ("amplitude", "phase")):
            found += what_is_wrong(case, op, wanted)
    return found


@pytest.fixture
def found_in(
    unchanged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Change, tuple[int, int]], list[str]]:
    """What shows that a mistake was made."""

    def build_and_run(mistake: Change, window: tuple[int, int]) -> list[str]:
        changed = copy_of_sources(tmp_path, [mistake], unchanged)
        path = build.module(csrc=unchanged, flavour=build.QUICK, changed={FOLDER: changed})
        return wrong_in_some_order(window, EmulatedOp(build.load(path), monkeypatch), monkeypatch)

    return build_and_run


@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
def test_without_a_mistake(
    window: tuple[int, int], unchanged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build.load(build.module(csrc=unchanged, flavour=build.QUICK))
    assert WINDOWS[module.family(*window)] == window
    assert wrong_in_some_order(window, EmulatedOp(module, monkeypatch), monkeypatch) == []


@pytest.mark.parametrize("mistake", SPLIT_MISTAKES.values(), ids=list(SPLIT_MISTAKES))
def test_split(mistake: Change, found_in: Callable[[Change, tuple[int, int]], list[str]]) -> None:
    assert found_in(mistake, WINDOWS["split"])


@pytest.mark.parametrize("mistake", ON_CHIP_MISTAKES.values(), ids=list(ON_CHIP_MISTAKES))
def test_on_chip(mistake: Change, found_in: Callable[[Change, tuple[int, int]], list[str]]) -> None:
    assert found_in(mistake, WINDOWS["on_chip"])


@pytest.mark.parametrize("mistake", CLUSTER_MISTAKES.values(), ids=list(CLUSTER_MISTAKES))
def test_cluster(mistake: Change, found_in: Callable[[Change, tuple[int, int]], list[str]]) -> None:
    assert found_in(mistake, WINDOWS["cluster"])
