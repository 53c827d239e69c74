"""Each field of PtyRAD's changes the native config as docs/ptyrad.md says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.config import ReconConfig
from fastpty.measurements import load_measurements
from tests.ptyrad.cases import converted, native

ON = {"start_iter": 1}


def at(config: ReconConfig, path: str) -> Any:
    """A dotted field of a config, as plain data."""
    value: Any = config.model_dump(mode="json")
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


INIT: list[tuple[dict[str, Any], str, Any]] = [
    ({"random_seed": 7}, "seed", 7),
    ({"probe_kv": 80}, "beam.energy_kv", 80),
    ({"probe_conv_angle": 20}, "beam.semiangle_mrad", 20),
    ({"probe_aberrations": {"defocus": 50}}, "beam.aberrations", {"C10": -50}),
    ({"probe_aberrations": {"C10": 50, "Cs": 1e4}}, "beam.aberrations", {"C10": 50, "C30": 1e4}),
    (
        {"probe_aberrations": {"A1": 30, "A1phi": 20, "B2": 10, "C23a": 5}},
        "beam.aberrations",
        {"C12": 30, "phi12": 20, "C21": 30, "C23a": 5},
    ),
    # PtyRAD's factor is 4, that of Haider's definition 5.
    ({"probe_aberrations": {"B4": 10, "D4": 1}}, "beam.aberrations", {"C41": 40, "C43": 4}),
    ({"probe_aberrations": {"C12": 0, "phi12": 9, "phi34": 1}}, "beam.aberrations", {}),
    ({"probe_aberrations": None, "probe_defocus": 9}, "beam.aberrations", {"C10": -9}),
    ({"probe_c3": 8, "probe_c5": 9}, "beam.aberrations", {"C30": 8, "C50": 9}),
    ({"probe_z_shift": -20.0}, "beam.aberrations", {"C10": -20}),
    ({"meas_calibration": {"mode": "dx", "value": 0.4}}, "calibration.pixel_size", 0.4),
    ({"meas_calibration": {"mode": "dk", "value": 0.1}}, "calibration.dk", 0.1),
    ({"meas_calibration": {"mode": "kMax", "value": 1.2}}, "calibration.dk", 0.1),
    ({"meas_calibration": {"mode": "da", "value": 2}}, "calibration.mrad_per_pixel", 2),
    ({"meas_calibration": {"mode": "angleMax", "value": 24}}, "calibration.mrad_per_pixel", 2),
    ({"meas_calibration": {"mode": "n_alpha", "value": 12 / 7}}, "calibration.mrad_per_pixel", 2),
    ({"meas_calibration": {"mode": "RBF", "value": 6.5}}, "calibration.disc_radius_px", 6.5),
    ({"meas_calibration": {"mode": "fitRBF"}}, "calibration.disc_radius_px", "fit"),
    ({"pos_scan_step_size": 0.5}, "scan.step", 0.5),
    ({"pos_N_scan_slow": 4}, "data.scan_shape", [4, 6]),
    ({"pos_scan_rand_std": 0.3}, "scan.jitter_px", 0.3),
    ({"pos_scan_rand_std": None}, "scan.jitter_px", 0),
    ({"probe_pmode_max": 3, "probe_pmode_init_pows": [0.1]}, "probe.modes", 3),
    ({"probe_pmode_max": 3, "probe_pmode_init_pows": [0.1]}, "probe.mode_power", 0.1 / 1.2),
    ({"probe_pmode_max": 2, "probe_pmode_init_pows": [0.9, 0.1]}, "probe.mode_power", 0.1 / 1.1),
    ({"probe_pmode_max": 3, "probe_pmode_init_pows": [0.0]}, "probe.modes", 1),
    ({"obj_omode_max": 3}, "object.modes", 3),
    (
        {
            "obj_omode_max": 2,
            "obj_omode_init_occu": {"occu_type": "custom", "init_occu": [0.7, 0.3]},
        },
        "object.occupancy",
        [0.7, 0.3],
    ),
    ({"obj_Nlayer": 5}, "object.slices", 5),
    ({"obj_slice_thickness": 8}, "object.thickness", 8),
    ({"obj_Nlayer": 9, "obj_z_crop": [2, 7]}, "object.slices", 5),
    ({"obj_z_pad": {"pad_layers": [1, None]}}, "object.slices", 3),
    ({"obj_z_resample": {"mode": "scale_Nlayer", "value": 2}}, "object.slices", 4),
    ({"obj_z_resample": {"mode": "scale_Nlayer", "value": 2}}, "object.thickness", 10),
    ({"obj_z_resample": {"mode": "target_Nlayer", "value": 5}}, "object.thickness", 8),
    ({"obj_z_resample": {"mode": "scale_slice_thickness", "value": 0.5}}, "object.slices", 4),
    ({"obj_z_resample": {"mode": "target_slice_thickness", "value": 8}}, "object.slices", 5),
    ({"meas_permute": [2, 3, 0, 1]}, "data.axes", ["y", "x", "slow", "fast"]),
    ({"meas_permute": [1, 2, 0]}, "data.axes", ["x", "n", "y"]),
    ({"meas_permute": [0, 1, 2, 3]}, "data.axes", None),
    ({"meas_reshape": [-1, 24, 24]}, "data.axes", None),
    ({"meas_remove_neg_values": {"mode": "clip_neg"}}, "data.negative", "clip"),
    ({"simu_Npix": 24}, "preprocess", []),
    ({"meas_pad": {"mode": None}, "meas_resample": {"mode": None}}, "preprocess", []),
    ({"meas_pad": {"target_Npix": 24}}, "preprocess", []),
    ({"meas_params": {"path": "a.h5", "key": "entry.data"}}, "data.dataset", "entry/data"),
    ({"meas_params": {"path": "a.zarr", "key": "/a.b/c"}}, "data.dataset", "a.b/c"),
    ({"meas_params": {"path": "a.raw"}}, "data.gap", 1024),
    ({"meas_params": {"path": "a.raw"}}, "data.pattern_shape", [24, 24]),
    ({"meas_params": {"path": "a.raw"}}, "data.dtype", "float32"),
    ({"meas_params": {"path": "a.raw", "gap": 0, "offset": 8}}, "data.offset", 8),
    ({"meas_params": {"path": "a.raw", "gap": 0, "offset": 8}}, "data.gap", 0),
    (
        {"meas_params": {"path": "a.raw", "shape": [30, 24, 26]}},
        "data.pattern_shape",
        [24, 26],
    ),
    ({"tilt_params": {"init_tilts": [[1, -2]]}}, "object.tilt_mrad", [1, -2]),
    ({"tilt_params": {"tilt_type": "each"}}, "object.tilt_per", "position"),
    (
        {"tilt_source": "file", "tilt_params": {"path": "/d/tilts.h5", "key": "a.b"}},
        "object.tilts",
        {"path": "/d/tilts.h5", "dataset": "a/b"},
    ),
    (
        {"probe_source": "py4DSTEM", "probe_params": "/d/p.h5"},
        "probe.start",
        {"path": "/d/p.h5", "dataset": "probe"},
    ),
    (
        {"pos_source": "py4DSTEM", "pos_params": "/d/p.h5"},
        "scan.positions",
        {"path": "/d/p.h5", "dataset": "positions_px", "unit": "pixel"},
    ),
]


def values(found: Any) -> Any:
    """Numbers may be rounded."""
    return pytest.approx(found) if isinstance(found, float | dict) else found


@pytest.mark.parametrize(("given", "path", "expected"), INIT)
def test_a_field_of_init_params(given: dict[str, Any], path: str, expected: Any) -> None:
    found = at(native(init=given), path)
    is_numbers = isinstance(expected, dict) and all(
        isinstance(value, int | float) for value in expected.values()
    )
    assert found == (pytest.approx(expected) if is_numbers else values(expected))


STEPS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    (
        {"meas_flipT": [1, 0, 1]},
        [{"step": "flip", "of": "pattern", "flip_y": True, "flip_x": False, "transpose": True}],
    ),
    (
        {"meas_crop": [[0, 4], None, [2, -2], [2, 99]]},
        [{"step": "crop", "rows": [0, 4], "y": [2, 22], "x": [2, 24]}],
    ),
    (
        {"meas_pad": {"target_Npix": 32}},
        [{"step": "pad", "size": 32, "fill": "power", "percentile": 70, "stored": False}],
    ),
    (
        {"meas_pad": {"mode": "precompute", "target_Npix": 32, "padding_type": "constant"}},
        [{"step": "pad", "size": 32, "fill": "zero", "stored": True}],
    ),
    (
        {"meas_resample": {"scale_factors": [2, 2]}},
        [{"step": "resample", "factor": 2, "stored": False}],
    ),
    (
        {"meas_remove_neg_values": {"mode": "clip_value", "value": 3}},
        [{"step": "remove_negative", "mode": "clip_below", "value": 3, "only_if_negative": True}],
    ),
    (
        {"meas_remove_neg_values": {"mode": "subtract_value", "value": 3, "force": True}},
        [{"step": "remove_negative", "mode": "subtract", "value": 3, "only_if_negative": False}],
    ),
    (
        {"meas_remove_neg_values": {"mode": "subtract_min"}},
        [{"step": "remove_negative", "mode": "subtract_min", "only_if_negative": True}],
    ),
    ({"meas_add_source_size": 0.3}, [{"step": "source_size", "std": 0.3}]),
    ({"meas_add_detector_blur": 0.8}, [{"step": "detector_blur", "std": 0.8}]),
    (
        {"meas_add_poisson_noise": {"unit": "e_per_Ang2", "value": 10}, "random_seed": 3},
        [{"step": "poisson_noise", "electrons_per_A2": 10, "seed": 3}],
    ),
    (
        {"meas_add_poisson_noise": {"unit": "total_e_per_pattern", "value": 10}},
        [{"step": "poisson_noise", "electrons_per_pattern": 10, "seed": 0}],
    ),
    (
        {"simu_Npix": 32, "simu_match_mode": "crop"},
        [{"step": "pad", "size": 32, "fill": "masked"}],
    ),
    (
        {"meas_params": {"path": "a.h5", "selection": [[0, 4], None, None, [2, 20]]}},
        [{"step": "crop", "rows": [0, 4], "x": [2, 20]}],
    ),
]


@pytest.mark.parametrize(("given", "steps"), STEPS)
def test_preprocessing(given: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    found = at(native(init=given), "preprocess")
    assert [
        {key: step[key] for key in wanted} for step, wanted in zip(found, steps, strict=True)
    ] == (steps)


def test_steps_stand_in_ptyrads_order() -> None:
    given: dict[str, Any] = {}
    for step, _ in STEPS[:-1]:
        given |= step
    given |= {"simu_Npix": 80, "meas_crop": [None, None, [2, 22], [2, 22]]}
    steps = [step["step"] for step in at(native(init=given), "preprocess")]
    assert steps == [
        "flip",
        "crop",
        "remove_negative",
        "pad",
        "resample",
        "source_size",
        "detector_blur",
        "poisson_noise",
        "pad",
    ]


def test_a_selection_of_the_file_changes_whose_pixels_are_calibrated() -> None:
    part = {"path": "a.h5", "selection": [[0, 5], [0, 6], [4, 28], [4, 28]]}
    config = native(init={"meas_params": part, "meas_calibration": {"mode": "dx", "value": 0.5}})
    assert at(config, "calibration.dk") == pytest.approx(1 / (24 * 0.5))
    assert at(config, "data.scan_shape") is None


MODEL: list[tuple[dict[str, Any], str, Any]] = [
    ({"detector_blur_std": 0.7}, "detector.blur", 0.7),
    ({"optimizer_params": {"name": "SGD"}}, "optimise.optimiser.name", "SGD"),
    ({"optimizer_params": {"name": "Nadam"}}, "optimise.optimiser.name", "NAdam"),
    (
        {"optimizer_params": {"name": "SGD", "configs": {"momentum": 0.9}}},
        "optimise.optimiser.momentum",
        0.9,
    ),
    ({"update_params": {"obja": {"start_iter": 3, "lr": 1e-3}}}, "optimise.amplitude.start", 3),
    ({"update_params": {"obja": {"start_iter": 3, "lr": 1e-3}}}, "optimise.amplitude.lr", 1e-3),
    (
        {"update_params": {"objp": {"start_iter": 1, "end_iter": 6, "lr": 1e-3}}},
        "optimise.phase.stop",
        5,
    ),
    (
        {"update_params": {"objp": {"start_iter": 4, "end_iter": 4, "lr": 1e-3}}},
        "optimise.phase.lr",
        0,
    ),
    ({"update_params": {"probe": {"start_iter": None, "lr": 1e-3}}}, "optimise.probe.lr", 0),
    (
        {"update_params": {"probe_pos_shifts": {"start_iter": 2, "lr": 2e-3}}},
        "optimise.positions.lr",
        2e-3,
    ),
    ({"update_params": {"obj_tilts": {"start_iter": 2, "lr": 0.1}}}, "optimise.tilt.lr", 0.1),
    (
        {"update_params": {"slice_thickness": {"start_iter": 2, "lr": 0.1}}},
        "optimise.thickness.lr",
        0.1,
    ),
    (
        {"scheduler_params": {"name": "StepLR", "configs": {"step_size": 5}}},
        "optimise.probe.schedule.step",
        5,
    ),
]


@pytest.mark.parametrize(("given", "path", "expected"), MODEL)
def test_a_field_of_model_params(given: dict[str, Any], path: str, expected: Any) -> None:
    assert at(native(model=given), path) == values(expected)


LOSSES: list[tuple[str, dict[str, Any], str, Any]] = [
    ("loss_single", {"state": True, "weight": 2, "dp_pow": 0.4}, "gaussian", (2, 0.4)),
    ("loss_poissn", {"state": True, "dp_pow": 0.9}, "poisson", (1, 0.9)),
    # 1 is the default here.
    ("loss_pacbed", {"state": True}, "pacbed", (0.5, 0.2)),
    ("loss_sparse", {"state": True, "ln_order": 2}, "sparse", (0.1, 2)),
]


@pytest.mark.parametrize(("name", "given", "path", "expected"), LOSSES)
def test_a_loss(name: str, given: dict[str, Any], path: str, expected: tuple[float, float]) -> None:
    loss = at(native(loss={name: given}), f"loss.{path}")
    assert (loss["weight"], loss["power"]) == expected


def test_the_other_fields_of_losses() -> None:
    assert (
        at(native(loss={"loss_poissn": {"state": True, "eps": 1e-4}}), "loss.poisson.eps") == 1e-4
    )
    similar = {"state": True, "obj_type": "phase", "scale_factor": [1, 0.5, 0.25], "blur_std": 2}
    config = native(init={"obj_omode_max": 2}, loss={"loss_simlar": similar})
    assert at(config, "loss.similarity") == {
        "weight": 0.1,
        "parts": "phase",
        "blur": 2,
        "blocks": [1, 2, 4],
    }


def test_a_loss_that_is_off_or_weighs_nothing_is_off() -> None:
    on = {"loss_poissn": {"state": True}}
    for off in ({"state": False}, {"state": True, "weight": 0}):
        assert at(native(loss={"loss_single": off, **on}), "loss.gaussian") is None


CONSTRAINTS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("ortho_pmode", {}, "orthogonal_modes", {}),
    (
        "probe_mask_k",
        {"radius": 0.3, "width": 0.1, "power_thresh": 0.9},
        "probe_aperture",
        {"radius": 0.3, "width": 0.1, "power": 0.9},
    ),
    (
        "probe_mask_r",
        {"radius": 0.8, "order": 4, "power_thresh": 0.9, "z_range": [-9, 9], "z_steps": 3},
        "probe_support",
        {"radius": 0.8, "order": 4, "power": 0.9, "z_range": [-9, 9], "z_steps": 3},
    ),
    ("fix_probe_int", {}, "probe_power", {}),
    (
        "obj_rblur",
        {"obj_type": "phase", "kernel_size": 7, "std": 0.6},
        "blur_xy",
        {"of": "phase", "kernel_size": 7, "std": 0.6},
    ),
    (
        "obj_zblur",
        {"obj_type": "amplitude", "kernel_size": 3, "std": 2},
        "blur_z",
        {"of": "amplitude", "kernel_size": 3, "std": 2},
    ),
    (
        "kr_filter",
        {"obj_type": "phase", "radius": 0.2, "width": 0.1},
        "lowpass_xy",
        {"of": "phase", "radius": 0.2, "width": 0.1},
    ),
    (
        "kz_filter",
        {"obj_type": "phase", "beta": 0.5, "alpha": 0.6},
        "missing_wedge",
        {"of": "phase", "beta": 0.5, "alpha": 0.6},
    ),
    ("kr_thresh", {"obj_type": "phase", "thresh": 0.1}, "sparse_dct", {"of": "phase", "keep": 0.1}),
    (
        "complex_ratio",
        {"obj_type": "phase", "alpha1": 0.5, "alpha2": 0.6},
        "complex_ratio",
        {"of": "phase", "alpha1": 0.5, "alpha2": 0.6},
    ),
    (
        "mirrored_amp",
        {"relax": 0.2, "scale": 0.1, "power": 3},
        "mirrored_amplitude",
        {"relax": 0.2, "scale": 0.1, "power": 3},
    ),
    (
        "obj_z_recenter",
        {"thresh": 90, "scale": 0.5, "max_shift": 2},
        "recentre_depth",
        {"percentile": 90, "scale": 0.5, "max_shift": 2},
    ),
    (
        "obja_thresh",
        {"relax": 0.1, "thresh": [0.9, 1.1]},
        "amplitude_clamp",
        {"relax": 0.1, "low": 0.9, "high": 1.1},
    ),
    ("objp_postiv", {"relax": 0.1}, "positive_phase", {"relax": 0.1}),
    ("pos_recenter", {"relax": 0.1}, "recentre_positions", {"relax": 0.1}),
    ("tilt_smooth", {"std": 3}, "smooth_tilt", {"std": 3}),
]


@pytest.mark.parametrize(("name", "given", "target", "expected"), CONSTRAINTS)
def test_a_constraint(
    name: str, given: dict[str, Any], target: str, expected: dict[str, Any]
) -> None:
    """PtyRAD's end is the first iteration without it."""
    section = {"start_iter": 2, "step": 3, "end_iter": 9, **given}
    config = native(init={"tilt_params": {"tilt_type": "each"}}, constraint={name: section})
    found = at(config, f"constraints.{target}")
    assert {key: found[key] for key in expected} == expected
    assert (found["start"], found["every"], found["stop"]) == (2, 3, 8)
    for off in ({**section, "start_iter": None}, {**section, "end_iter": 2}):
        assert at(native(constraint={name: off}), f"constraints.{target}") is None


