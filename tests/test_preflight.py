"""What is said before a run: nothing about a good case, one warning for each thing wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from fastpty import memory
from fastpty.preflight import Finding, preflight
from tests.recon_cases import PIXEL, SCAN, STEP, WINDOW, Tiny, make_tiny, tiny_run
from tests.tolerances import bound


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def _warnings(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.warning for finding in findings if finding.warning}


def _with_patterns(tiny: Tiny, folder: Path, patterns: NDArray[np.float64]) -> Tiny:
    """The tiny experiment with other patterns [30, Ny, Nx]."""
    with h5py.File(folder / "tiny.h5", "w") as file:
        file["data"] = patterns.astype(np.float32).reshape(*SCAN, *WINDOW)
    return replace(tiny, folder=folder)


def test_a_good_case(tiny: Tiny) -> None:
    findings = preflight(tiny_run(tiny))
    assert _warnings(findings) == {}
    text = {finding.subject: finding.text for finding in findings}
    assert list(text) == ["patterns", "sampling", "bright field", "probe", "object", "memory"]
    assert text["patterns"] == (
        "5 x 6 scan, 24 x 20 px, 1e+04 counts in the mean pattern, float32 in 0 MiB"
    )
    assert text["sampling"].startswith("dx 0.4 A, dk 0.1042 x 0.125 1/A, window 9.6 x 8 A")
    assert "nearest neighbour 1 A" in text["probe"]
    assert text["object"].startswith("1 x 2 slices of 40 x 40 px, 40 A thick")


def test_what_is_fitted(tiny: Tiny) -> None:
    """Half of a chessboard has its neighbours along the diagonal."""
    run = tiny_run(tiny, data={"half": {}, "leave_out": 0.1})
    text = {finding.subject: finding.text for finding in preflight(run)}
    count = len(run.fitted)
    assert text["fitted"] == (
        f"{count} of 30 patterns, half 1 (chessboard); free R factor of {30 - count} others"
    )
    nearest = float(np.hypot(*STEP))
    assert f"nearest neighbour {nearest:.3g} A" in text["probe"]


def test_pixel_units(tiny: Tiny) -> None:
    path = str(tiny.folder / "tiny.h5")
    run = tiny_run(
        tiny,
        units="pixel",
        beam=None,
        calibration=None,
        object={"slices": 1},
        scan={"step": [STEP[0] / PIXEL, STEP[1] / PIXEL]},
        probe={"start": {"path": path, "dataset": "probe"}},
    )
    findings = preflight(run)
    assert _warnings(findings) == {}
    assert [f.subject for f in findings] == ["patterns", "sampling", "probe", "object", "memory"]
    assert "nearest neighbour 2.5 px" in findings[2].text


@pytest.mark.parametrize(
    ("changes", "subject", "message"),
    [
        (
            {"calibration": {"pixel_size": PIXEL * 1.25}},
            "bright field",
            "radii differ: check calibration, energy_kv, semiangle_mrad",
        ),
        ({"scan": {"step": 2.5}}, "probe", "little overlap"),
        ({"beam": {"aberrations": {"defocus": 400}}}, "probe", "of the probe lies at the window's"),
    ],
    ids=["calibration", "overlap", "window"],
)
def test_settings_that_look_wrong(
    tiny: Tiny, changes: dict[str, Any], subject: str, message: str
) -> None:
    warnings = _warnings(preflight(tiny_run(tiny, **changes)))
    assert list(warnings) == [subject]
    assert message in warnings[subject]


def test_a_similarity_of_one_object_mode(tiny: Tiny) -> None:
    """Only where the config asks for it."""
    warnings = _warnings(preflight(tiny_run(tiny, loss={"similarity": True})))
    assert warnings == {
        "loss.similarity": "one object mode has nothing to be similar to: it is always zero"
    }


@pytest.mark.parametrize(("points", "off"), [(2, "18"), (3, None)])
def test_the_points_of_a_source(tiny: Tiny, points: int, off: str | None) -> None:
    run = tiny_run(tiny, probe={"source_size": 0.3, "source_points": points})
    (finding,) = (f for f in preflight(run) if f.subject == "source")
    assert finding.text == f"{points**2} points, so {2 * points**2} modes instead of 2"
    if off is None:
        assert not finding.warning
    else:
        assert finding.warning.startswith(f"they are off by {off} % at the aperture's edge")


def test_the_points_of_a_source_in_pixel_units(tiny: Tiny) -> None:
    run = tiny_run(tiny, probe={"source_size": 0.3})
    run.config.beam = None
    (finding,) = (f for f in preflight(run) if f.subject == "source")
    assert not finding.warning


def test_the_points_of_a_source_take_memory(tiny: Tiny) -> None:
    """As much as so many modes do."""
    of_source = tiny_run(tiny, probe={"modes": 2, "source_size": 0.1, "source_points": 2})
    of_modes = tiny_run(tiny, probe={"modes": 8, "mode_power": 0.01})
    assert of_source.memory.waves == of_modes.memory.waves


def test_a_disc_off_the_centre(tiny: Tiny, tmp_path: Path) -> None:
    moved = _with_patterns(tiny, tmp_path, np.roll(tiny.patterns, 3, axis=1))
    warnings = _warnings(preflight(tiny_run(moved)))
    assert list(warnings) == ["bright field"]
    assert re.fullmatch(r"the disc is 3.\d px off \[12, 10\]: .*", warnings["bright field"])


@pytest.mark.parametrize(("y", "x"), [(0, 0), (12, 17), (11, 19)])
def test_a_hot_pixel(tiny: Tiny, tmp_path: Path, y: int, x: int) -> None:
    patterns = tiny.patterns.copy()
    patterns[:, y, x] = patterns.max()
    warnings = _warnings(preflight(tiny_run(_with_patterns(tiny, tmp_path, patterns))))
    assert list(warnings) == ["patterns"]
    assert warnings["patterns"].startswith("1 pixels are over 10 times brighter than all around")


def test_a_masked_hot_pixel_is_none(tiny: Tiny, tmp_path: Path) -> None:
    patterns = tiny.patterns.copy()
    patterns[:, 2, 3] = 1e9
    good = np.ones(WINDOW, bool)
    good[2, 3] = False
    np.save(tmp_path / "mask.npy", good)
    hot = _with_patterns(tiny, tmp_path, patterns)
    run = tiny_run(hot, data={"mask": {"path": str(tmp_path / "mask.npy")}})
    assert _warnings(preflight(run)) == {}


def test_single_counts_are_not_hot(tiny: Tiny, tmp_path: Path) -> None:
    """At a low dose the dark field of the mean pattern is lone counts beside zeros."""
    dark = np.random.default_rng(0).poisson(tiny.patterns * 1e-2)
    assert (dark.mean(axis=0) == 0).any()
    run = tiny_run(_with_patterns(tiny, tmp_path, dark.astype(float)))
    assert "patterns" not in _warnings(preflight(run))


def test_too_little_memory(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    (warning,) = _warnings(preflight(tiny_run(tiny))).items()
    assert warning[0] == "memory"
    assert re.fullmatch(r"only 0 MiB are free: lower optimise.batch_size, or .*", warning[1])


# Peak memory of an iteration in a process of its own, over that of a small one.
MEASURE = """
import json, sys
from pathlib import Path
from tests.peak_memory import peak_memory
from tests.recon_cases import Tiny, tiny_run

