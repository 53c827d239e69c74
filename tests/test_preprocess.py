"""Steps on the data within whole runs: repaired data, resumed runs, files larger than memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config import ReconConfig, validate_config
from fastpty.errors import ConfigError
from fastpty.job import set_up
from fastpty.preflight import preflight
from fastpty.truth import compare_with_truth, read_truth
from tests.recon_cases import PIXEL, SCAN, TINY, WINDOW, Tiny, make_tiny, merged, tiny_run
from tests.tolerances import bound

HOT = [[3, 5], [20, 21], [29, 2]]
BACKGROUND = 4.0
REPAIR: list[dict[str, Any]] = [
    {"step": "hot_pixels"},
    {"step": "background"},
    {"step": "flip", "flip_y": True},
    {"step": "flip", "of": "scan", "flip_x": True},
    {"step": "centre"},
    {"step": "crop", "size": list(WINDOW)},
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def damaged(tiny: Tiny, folder: Path) -> Tiny:
    """The tiny experiment as a careless operator records it: off centre on a larger detector, above
    a background, with hot pixels, mirrored, the scan's lines backwards."""
    ny, nx = WINDOW
    frames = np.full((*SCAN, ny + 8, nx + 6), BACKGROUND)
    frames[:, :, 3 : 3 + ny, 5 : 5 + nx] += tiny.patterns.reshape(*SCAN, *WINDOW)
    frames = frames[:, ::-1, ::-1]
    for y, x in HOT:
        frames[:, :, y, x] = 7000
    with h5py.File(tiny.folder / "tiny.h5") as whole, h5py.File(folder / "tiny.h5", "w") as file:
        file.attrs["pixel_size_A"] = PIXEL
        file["data"] = frames.astype(np.float32)
        positions = whole["truth/positions_px"][()].reshape(*SCAN, 2)
        file["truth/positions_px"] = positions[:, ::-1].reshape(-1, 2)
        file["truth/phase"] = whole["truth/phase"][()]
    return replace(tiny, folder=folder)


def correlation(tiny: Tiny, **changes: Any) -> float:
    run = tiny_run(tiny, optimise={"iterations": 25, "positions": {"lr": 0}}, **changes)
    run.run()
    truth = read_truth(tiny.folder / "tiny.h5", run.measurements)
    return compare_with_truth(run.results(), truth).phase.correlation


def test_repaired_data_are_as_good_as_sound_ones(tiny: Tiny, tmp_path: Path) -> None:
    bad = damaged(tiny, tmp_path)
    of = {"pixel_size": PIXEL, "of": "preprocessed"}
    run = tiny_run(bad, preprocess=REPAIR, calibration=of)
    said = {step.name: step.text for step in run.measurements.steps}
    places = ", ".join(f"[{y}, {x}]" for y, x in HOT)
    assert f"hot pixels found: 3 at {places}" in said["hot_pixels"]
    assert "moved by" in said["centre"]
    sound = tiny_run(tiny).measurements
    index = torch.arange(len(sound.patterns))
    found, true = run.measurements.patterns.batch(index), sound.patterns.batch(index)
    error = (found - true)[:, run.measurements.patterns.mask]
    assert error.abs().max() < bound("sampled")
    assert correlation(bad, preprocess=REPAIR, calibration=of) == pytest.approx(
        correlation(tiny), abs=bound("fitted") / 4
    )


@pytest.mark.parametrize("left_out", ["flip", "centre"])
def test_what_is_left_out_is_missed(tiny: Tiny, tmp_path: Path, left_out: str) -> None:
    """So the test above does not pass by itself."""
    bad = damaged(tiny, tmp_path)
    steps = [step for step in REPAIR if step["step"] != left_out]
    of = {"pixel_size": PIXEL, "of": "preprocessed"}
    run = tiny_run(bad, preprocess=steps, calibration=of)
    sound = tiny_run(tiny).measurements.patterns
    index = torch.arange(len(sound))
    error = run.measurements.patterns.batch(index) - sound.batch(index)
    assert error.abs().max() > 0.1


LATE: list[dict[str, Any]] = [
    {"step": "poisson_noise", "electrons_per_pattern": 5000, "seed": 3},
    {"step": "hot_pixels", "find": "none", "dead": False, "mask": {"path": "good.npy"}},
    {"step": "crop", "columns": [1, 6]},
    {"step": "pad", "size": 30},
    {"step": "resample", "factor": 1.2},
]


def late_run(tiny: Tiny, iterations: int, mask: str, steps: Any = LATE) -> Any:
    good = np.ones(WINDOW, bool)
    good[0, :3] = False
    np.save(tiny.folder / mask, good)
    named = [merged(step, {"mask": {"path": mask}}) if "mask" in step else step for step in steps]
    return tiny_run(tiny, preprocess=named, optimise={"iterations": iterations})