def test_a_blur_of_nothing_is_off() -> None:
    config = native(constraint={"obj_rblur": {**ON, "std": 0}})
    assert config.constraints.blur_xy is None


RECON: list[tuple[dict[str, Any], str, Any]] = [
    ({"NITER": 7}, "optimise.iterations", 7),
    ({"BATCH_SIZE": {"size": 5}}, "optimise.batch_size", 5),
    ({"BATCH_SIZE": {"grad_accumulation": 3}}, "optimise.accumulate", 3),
    ({"GROUP_MODE": "compact"}, "optimise.grouping", "compact"),
    ({"GROUP_MODE": "hilbert"}, "optimise.grouping", "sparse"),
    ({"GROUP_MODE": "fps"}, "optimise.grouping", "sparse"),
    ({"SAVE_ITERS": 4}, "output.checkpoint_every", 4),
    ({"output_dir": "o/x"}, "output.folder", os.path.join("o/x", "params")),
    (
        {"output_dir": "o", "prefix": "a", "postfix": "b"},
        "output.folder",
        os.path.join("o", "a_params_b"),
    ),
    ({"selected_figs": []}, "output.figures", False),
    ({"selected_figs": ["all"]}, "output.figures", True),
    ({"save_result": ["model"]}, "output.tiff", None),
    ({"save_result": ["obja", "probe"]}, "output.tiff.images.0", "amplitude"),
    ({"save_result": ["obja", "probe"]}, "output.tiff.images.3", "probe_phase"),
    ({"result_modes": {"obj_dim": [2]}}, "output.tiff.images", ["phase_sum"]),
    ({"result_modes": {"obj_dim": [3]}}, "output.tiff.images", ["phase"]),
    ({"result_modes": {"FOV": ["full", "crop"]}}, "output.tiff.area", "full"),
    ({"result_modes": {"bit": ["16"]}}, "output.tiff.type", "uint16"),
    ({"result_modes": {"bit": ["8", "raw"]}}, "output.tiff.type", "float32"),
    ({"save_result": ["objp"], "SAVE_ITERS": None}, "output.tiff", None),
]


