"""bench/gpu.sh where there is no GPU: what it says, what it leaves, and that no failure is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tolerances import bound

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "bench" / "gpu.sh"

pytestmark = pytest.mark.skipif(
    not SCRIPT.is_file(), reason="needs a source checkout, not an installation"
)
if SCRIPT.is_file():
    from bench.gpu import collect, kernels


def run(*arguments: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so(tmp_path: Path) -> None:
    done = run("-o", tmp_path)
    assert done.returncode == 2
    assert "no CUDA device; --rehearse tries the script without one" in done.stderr


def test_an_option_that_it_does_not_know() -> None:
    done = run("--fast")
    assert done.returncode == 2
    assert "--rehearse" in done.stderr


def test_every_step_is_reported_when_all_fail(tmp_path: Path) -> None:
    done = run("--rehearse", "-o", tmp_path, python="false")
    assert done.returncode == 1
    steps = collect.steps(tmp_path / "steps.tsv")
    outcomes = {step["step"]: step["outcome"] for step in steps}
    assert outcomes["build"] == outcomes["memcheck"] == outcomes["ncu-128"] == "skipped"
    assert outcomes["tests"] == outcomes["kernels"] == outcomes["small_shapes"] == "failed"


@pytest.mark.slow
def test_rehearsal(tmp_path: Path) -> None:
    done = run("--rehearse", "-o", tmp_path, "-t", 1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = tmp_path.glob("*.json")
    result = json.loads(path.read_text())
    outcomes = {step["step"]: step["outcome"] for step in result["steps"]}
    for name in ("tests", "ceilings", "kernels", "iteration", "small_shapes"):
        assert outcomes[name] == "ok"
    for name in ("build", "memcheck", "racecheck", "synccheck", "ncu-128", "ncu-256"):
        assert outcomes[name] == "skipped"
        assert f"{name:22} skipped" in done.stdout
    assert "no CUDA device" in done.stdout
    sides = {(row["what"], row["side"]) for row in result["kernels"]}
    assert ("forward + backward", "plain torch") in sides
    assert all(row["seconds"]["median"] > 0 for row in result["kernels"])
    assert {row["side"] for row in result["iteration"]} >= {"graphs", "reference operations"}


NCU = """==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"
"0","7","fastpty::cuda::forward(int, float)","SpeedOfLight","Duration","us","1,234.5"
"1","7","fastpty::cuda::forward(int, float)","SpeedOfLight","Duration","us","765.5"
"1","7","fastpty::cuda::forward(int, float)","LaunchStats","Function Cache","","PreferNone"
"""


def case_row(side: str, seconds: float) -> dict[str, object]:
    case = kernels.CASES[0]
    return {
        "what": "forward + backward",
        "side": side,
        **case._asdict(),
        "seconds": {"median": seconds},
        "operations": 1e12,
        "bytes": 1e9,
    }


def test_the_page(tmp_path: Path) -> None:
    """Parts that are whole, broken off or missing; ratios, shares of the floor, the estimate."""
    (tmp_path / "steps.tsv").write_text("build\tok\t12\tdone\nncu-128\ttimeout\t60\tafter 60 s\n")
    (tmp_path / "ncu-128.csv").write_text(NCU)
    ceilings = {"copy_bytes_per_s": 2e12, "multiply_adds_per_s": 2.5e13}
    (tmp_path / "1-ceilings.json").write_text(json.dumps({"ceilings": ceilings}))
    error = case_row("graph", 1) | {"error": "RuntimeError: out of memory"}
    rows = [case_row("stored", 0.04), case_row("plain torch", 0.2), error]
    (tmp_path / "2-kernels.json").write_text(json.dumps({"kernels": rows, "scan": 40_000}))
    (tmp_path / "3-iteration.json").write_text('{"iteration": [')
    machine = {"device": "Some GPU", "torch": "2", "date": "2026-01-02"}
    result = collect.merge(tmp_path, machine)
    assert result["ncu"]["ncu-128"] == [
        {
            "kernel": "fastpty::cuda::forward(int, float)",
            "launches": 2,
            "metrics": {"Duration [us]": 1000.0},
        }
    ]
    assert "not whole" in result.pop("3-iteration")["error"]
    page = "\n".join(collect.page(result))
    (stored,) = (line for line in page.splitlines() if "backward, stored" in line)
    # 40 ms for 32 positions; plain torch takes five times as long; 1e12 operations at the measured
    # rate take 20 ms, half of the time.
    assert stored.split()[-6:] == ["40", "1250", "6510", "5.00", "0.50", "fma"]
    assert "estimate: 50 s for forward and backward of 40000 positions" in page
    assert "RuntimeError: out of memory" in page
    assert "timeout" in page


def test_the_floor_counts_what_cannot_be_left_out() -> None:
    """Of one wave through one slice: a transform for the shift, one to the detector, a product."""
    case = kernels.Case(window=8, modes=1, slices=1, positions=1)
    operations, nbytes = kernels.floor_of(case, backward=False)
    assert operations == 2 * 5 * 64 * 6 + 6 * 64
    extent = 12
    assert nbytes == 2 * 4 * extent**2 + 8 * 64 + 4 * 2 + 4 * 64
    both, more = kernels.floor_of(case, backward=True)
    assert both == 2 * operations + 8 * 64
    assert more > nbytes + 2 * 8 * 64


def test_plain_torch_computes_the_same() -> None:
    cpu, case = torch.device("cpu"), kernels.TINY[0]
    found = kernels.difference(
        kernels.copies_of(case, cpu)[0], kernels.PlainTorch(case.window, cpu)
    )
    assert max(found.values()) < bound("single gradient")