def test_a_resumed_run_has_the_same_patterns(tiny: Tiny, tmp_path: Path) -> None:
    """Noise, mask and all that waits for a batch; files may have moved meanwhile."""
    unbroken = late_run(tiny, 3, "good.npy")
    assert unbroken.measurements.patterns.shape == (25, 36, 36)
    unbroken.run()
    first = late_run(tiny, 1, "good.npy")
    first.run()
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    resumed = late_run(tiny, 3, "moved.npy")
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    for name, tensor in unbroken.model.unknowns.items():
        assert torch.equal(resumed.model.unknowns[name], tensor), name
    assert resumed.agreement()["fitted"].r_factor == unbroken.agreement()["fitted"].r_factor


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{**LATE[0], "seed": 4}, *LATE[1:]], r"^preprocess\.0\.seed: differs .*: 4 instead of 3"),
        (LATE[:-1], r"^preprocess: differs"),
    ],
)
def test_other_steps_are_refused_on_resume(
    tiny: Tiny, tmp_path: Path, steps: Any, message: str
) -> None:
    run = late_run(tiny, 1, "good.npy")
    run.run()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match=message):
        read_checkpoint(late_run(tiny, 2, "good.npy", steps), tmp_path / "checkpoint.pt")


def test_pixels_that_were_not_measured_have_no_misfit(tiny: Tiny) -> None:
    """Whatever lies at the wider angles of padded patterns, the loss does not see it."""
    run = tiny_run(tiny, preprocess=[{"step": "pad", "size": [32, 28]}])
    patterns = run.measurements.patterns
    assert int(patterns.mask.sum()) == WINDOW[0] * WINDOW[1]
    np.testing.assert_allclose(
        run.measurements.pixel_size, [PIXEL * n / m for n, m in zip(WINDOW, (32, 28), strict=True)]
    )
    report = run.engine.run_iteration(1)
    again = tiny_run(tiny, preprocess=[{"step": "pad", "size": [32, 28]}])
    whatever = torch.where(patterns.mask, 0.0, 1e6)
    again.measurements.patterns._canvas._parts["fill"] = whatever
    assert again.engine.run_iteration(1).loss == report.loss


def test_the_report_before_a_run_lists_the_steps(tiny: Tiny) -> None:
    found = preflight(late_run(tiny, 1, "good.npy"))
    texts = [finding.text for finding in found if finding.subject == "preprocess"]
    assert [text.split(":")[0] for text in texts] == [step["step"] for step in LATE]
    (patterns,) = [finding.text for finding in found if finding.subject == "patterns"]
    assert "5 x 5 scan, 36 x 36 px" in patterns
    assert "uint16 in 0 MiB" in patterns


def test_paths_of_steps_become_absolute(tiny: Tiny) -> None:
    np.save(tiny.folder / "good.npy", np.ones(WINDOW, bool))
    config = validate_config(ReconConfig, merged(TINY, {"preprocess": LATE}))
    run, _ = set_up(config, tiny.folder)
    assert run.config.preprocess[1].mask.path == str(tiny.folder / "good.npy")


def test_tilts_from_a_file_go_with_their_positions(tiny: Tiny) -> None:
    tilts = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    np.save(tiny.folder / "tilts.npy", tilts)
    section = {"tilt_per": "position", "tilts": {"path": "tilts.npy"}}
    run = tiny_run(tiny, object=section, preprocess=[{"step": "crop", "rows": [1, 3]}])
    np.testing.assert_array_equal(run.model.tilt.detach().numpy(), tilts[6:18])


CROPPED = """
import sys
from pathlib import Path
from fastpty.config import ReconConfig, validate_config
from fastpty.measurements import load_measurements
from tests.peak_memory import peak_memory
content = {
    "data": {"path": sys.argv[1], "pattern_shape": [256, 256], "dtype": "uint16",
             "scan_shape": [640, 512]},
    "beam": {"energy_kv": 300, "semiangle_mrad": 20},
    "calibration": {"pixel_size": 0.2},
    "scan": {"step": 0.5},
    "preprocess": [
        {"step": "crop", "columns": [4, 508], "size": 128},
        {"step": "bin", "factor": 8},
        {"step": "flip", "flip_y": True},
        {"step": "centre", "at": [8, 8]},
    ],
}
config = validate_config(ReconConfig, content)
before = peak_memory()
found = load_measurements(config, Path("."))
assert found.patterns.shape == (640 * 504, 16, 16)
assert found.patterns.mean.max() > 0
print(peak_memory() - before, found.patterns.nbytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sparse files, /proc")
def test_40_gigabytes_are_cropped_on_their_way(tmp_path: Path) -> None:
    """In a process of its own, whose peak is little more than what is kept."""
    path = tmp_path / "scan.bin"
    frame = np.zeros((256, 256), np.uint16)
    frame[120:136, 120:136] = 5
    with path.open("wb") as stream:
        stream.truncate(640 * 512 * frame.nbytes)
        stream.seek(5000 * frame.nbytes)
        stream.write(frame.tobytes())
    assert path.stat().st_size > 40e9
    done = subprocess.run(
        [sys.executable, "-c", CROPPED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak, kept = map(int, done.stdout.split())
    assert peak < kept + 5e8