@pytest.mark.parametrize(("given", "path", "expected"), RECON)
def test_a_field_of_recon_params(given: dict[str, Any], path: str, expected: Any) -> None:
    assert at(native(recon=given), path) == values(expected)


def test_defaults_are_ptyrads_where_they_differ() -> None:
    config = native()
    assert config.optimise.iterations == 200
    assert config.probe.modes == 4
    assert config.scan.jitter_px == 0.15
    assert config.calibration is not None
    assert config.calibration.disc_radius_px == "fit"
    assert config.constraints.blur_xy is not None
    assert config.constraints.blur_xy.kernel_size == 5
    assert config.data.negative == "clip"


def test_a_start_from_a_model_file() -> None:
    given = {"obj_source": "PtyRAD", "obj_params": "/m.hdf5"}
    given |= {"probe_source": "PtyRAD", "probe_params": "/m.hdf5"}
    start = at(native(init=given), "start")
    assert (start["file"], start["take"]) == ("/m.hdf5", ["object", "probe"])
    depth = {
        "obj_z_crop": [0, 2],
        "obj_z_pad": {"pad_layers": [1, 2], "pad_types": ["edge", "mean"]},
        "obj_z_resample": {"mode": "scale_Nlayer", "value": 2},
        "probe_z_shift": -20,
    }
    config = native(init={**given, **depth})
    start = at(config, "start")
    assert start["crop_z"] == [0, 2]
    assert (start["pad_z"], start["pad_with"]) == ([1, 2], ["edge", "mean"])
    assert start["resample_z"]
    assert start["move_probe"] == -20
    assert config.object.slices == 10
    assert at(config, "beam.aberrations") == {}