tiny = Tiny(Path(sys.argv[1]), *[None] * 5)
tiny_run(tiny).engine.run_iteration(1)
before = peak_memory()
# The same patterns are few; many modes and slices make the waves large.
changes = {"probe": {"modes": 30, "mode_power": 0.01}, "object": {"slices": 8},
           "optimise": {"batch_size": 30, "engine": sys.argv[2]}}
run = tiny_run(tiny, **changes)
run.engine.run_iteration(1)
print(json.dumps([peak_memory() - before, run.memory.total]))
"""


@pytest.mark.parametrize("engine", ["gradient", "mpie"])
def test_the_memory_estimate_is_right_within_a_factor(tiny: Tiny, engine: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("Linux tells the peak of a process")
    command = [sys.executable, "-c", MEASURE, str(tiny.folder), engine]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    measured, estimated = (float(number) for number in done.stdout.strip("[]\n").split(","))
    assert measured > 2**25  # far more than what the allocator keeps in reserve
    assert 1 / bound("memory") < estimated / measured < bound("memory")


def test_the_memory_estimate_follows_the_batch(tiny: Tiny) -> None:
    small, large = (tiny_run(tiny, optimise={"batch_size": n}) for n in (5, 1000))
    # No batch is larger than the scan.
    assert large.memory.waves == 6 * small.memory.waves
    assert large.memory.unknowns == small.memory.unknowns


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, True),
        ({"constraints": {"blur_xy": False, "blur_z": True}}, False),
        ({"constraints": {"blur_xy": False, "blur_z": False, "missing_wedge": True}}, False),
        ({"object": {"tilt_per": "position"}}, False),
        ({"optimise": {"tilt": {"lr": 0.1}, "phase": {"lr": 0}}}, False),
        ({"optimise": {"tilt": {"lr": 0}}}, False),
    ],
)
def test_a_tilt_that_the_object_can_shear_away(
    tiny: Tiny, changes: dict[str, Any], warned: bool
) -> None:
    run = tiny_run(tiny, **{"optimise": {"tilt": {"lr": 0.1}}, **changes})
    assert ("shear instead" in _warnings(preflight(run)).get("tilt", "")) is warned


LBFGS = {"optimiser": {"name": "LBFGS"}}
STILL = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)


def test_a_plan_is_a_table(tiny: Tiny) -> None:
    """A row a stage, its cells below each other."""
    plan = [
        {
            "name": "centre",
            "iterations": 5,
            "scan": {"center": [3, 4]},
            "optimise": {"positions": {"lr": 0}},
        },
        {"iterations": 120},
        {"name": "end", "iterations": 2, "optimise": LBFGS, "constraints": STILL},
    ]
    rows = {f.subject: f.text for f in preflight(tiny_run(tiny, plan=plan)) if "plan" in f.subject}
    moved = "amplitude, phase, probe"
    assert rows == {
        "plan.0": f"centre   5 iterations    3 x 4 positions  Adam   moves {moved}",
        "plan.1": f"stage 2  120 iterations  5 x 6 positions  Adam   moves {moved}, positions",
        "plan.2": f"end      2 iterations    5 x 6 positions  LBFGS  moves {moved}, positions",
    }


@pytest.mark.parametrize(
    ("changes", "field", "acting"),
    [
        ({"optimise": LBFGS, "constraints": STILL}, "", ""),
        (
            {"optimise": LBFGS, "constraints": {**STILL, "probe_power": {"every": 2}}},
            "optimise",
            "probe_power in each",
        ),
        ({"optimise": LBFGS, "constraints": {**STILL, "probe_power": {"every": 5}}}, "", ""),
        (
            {
                "plan": [{"iterations": 1, "optimise": LBFGS}],
                "constraints": STILL | {"blur_z": {}},
                "optimise": {"iterations": None},
            },
            "plan.0",
            "blur_z in each",
        ),
        (
            {
                "optimise": {**LBFGS, "aberrations": {"lr": 1e-3}},
                "constraints": STILL,
                "probe": {"aberrations": ["defocus"]},
            },
            "optimise",
            "aberrations, which move the probe,",
        ),
    ],
)
def test_constraints_that_make_full_batch_forget(
    tiny: Tiny, changes: dict[str, Any], field: str, acting: str
) -> None:
    warnings = _warnings(preflight(tiny_run(tiny, **changes)))
    assert list(warnings) == ([field] if field else [])
    assert all(text.startswith(acting) for text in warnings.values())


@pytest.mark.parametrize(
    ("engine", "constraints", "warned"),
    [
        ("epie", {}, True),
        ("epie", {"probe_power": False}, False),
        ("pie", {}, False),
        ("gradient", {}, False),
    ],
)
def test_a_probe_that_is_scaled_alone(
    tiny: Tiny, engine: str, constraints: dict[str, Any], warned: bool
) -> None:
    run = tiny_run(tiny, optimise={"engine": engine}, constraints=constraints)
    text = _warnings(preflight(run)).get("optimise", "")
    assert text.startswith("constraints.probe_power scales the probe") is warned


def test_a_stage_of_a_pie_in_the_table(tiny: Tiny) -> None:
    """Its engine stands for an optimiser, and it names what moves: not the positions."""
    plan = [{"iterations": 1, "optimise": {"engine": "pie"}}, {"iterations": 1}]
    lines = {f.subject: f.text for f in preflight(tiny_run(tiny, plan=plan))}
    assert lines["plan.0"].split("positions  ")[1] == "pie   moves amplitude, phase"
    assert lines["plan.1"].split("positions  ")[1].startswith("Adam  moves amplitude, phase, probe")


def test_memory_is_that_of_the_largest_stage(tiny: Tiny) -> None:
    """Its batch, and what its optimiser keeps."""
    plain = tiny_run(tiny).memory
    large = {"iterations": 1, "optimise": {"batch_size": 16}}
    pairs = {"iterations": 1, "optimise": {"optimiser": {"name": "LBFGS", "history_size": 20}}}
    planned = tiny_run(tiny, plan=[large, pairs]).memory
    assert planned.waves == 2 * plain.waves
    # 6 copies with Adam's moments; 2 for each pair, 7 for a step, and 4 besides.
    assert planned.unknowns == plain.unknowns * (2 * 20 + 7 + 4) // 6


FROZEN = {name: {"lr": 0} for name in ("amplitude", "phase", "probe", "positions")}
LATE = {name: {"start": 4} for name in ("amplitude", "phase", "probe", "positions")}


@pytest.mark.parametrize(
    ("changes", "subject", "warning"),
    [
        ({"optimise": FROZEN}, "optimise", "no unknown moves"),
        ({"optimise": LATE}, "optimise", "no unknown moves"),
        (
            {
                "plan": [{"iterations": 4}, {"iterations": 3}],
                "optimise": LATE | {"iterations": None},
            },
            "plan.1",
            "no unknown moves",
        ),
        (
            {"plan": [{"iterations": 4}], "optimise": {"iterations": 3}},
            "iterations",
            "optimise.iterations = 3 has no effect beside a plan",
        ),
        ({"probe": {"aberrations": ["C12"]}}, "probe", "probe.aberrations stay as they are"),
        (
            {"object": {"slices": 1, "thickness": None, "tilt_mrad": [1, 0]}},
            "object",
            "a single slice is never propagated",
        ),
    ],
)
def test_what_would_do_nothing(
    tiny: Tiny, changes: dict[str, Any], subject: str, warning: str
) -> None:
    found = _warnings(preflight(tiny_run(tiny, **changes)))
    assert list(found) == [subject]
    assert found[subject].startswith(warning)


def test_a_config_that_a_run_has_written_says_nothing_more(tiny: Tiny) -> None:
    """Its iterations are those of its plan."""
    planned: dict[str, Any] = {"plan": [{"iterations": 4}, {"iterations": 3}]}
    written = tiny_run(tiny, **planned, optimise={"iterations": None}).config.model_dump()
    assert written["optimise"]["iterations"] == 7
    assert _warnings(preflight(tiny_run(tiny, **written))) == {}
