"""What a calibration finds in simulated data, and that a config with it is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastpty.calibrate import Calibration, calibrated_config, gather, read_input, solve, table
from fastpty.calibrate.orientation import decompose, orientation, turned_by
from fastpty.cli import main
from fastpty.config import ReconConfig, apply_overrides, read_yaml, validate_config
from fastpty.config.load import parse_value
from fastpty.errors import ConfigError, DataError
from fastpty.measurements import load_measurements
from tests.calibrate.experiment import (
    ENERGY,
    RADIUS,
    SEMIANGLE,
    STEP,
    Experiment,
    experiment,
    write_experiment,
)

KNOWN = [f"beam.energy_kv={ENERGY}", f"scan.step={STEP}", f"beam.semiangle_mrad={SEMIANGLE}"]
# A fit to the shifts of a few scan steps over a window of some ten.
WITHIN_DEG = 1.0
# The intensity of the simulated disc, whose amplitude falls off over a pixel, is half of its level
# 0.2 px inside its radius: 1.7 % of it, and so of the defocus; the fit adds as much.
WITHIN_DEFOCUS = 0.04


def calibrate(path: Path, *overrides: str) -> Calibration:
    config, _ = read_input(path, [*KNOWN, *overrides])
    return solve(gather(config, Path()), config)


def assert_found(found: Calibration, made: Experiment) -> None:
    assert found.lens.mirrored == made.mirrored
    assert abs(turned_by(found.lens.rotation_deg, made.rotation_deg)) < WITHIN_DEG
    assert found.lens.c10 == pytest.approx(-made.defocus, rel=WITHIN_DEFOCUS)


@pytest.fixture(scope="module")
def made() -> Experiment:
    return experiment(0)


@pytest.fixture(scope="module")
def data(made: Experiment, tmp_path_factory) -> Path:
    return write_experiment(made, tmp_path_factory.mktemp("calibrate") / "scan.h5")


@pytest.fixture(scope="module")
def found(data: Path) -> Calibration:
    return calibrate(data)


def test_orientation_defocus_and_disc(found: Calibration, made: Experiment) -> None:
    assert_found(found, made)
    assert found.gathered.disc.radius == pytest.approx(RADIUS, abs=0.3)
    assert np.abs(np.subtract(found.gathered.disc.centre, 20)).max() < 0.1


def test_both_methods_agree_without_doubts(found: Calibration) -> None:
    assert abs(found.curl_differs_deg) < 2
    assert abs(found.parallax_differs_deg) < 2
    assert found.doubts == []


def test_the_phase_looks_like_the_specimen(found: Calibration, made: Experiment) -> None:
    middle = slice(6, 22), slice(6, 22)
    assert np.corrcoef(found.phase[middle].ravel(), made.phase[middle].ravel())[0, 1] > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("electrons", [None, 2e4])
def test_twenty_of_twenty(electrons: float | None, tmp_path: Path) -> None:
    """Any rotation, mirrored or not, over- and underfocus."""
    for seed in range(100, 120):
        made = experiment(seed, electrons=electrons)
        assert_found(calibrate(write_experiment(made, tmp_path / "scan.h5")), made)


@pytest.mark.parametrize("seed", [3, 4])
def test_one_of_either_focus(seed: int, tmp_path: Path) -> None:
    made = experiment(seed, scan=(24, 26))
    assert_found(calibrate(write_experiment(made, tmp_path / "scan.h5")), made)


def test_astigmatism_is_told_from_defocus(tmp_path: Path) -> None:
    made = experiment(2, defocus=220.0, aberrations={"C12": 25.0, "phi12": 35.0})
    found = calibrate(write_experiment(made, tmp_path / "scan.h5"))
    assert_found(found, made)
    c12, phi12 = found.astigmatism
    assert c12 == pytest.approx(25, abs=3)
    assert abs(turned_by(phi12, 35, 180)) < 5


def test_near_focus_the_centre_of_mass_decides(tmp_path: Path) -> None:
    made = experiment(1, defocus=8.0, height=0.1)
    found = calibrate(write_experiment(made, tmp_path / "scan.h5"))
    assert found.lens.mirrored == made.mirrored
    assert abs(turned_by(found.lens.rotation_deg, made.rotation_deg)) < WITHIN_DEG
    assert found.lens.c10 == pytest.approx(-8, abs=3)


def test_noise_alone_is_not_trusted(tmp_path: Path) -> None:
    made = experiment(5, height=0.0, electrons=200.0, scan=(16, 16))
    found = calibrate(write_experiment(made, tmp_path / "scan.h5"))
    assert any("not to be trusted" in doubt for doubt in found.doubts)


def test_the_config_places_the_probe_where_it_was(
    found: Calibration, data: Path, made: Experiment, tmp_path: Path
) -> None:
    """The positions of a reconstruction from the config, against those of the simulation."""
    _, content = read_input(data, KNOWN)
    config = validate_config(ReconConfig, parse_value(calibrated_config(content, found, "title")))
    measured = load_measurements(config, tmp_path)
    index = np.indices((28, 28)).reshape(2, -1).T
    true = index @ (orientation(made.rotation_deg, made.mirrored) * STEP).T
    placed = measured.positions * measured.pixel_size
    assert np.abs(placed - true - (placed - true).mean(axis=0)).max() < 0.5 * STEP
    assert config.beam.aberrations["defocus"] == pytest.approx(made.defocus, rel=WITHIN_DEFOCUS)
    assert config.calibration.disc_radius_px == pytest.approx(RADIUS, abs=0.3)


def test_a_scale_gives_the_semiangle(data: Path, found: Calibration) -> None:
    config, _ = read_input(
        data,
        [*KNOWN[:2], "calibration.max_angle_mrad=32"],
    )
    scaled = solve(gather(config, Path()), config)
    assert scaled.semiangle_mrad == pytest.approx(SEMIANGLE, rel=0.03)
    radius = found.gathered.disc.radius
    assert scaled.semiangle_mrad == pytest.approx(32 * radius / 20, rel=1e-9)


def test_a_semiangle_that_contradicts_the_scale(data: Path) -> None:
    found = calibrate(data, "calibration.max_angle_mrad=35")
    assert any("beam.semiangle_mrad is 20" in doubt for doubt in found.doubts)


def test_an_affine_of_the_config_is_kept(data: Path, made: Experiment, tmp_path: Path) -> None:
    """A scan of half the step, stretched twice by the config's affine, along y by its matrix and
    along x by its named parts: the same experiment."""
    parts = f"scan.affine_parts={{scale: 1.5, asymmetry: {-2 / 3}}}"
    overrides = ["scan.step=0.4", "scan.affine=[[2, 0], [0, 1]]", parts, "scan.rotation_deg=77"]
    config, content = read_input(data, [*KNOWN, *overrides])
    found = solve(gather(config, Path()), config)
    assert_found(found, made)
    written = parse_value(calibrated_config(content, found, "title"))
    np.testing.assert_allclose(np.abs(written["scan"]["affine"]), [[2, 0], [0, 2]], atol=1e-12)
    assert "affine_parts" not in written["scan"]


def test_corner_order_and_a_mask(data: Path, made: Experiment, tmp_path: Path) -> None:
    """Zero frequency at index 0; a dead and a hot pixel in the disc, named by a mask."""
    patterns = np.fft.ifftshift(made.patterns, axes=(2, 3))
    good = np.ones((40, 40), bool)
    good[3, 2] = good[36, 1] = False
    patterns[:, :, 3, 2], patterns[:, :, 36, 1] = 0, 1e6
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"], file["good"] = patterns.astype(np.float32), good
    mask = f"data.mask={{path: {tmp_path / 'scan.h5'}, dataset: good}}"
    found = calibrate(tmp_path / "scan.h5", "data.zero_frequency=corner", "data.dataset=data", mask)
    assert_found(found, made)


@pytest.mark.parametrize(
    ("flip", "left", "right"),
    [
        ("of: pattern, flip_x: true", [[1, 0], [0, -1]], [[1, 0], [0, 1]]),
        ("of: pattern, transpose: true", [[0, 1], [1, 0]], [[1, 0], [0, 1]]),
        ("of: scan, flip_y: true", [[1, 0], [0, 1]], [[-1, 0], [0, 1]]),
    ],
)
def test_preprocessing_comes_first(
    flip: str, left: list[list[int]], right: list[list[int]], data: Path, made: Experiment
) -> None:
    """A pattern that is turned over turns the frame of the scan; so does the scan itself."""
    found = calibrate(data, f"preprocess=[{{step: flip, {flip}}}]")
    true = np.array(left) @ orientation(made.rotation_deg, made.mirrored) @ np.array(right)
    rotation, mirrored = decompose(true)
    assert found.lens.mirrored == mirrored
    assert abs(turned_by(found.lens.rotation_deg, rotation)) < WITHIN_DEG


def test_a_large_file_is_read_in_pieces(data: Path, found: Calibration, monkeypatch) -> None:
    """Small pieces, a sparse mean and a block of the scan: about the same, never all at once."""
    module = sys.modules["fastpty.calibrate.gather"]  # the package names a function like it
    largest = []
    read = module._Reader._read

    def counted(self, start: int, stop: int):
        largest.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(module._Reader, "_read", counted)
    monkeypatch.setattr(module, "_SPARSE", 128)
    monkeypatch.setattr(module, "_BLOCK", 24)
    monkeypatch.setattr(module, "_PIECE_MB", 0.25)
    part = calibrate(data)
    assert part.gathered.images.shape[1:] == (24, 24)
    assert max(largest) <= 40
    assert turned_by(part.lens.rotation_deg, found.lens.rotation_deg) == pytest.approx(0, abs=1)
    assert part.lens.c10 == pytest.approx(found.lens.c10, rel=0.03)


def test_a_stack_needs_its_shape(made: Experiment, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", made.patterns.reshape(-1, 40, 40).astype(np.float32))
    with pytest.raises(ConfigError, match=r"^data\.scan_shape: is needed"):
        calibrate(tmp_path / "stack.npy")


def test_no_disc_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.ones((8, 8, 32, 32), np.float32))
    with pytest.raises(DataError, match="shows a disc of"):
        calibrate(tmp_path / "flat.npy")


def test_a_scan_too_small(tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.ones((4, 30, 32, 32), np.float32))
    with pytest.raises(DataError, match="at least 8 along both axes"):
        calibrate(tmp_path / "line.npy")


def test_a_scale_is_asked_for(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"give beam\.semiangle_mrad, or the scale"):
        read_input(data, KNOWN[:2])


def test_what_the_file_knows_needs_no_option(tmp_path: Path) -> None:
    known = {"energy_kv": 200.0, "semiangle_mrad": 9.0, "scan_step_A": 0.7, "mrad_per_pixel": 0.6}
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = np.ones((8, 9, 16, 16), np.float32)
        file.attrs.update({**known, "format": "fastpty-4dstem"})
    config, content = read_input(tmp_path / "scan.h5", ["calibration.dk=0.02"])
    assert (config.beam.energy_kv, config.beam.semiangle_mrad) == (200, 9)
    assert config.scan.step == 0.7
    assert config.calibration.dk == 0.02  # what the user says goes before
    assert content["truth"] == str(tmp_path / "scan.h5")


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["fastpty", "calibrate", *arguments])
    try:
        main()
    except SystemExit as end:
        assert end.code in (None, 0)


def options(*overrides: str) -> list[str]:
    return [part for item in overrides for part in ("--set", item)]


def test_the_command_writes_a_config_and_a_figure(
    data: Path, found: Calibration, tmp_path: Path, monkeypatch, capsys
) -> None:
    target = tmp_path / "found.yaml"
    arguments = [str(data), *options(*KNOWN), "--write", str(target), "-o", str(tmp_path)]
    run_cli(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    assert all(subject in printed for subject, _ in table(found))
    assert (tmp_path / "calibration.png").stat().st_size > 10_000
    config = validate_config(ReconConfig, read_yaml(target))
    assert config.scan.rotation_deg == pytest.approx(found.lens.rotation_deg, abs=0.01)
    assert config.optimise.batch_size == 12  # as fastpty init would choose


def test_the_command_extends_a_config(
    data: Path, found: Calibration, tmp_path: Path, monkeypatch, capsys
) -> None:
    """Other fields stay, paths too: relative to another folder they become absolute."""
    given = apply_overrides(
        {"data": {"path": data.name}, "optimise": {"iterations": 7}, "constraints": {"blur_z": 0}},
        [*KNOWN, "beam.aberrations={defocus: 1, Cs: 5000}", "calibration.disc_radius_px=fit"],
    )
    config_file = data.parent / "given.yaml"
    config_file.write_text(json.dumps(given | {"constraints": {"blur_z": False}}))
    target = tmp_path / "found.yaml"
    run_cli(monkeypatch, str(config_file), "--write", str(target), "-o", str(tmp_path), "--json")
    printed = json.loads(capsys.readouterr().out)
    config = validate_config(ReconConfig, read_yaml(target))
    assert config.data.path == str(data)
    assert config.optimise.iterations == 7
    assert config.constraints.blur_z is None
    assert config.beam.aberrations["Cs"] == 5000
    assert config.beam.aberrations["defocus"] == pytest.approx(printed["defocus_A"], rel=1e-3)
    assert config.calibration.disc_radius_px == pytest.approx(found.gathered.disc.radius, abs=0.01)


def test_an_earlier_config_is_kept(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    target = tmp_path / "found.yaml"
    target.write_text("mine")
    monkeypatch.setattr("sys.argv", ["fastpty", "calibrate", str(data), "--write", str(target)])
    with pytest.raises(SystemExit):
        main()
    assert "exists already" in capsys.readouterr().err
    assert target.read_text() == "mine"
