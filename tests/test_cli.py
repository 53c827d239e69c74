"""The command line: every command, its exit code, and what a wrong input gets to read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import fastpty
from fastpty.cli import main
from fastpty.config import ReconConfig, load_config
from fastpty.results import read_results
from tests.recon_cases import SCAN, WINDOW, Tiny, make_tiny, write_config

SIMULATION: dict[str, Any] = {
    "specimen": {"thickness_A": None},
    "optics": {"energy_kv": 300, "semiangle_mrad": 20},
    "scan": {"shape": [2, 3], "step_A": [0.5, 0.7]},
    "detector": {"pixels": 32, "max_angle_mrad": 40},
}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything, in one line."""
        return " ".join((self.out + self.err).split())


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``run("recon", config, "--json")`` as typed in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["fastpty", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def test_recon(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """The folder is named after the config and made where the command is given."""
    done = run("recon", write_config(tiny, "named.yaml"))
    assert done.code == 0, done.said
    assert "finished after 3 iterations" in done.out
    assert len(read_results(tmp_path / "output/named/reconstruction.h5").history.loss) == 3


@pytest.mark.parametrize("variable", [False, True])
def test_the_output_folder_of_the_config(
    run: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    monkeypatch.setenv("FASTPTY_TEST_OUTPUT", str(tmp_path / "chosen"))
    folder = "$FASTPTY_TEST_OUTPUT" if variable else "chosen"
    done = run("recon", write_config(tiny, output={"folder": folder}))
    assert done.code == 0, done.said
    assert (tmp_path / "chosen" / "reconstruction.h5").is_file()


def test_recon_takes_overrides_and_a_device(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    config = write_config(tiny, device="cuda")
    settings = ["--set", "optimise.iterations=2", "--set", "optimise.phase.lr=1e-3"]
    done = run("recon", config, "-o", "here", "--device", "cpu", *settings)
    assert done.code == 0, done.said
    used = read_results(tmp_path / "here" / "reconstruction.h5").config
    assert used["device"] == "cpu"
    assert used["optimise"]["iterations"] == 2
    assert used["optimise"]["phase"]["lr"] == 1e-3


def test_json_stands_alone_on_standard_output(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    done = run("recon", write_config(tiny), "-o", "here", "--json")
    summary = json.loads(done.out)
    assert summary == json.loads((tmp_path / "here" / "summary.json").read_text())
    assert summary["finished"]
    assert "iteration 3/3" in done.err


def test_overwriting_is_refused_then_allowed_and_a_run_resumed(run: Run, tiny: Tiny) -> None:
    config = write_config(tiny)
    assert run("recon", config, "-o", "here").code == 0
    refused = run("recon", config, "-o", "here")
    assert refused.code == 2
    assert "Error: here: holds the reconstruction.h5 of an earlier run." in refused.said
    both = run("recon", config, "-o", "here", "--overwrite", "--resume")
    assert both.code == 2
    assert "Error: --resume: and --overwrite contradict each other." in both.said
    more = ["--set", "optimise.iterations=5", "--json"]
    resumed = run("recon", config, "-o", "here", "--resume", *more)
    assert json.loads(resumed.out)["iterations"] == 5
    again = run("recon", config, "-o", "here", "--overwrite", *more)
    assert json.loads(again.out)["loss"] == json.loads(resumed.out)["loss"]


def test_validate(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    done = run("validate", write_config(tiny))
    assert done.code == 0
    assert done.out.rstrip().endswith("The config is valid.")
    assert list(tmp_path.iterdir()) == []


def test_validate_says_what_the_steps_did(run: Run, tiny: Tiny) -> None:
    steps = [{"step": "crop", "rows": [1, 3]}, {"step": "remove_negative"}]
    done = run("validate", write_config(tiny, preprocess=steps))
    assert done.code == 0
    assert "  preprocess   crop: 2 x 6 scan of 24 x 20 px\n" in done.out
    assert "  preprocess   remove_negative: clipped; no value was set to 0\n" in done.out


def test_validate_counts_its_warnings(run: Run, tiny: Tiny) -> None:
    config = write_config(tiny, calibration={"pixel_size": 0.5})
    assert "! radii differ" in run("validate", config).said
    findings = json.loads(run("validate", config, "--json").out)
    assert [f["subject"] for f in findings if f["warning"]] == ["bright field"]


def test_info(run: Run) -> None:
    done = run("info")
    assert done.code == 0
    assert f"fastpty: {fastpty.__version__}" in done.out
    assert json.loads(run("info", "--json").out)["fastpty"] == fastpty.__version__


def test_info_of_a_file(run: Run, tiny: Tiny) -> None:
    done = run("info", tiny.folder / "tiny.h5", "--dataset", "data")
    assert done.code == 0, done.said
    assert f"scan shape: {SCAN[0]}, {SCAN[1]}" in done.out
    assert "energy_kv:   # FILL IN" in done.out
    found = json.loads(run("info", tiny.folder / "tiny.h5", "--json", "--dataset", "data").out)
    assert found["pattern shape"] == list(WINDOW)
    assert found["config"]["data"]["dataset"] == "data"


def test_info_of_a_file_without_a_header(run: Run, tmp_path: Path) -> None:
    np.arange(6 * 4 * 5, dtype="u2").tofile(tmp_path / "scan.bin")
    described = ["--set", "data.pattern_shape=[4, 5]", "--set", "data.dtype=uint16"]
    found = json.loads(run("info", "scan.bin", *described, "--scan-shape", 2, 3, "--json").out)
    assert (found["scan shape"], found["sample"]["maximum"]) == ([2, 3], 119)
    assert run("init", "scan.bin", *described, "--scan-shape", 2, 3).code == 0
    assert "dtype: uint16 " in (tmp_path / "scan.yaml").read_text()
    assert run("info", "scan.bin").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.h5"], "Error: data.path: 'none.h5' does not exist."),
        (["--dataset", "x"], "Error: info: has options for a data file, but none is named."),
        (["none.h5", "--set", "beam.energy_kv=1"], "Error: beam: unknown key."),
    ],
)
def test_info_of_nothing(run: Run, arguments: list[str], message: str) -> None:
    done = run("info", *arguments)
    assert done.code == 2
    assert message in done.said


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"fastpty {fastpty.__version__}\n")


@pytest.mark.parametrize(("of", "field"), [("recon", "optimise"), ("simulate", "specimen")])
def test_schema(run: Run, of: str, field: str) -> None:
    assert field in json.loads(run("schema", of).out)["properties"]


def test_schema_of_something_else(run: Run) -> None:
    done = run("schema", "tomography")
    assert done.code == 2
    assert "schema: must be one of recon, simulate, tune, ablate, got 'tomography'." in done.said


def test_from_atoms_to_a_reconstruction(run: Run, tmp_path: Path) -> None:
    """simulate, init, validate: the config that init writes for such a file is complete."""
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(SIMULATION), encoding="utf-8")
    simulated = run("simulate", "sim.yaml", "-o", "data.h5", "--set", "seed=3")
    assert simulated.code == 0, simulated.said
    assert simulated.out == "data.h5 written.\n"
    with h5py.File(tmp_path / "data.h5") as file:
        assert file.attrs["seed"] == 3

    refused = run("simulate", "sim.yaml", "-o", "data.h5")
    assert refused.code == 2
    assert "Error: data.h5: exists already." in refused.said
    assert run("simulate", "sim.yaml", "-o", "data.h5", "--overwrite").code == 0

    written = run("init", "data.h5")
    assert written.code == 0, written.said
    text = (tmp_path / "data.yaml").read_text()
    assert "FILL IN" not in text
    assert run("init", "data.h5").code == 2
    assert (tmp_path / "data.yaml").read_text() == text
    assert "exists already" in run("init", "data.h5").said

    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "moved.yaml"  # the data are found from any folder
    moved.write_text(text)
    checked = run("validate", moved)
    assert checked.code == 0, checked.said
    assert load_config(ReconConfig, moved).truth is not None


def test_the_file_that_a_simulations_config_names(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(SIMULATION), encoding="utf-8")
    done = run("simulate", "sim.yaml", "--set", "output=named.h5")
    assert done.out == "named.h5 written.\n", done.said
    assert (tmp_path / "named.h5").is_file()


def test_init_marks_what_the_file_does_not_say(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    assert run("init", tiny.folder / "tiny.h5", "--dataset", "data", "-o", "new.yaml").code == 0
    assert "FILL IN" in (tmp_path / "new.yaml").read_text()
    done = run("validate", "new.yaml")
    assert done.code == 2
    assert "beam.energy_kv" in done.said


def test_init_of_a_stack(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """The shape that the command gives is checked, and written into the config."""
    stack = _reshaped(tiny, (30, 24, 20))
    refused = run("init", tiny.folder / stack, "--scan-shape", 5, 5)
    assert refused.code == 2
    assert "is [5, 5], 25 positions, but shape_3.npy holds 30 patterns" in refused.said
    assert run("init", tiny.folder / stack, "--scan-shape", *SCAN, "-o", "new.yaml").code == 0
    assert f"scan_shape: {list(SCAN)}" in (tmp_path / "new.yaml").read_text()


def test_init_of_no_data_file(run: Run, tmp_path: Path) -> None:
    done = run("init", "none.h5")
    assert done.code == 2
    assert "'none.h5' does not exist" in done.said
    assert list(tmp_path.iterdir()) == []


def _patterns(tiny: Tiny, value: float) -> str:
    """A data file with one wrong value."""
    data = tiny.patterns.astype(np.float32).reshape(*SCAN, *WINDOW)
    data[1, 2, 3, 4] = value
    name = f"with_{value}.npy"
    np.save(tiny.folder / name, data)
    return name


def _reshaped(tiny: Tiny, shape: tuple[int, ...]) -> str:
    name = f"shape_{len(shape)}.npy"
    np.save(tiny.folder / name, tiny.patterns.astype(np.float32).reshape(shape))
    return name


@pytest.mark.parametrize("command", ["recon", "validate"])
@pytest.mark.parametrize(
    ("make", "field", "parts"),
    [
        (lambda t: {"data": {"path": "tinny.h5"}}, "data.path", ["tinny.h5", "'tiny.h5'"]),
        (lambda t: {"data": {"dataset": "dat"}}, "data.dataset", ["'dat'", "Did you mean 'data'"]),
        (lambda t: {"data": {"dataset": "truth/phase"}}, "data", ["(62, 65)", "data.dataset"]),
        (
            lambda t: {"data": {"path": _reshaped(t, (30, 24, 20)), "dataset": None}},
            "data.scan_shape",
            ["30 patterns", "[slow, fast]"],
        ),
        (
            lambda t: {
                "data": {
                    "path": _reshaped(t, (30, 24, 20)),
                    "dataset": None,
                    "scan_shape": [5, 7],
                }
            },
            "data.scan_shape",
            ["30", "35"],
        ),
        (
            lambda t: {"data": {"path": _patterns(t, np.nan), "dataset": None}},
            "data",
            ["nan in pattern 8, pixel [3, 4]", "data.mask"],
        ),
        (
            lambda t: {"data": {"path": _patterns(t, -2.0), "dataset": None}},
            "data",
            ["negative", "-2.0 in pattern 8, pixel [3, 4]"],
        ),
        (
            lambda t: {
                "scan": {
                    "step": None,
                    "positions": {"path": "tiny.h5", "dataset": "truth/phase", "unit": "pixel"},
                }
            },
            "scan.positions",
            ["30 patterns", "[30, 2]"],
        ),
        (
            lambda t: {"beam": {"semiangle_mrad": 40}},
            "beam.semiangle_mrad",
            ["40", "24.6", "calibration"],
        ),
        (lambda t: {"object": {"thickness": 0}}, "object.thickness", ["greater than 0", "found 0"]),
        (lambda t: {"object": {"thicknes": 3}}, "object.thicknes", ["unknown key", "'thickness'"]),
        (lambda t: {"truth": "truht.h5"}, "truth", ["truht.h5", "does not exist"]),
    ],
    ids=[
        "missing file",
        "missing dataset",
        "wrong shape",
        "stack without scan",
        "scan that does not match",
        "NaN",
        "negative counts",
        "positions of another scan",
        "aperture larger than the detector",
        "thickness zero",
        "unknown key",
        "missing truth",
    ],
)
def test_bad_input(
    run: Run,
    tiny: Tiny,
    tmp_path: Path,
    command: str,
    make: Callable[[Tiny], dict[str, Any]],
    field: str,
    parts: list[str],
) -> None:
    """One paragraph with the field and what to do, exit code 2, nothing written."""
    done = run(command, write_config(tiny, "bad.yaml", **make(tiny)))
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(f"Error: {field}")
    assert len(done.err.rstrip("\n").splitlines()) == 1, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(run: Run, tiny: Tiny) -> None:
    config = write_config(tiny, "bad.yaml", data={"path": "none.h5"})
    done = run("recon", config, "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert "DataError: data.path: " in done.err
    assert "Traceback" not in run("recon", config).err  # it does not last


def test_a_missing_config(run: Run) -> None:
    done = run("recon", "none.yaml")
    assert done.code == 2
    assert done.said == "Error: none.yaml: there is no such file. Check the path."


def test_an_unknown_option(run: Run, tiny: Tiny) -> None:
    done = run("recon", write_config(tiny), "--itterations", "3")
    assert done.code == 2
    assert "--itterations" in done.said


def test_a_folder_that_cannot_be_written(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run("recon", write_config(tiny), "-o", "file/output")
    assert done.code == 2
    assert "Error: file/output: cannot be written" in done.said
    assert (tmp_path / "file").read_text() == "in the way"


# The kernel refuses what goes beyond the limit, as it does on a full disk.
ON_A_FULL_DISK = """
import resource, sys
from fastpty.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))
main()
"""


@pytest.mark.parametrize("command", ["recon", "simulate"])
def test_a_full_disk(run: Run, tiny: Tiny, tmp_path: Path, command: str) -> None:
    """One paragraph, no crash at the interpreter's end, and the earlier file as it was."""
    pytest.importorskip("resource", reason="POSIX")
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(SIMULATION), encoding="utf-8")
    config, output, file = {
        "recon": (write_config(tiny, "full.yaml"), "out", "out/reconstruction.h5"),
        "simulate": ("sim.yaml", "data.h5", "data.h5"),
    }[command]
    arguments = [command, str(config), "-o", output, "--overwrite"]
    assert run(*arguments).code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before[tmp_path / file]) > 8_000
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"Error: {output}: ")
    assert "File too large" in done.stderr
    assert "Make room" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_export(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """A finished run, with what its config says, then with overrides elsewhere."""
    import tifffile

    config = write_config(tiny, "tiff.yaml", output={"tiff": {"images": ["phase_sum"]}})
    assert run("recon", config).code == 0
    folder = tmp_path / "output" / "tiff"
    assert [path.name for path in (folder / "tiff").iterdir()] == ["phase_sum.tif"]
    done = run("export", folder, "--tiff")
    assert (done.code, "holds an earlier phase_sum.tif" in done.said) == (2, True)
    assert run("export", folder, "--tiff", "--overwrite").code == 0
    choice = ["--set", "output.tiff.area=full", "--set", "output.tiff.type=uint8"]
    done = run("export", folder / "reconstruction.h5", "--tiff", "-o", tmp_path / "b", *choice)
    assert done.code == 0, done.said
    image = tifffile.imread(tmp_path / "b" / "phase_sum.tif")
    assert image.shape == read_results(folder / "reconstruction.h5").phase.shape[2:]
    assert image.dtype == np.uint8


def test_export_needs_a_format(run: Run, tmp_path: Path) -> None:
    done = run("export", tmp_path)
    assert (done.code, "Add --tiff" in done.said) == (2, True)


def test_frc_of_a_config(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    config = write_config(tiny, "frc.yaml", optimise={"iterations": 1})
    done = run("frc", config, "--json", "--set", "optimise.batch_size=15", "--device", "cpu")
    assert done.code == 0, done.said
    folder = tmp_path / "output" / "frc" / "frc"
    assert json.loads(done.out) == json.loads((folder / "frc.json").read_text(encoding="utf-8"))
    for name in ("half_1", "half_2"):
        assert load_config(ReconConfig, folder / name / "config.yaml").optimise.batch_size == 15
    assert run("frc", config).code == 2
    done = run("frc", config, "--split", "thirds", "-o", "elsewhere")
    assert (done.code, "--split: must be chessboard or random" in done.said) == (2, True)
    done = run("frc", config, "--resume", "--overwrite")
    assert (done.code, "contradict" in done.said) == (2, True)


def test_frc_that_is_stopped(run: Run, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastpty import halves

    monkeypatch.setattr(halves, "reconstruct_halves", lambda *args, **options: None)
    done = run("frc", write_config(tiny, "stopped.yaml"), "-o", "out")
    assert done.code == 130
    assert "stopped.yaml -o out --resume" in done.said


def test_frc_of_two_results(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    config = write_config(tiny, "pair.yaml", optimise={"iterations": 1})
    for name, seed in (("a", 0), ("b", 1)):
        assert run("recon", config, "-o", name, "--set", f"seed={seed}").code == 0
    done = run("frc", "a", "b/reconstruction.h5")
    assert done.code == 0, done.said
    assert "FRC resolution, half-bit" in done.out
    assert (tmp_path / "a" / "frc" / "frc.csv").is_file()
    done = run("frc", "a", "b", "--set", "seed=1")
    assert (done.code, "--set: is for a config" in done.said) == (2, True)
    done = run("frc", "a")
    assert (done.code, "a: is a single result. Name a second one" in done.said) == (2, True)