def test_files_are_sought_as_ptyrad_does_then_beside_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PtyRAD's paths start at the current folder, native ones at the config's."""
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder in (here, beside):
        folder.mkdir()
    monkeypatch.chdir(here)
    path = beside / "params.yaml"
    assert at(converted(path).config(), "data.path") == str(here / "scan.h5")
    (beside / "scan.h5").touch()
    found = converted(path)
    assert at(found.config(), "data.path") == str(beside / "scan.h5")
    assert [note.field for note in found.notes] == ["init_params.meas_params.path"]
    (here / "scan.h5").touch()
    assert at(converted(path).config(), "data.path") == str(here / "scan.h5")


def test_a_matlab_file_that_is_hdf5_keeps_its_order_of_axes(tmp_path: Path) -> None:
    """MATLAB's is the other way round, in which native configs count."""
    patterns = np.arange(30 * 24 * 24, dtype=np.float32).reshape(5, 6, 24, 24)
    path = tmp_path / "scan.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["dp"] = patterns
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(512))
    given = {"meas_params": {"path": str(path), "key": "dp"}}
    config = native(init={**given, "meas_calibration": {"mode": "dx", "value": 0.4}})
    found = load_measurements(config, Path()).patterns.counts(torch.tensor([7]))
    np.testing.assert_array_equal(np.fft.fftshift(found[0]), patterns[1, 1])


def test_a_matlab_file_that_is_not_there_may_be_either() -> None:
    result = converted(init={"meas_params": {"path": "scan.mat", "key": "dp"}})
    assert at(result.config(), "data.format") == "auto"
    assert "version 7.3" in result.notes[0].text
