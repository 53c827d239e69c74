"""What cannot be honoured is named; what would be wrong is refused, with PtyRAD's name for it."""

from __future__ import annotations

from typing import Any

import pytest

from fastpty.errors import ConfigError
from fastpty.ptyrad import fit
from tests.ptyrad.cases import converted, native

TILTS = {"obj_tilts": {"start_iter": 1, "lr": 1.0}}

NOTED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"init": {"meas_normalization": {"mode": "sum_to_one"}}},
        "init_params.meas_normalization",
        "brightest pixel",
    ),
    ({"init": {"meas_export": True}}, "init_params.meas_export", "not written"),
    (
        {"init": {"meas_pad": {"target_Npix": 32, "padding_type": "constant", "value": 0.1}}},
        "init_params.meas_pad.value",
        "zero here",
    ),
    (
        {"init": {"meas_resample": {"scale_factors": [2, 3]}}},
        "init_params.meas_resample.scale_factors",
        "2 is used",
    ),
    (
        {"init": {"simu_Npix": 48, "simu_match_mode": "resample"}},
        "init_params.simu_Npix",
        "not honoured",
    ),
    ({"init": {"probe_permute": [0, 1, 2]}}, "init_params.probe_permute", "ignored"),
    ({"init": {"probe_z_shift": 9}}, "init_params.probe_z_shift", "defocus"),
    (
        {"init": {"probe_normalization": {"mode": "max_total_ints"}}},
        "init_params.probe_normalization",
        "mean pattern",
    ),
    (
        {"init": {"probe_pmode_max": 3, "probe_pmode_init_pows": [0.7, 0.2, 0.1]}},
        "init_params.probe_pmode_init_pows",
        "the least, 0.1",
    ),
    (
        {"init": {"probe_pmode_init_pows": [0]}},
        "init_params.probe_pmode_init_pows",
        "there is one",
    ),
    ({"init": {"obj_params": [1, 2, 9, 9]}}, "init_params.obj_params", "not used"),
    (
        {"init": {"tilt_params": {"init_tilts": [[0, 2], [0, 4]]}}},
        "init_params.tilt_params.init_tilts",
        "the mean",
    ),
    (
        {"init": {"meas_params": {"path": "a.h5", "dims": 3}}},
        "init_params.meas_params.dims",
        "no field of PtyRAD's",
    ),
    (
        {"init": {"meas_params": {"path": "a.zarr", "zarr_kwargs": {"a": 1}}}},
        "init_params.meas_params.zarr_kwargs",
        "ignored",
    ),
    (
        {
            "init": {
                "pos_source": "PtyRAD",
                "pos_params": "/m.hdf5",
                "pos_scan_affine": [1.1, 0, 0, 0],
            }
        },
        "init_params.pos_scan_affine",
        "not applied again",
    ),
    (
        {"model": {"optimizer_params": {"configs": {"foreach": True}}}},
        "model_params.optimizer_params.configs.foreach",
        "no option",
    ),
    (
        {"model": {"optimizer_params": {"configs": {"lr": 1}}}},
        "model_params.optimizer_params.configs.lr",
        "no option",
    ),
    (
        {"model": {"optimizer_params": {"load_state": "/m.hdf5"}}},
        "model_params.optimizer_params.load_state",
        "--resume",
    ),
    (
        {
            "model": {
                "scheduler_params": {"name": "CyclicLR", "configs": {"base_lr": 0, "max_lr": 1}}
            }
        },
        "model_params.scheduler_params",
        "cannot be expressed",
    ),
    (
        {"model": {"update_params": {"objp": {"lr": 1e-3}}}},
        "model_params.update_params.objp",
        "on from iteration 1",
    ),
    (
        {"init": {"obj_Nlayer": 1}, "model": {"update_params": TILTS}},
        "model_params.update_params.obj_tilts",
        "single slice",
    ),
    ({"model": {"obj_preblur_std": 1}}, "model_params.obj_preblur_std", "ignored"),
    (
        {"init": {"probe_defocus": 1, "probe_aberrations": {"C1": 2}}},
        "init_params.probe_defocus",
        "ignored",
    ),
    ({"loss": {"loss_sparse": {"weight": 1}}}, "loss_params.loss_sparse", "stays off"),
    (
        {
            "init": {"obj_omode_max": 2},
            "loss": {"loss_simlar": {"state": True, "scale_factor": [1, 0.4, 1]}},
        },
        "loss_params.loss_simlar.scale_factor",
        "[1, 2, 1]",
    ),
    (
        {"constraint": {"obj_zblur": {"std": 2}}},
        "constraint_params.obj_zblur",
        "on from iteration 1",
    ),
    (
        {"constraint": {"tilt_smooth": {"start_iter": 1}}},
        "constraint_params.tilt_smooth",
        "one tilt",
    ),
    ({"recon": {"SAVE_ITERS": None}}, "recon_params.SAVE_ITERS", "all the same"),
    ({"recon": {"selected_figs": ["tilt", "pos"]}}, "recon_params.selected_figs", "tilt:"),
    ({"recon": {"save_result": ["probe_prop"]}}, "recon_params.save_result", "probe_prop"),
    ({"recon": {"compiler_configs": {"enable": True}}}, "recon_params.compiler_configs", "ignored"),
    (
        {"recon": {"convergence_monitor": {"every_n_iters": 3}}},
        "recon_params.convergence_monitor",
        "history",
    ),
    ({"hypertune": {"if_hypertune": True}}, "hypertune_params.if_hypertune", "one reconstruction"),
]


@pytest.mark.parametrize(("given", "field", "text"), NOTED)
def test_a_note(given: dict[str, Any], field: str, text: str) -> None:
    result = converted(**given)
    result.config()
    assert [note.field for note in result.notes] == [field]
    assert text in result.notes[0].text


def test_the_smallest_file_has_no_notes() -> None:
    assert converted().notes == []


def test_what_is_given_in_part_is_on() -> None:
    """PtyRAD 1.0.0 switches it off, whatever its default."""
    config = native(
        constraint={"ortho_pmode": {"step": 5}, "kr_filter": {"radius": 0.3}},
        model={"update_params": {"objp": {"lr": 1e-3}}},
    )
    assert config.constraints.orthogonal_modes is not None
    assert config.constraints.orthogonal_modes.every == 5
    assert config.constraints.lowpass_xy is not None
    assert config.optimise.phase.lr == 1e-3


def test_what_is_switched_off_is_off() -> None:
    config = native(
        constraint={"ortho_pmode": {"start_iter": None}, "obj_rblur": None},
        model={"update_params": {"objp": {"start_iter": None}}},
    )
    assert config.constraints.orthogonal_modes is None
    assert config.constraints.blur_xy is None
    assert config.optimise.phase.lr == 0


def test_the_frequency_of_old_files() -> None:
    result = converted(constraint={"ortho_pmode": {"freq": 4}, "obj_rblur": {"freq": None}})
    constraints = result.config().constraints
    assert constraints.orthogonal_modes is not None
    assert (constraints.orthogonal_modes.start, constraints.orthogonal_modes.every) == (1, 4)
    assert constraints.blur_xy is None
    assert result.notes == []


def test_tiff_files_want_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit.importlib.util, "find_spec", lambda name: None)
    result = converted()
    assert result.config().output.tiff is None
    assert "tifffile" in result.notes[0].text


X_RAYS = {"probe_illum_type": "xray", "beam_kev": 8, "probe_dRn": 1}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"init": X_RAYS}, "init_params.probe_illum_type", "electrons"),
    ({"init": {"probe_kv": None}}, "init_params", "probe_kv is required"),
    ({"init": {"meas_source": "custom"}}, "init_params.meas_source", "in memory"),
    ({"init": {"pos_source": "custom"}}, "init_params.pos_source", "not read"),
    (
        {"init": {"pos_source": "PtyShv", "pos_params": "a.mat"}},
        "init_params.pos_source",
        "not read",
    ),
    (
        {"init": {"probe_source": "PtyShv", "probe_params": "a.mat"}},
        "init_params.probe_source",
        "not read",
    ),
    (
        {"init": {"obj_source": "PtyShv", "obj_params": "a.mat"}},
        "init_params.obj_source",
        "not read",
    ),
    ({"init": {"tilt_source": "custom"}}, "init_params.tilt_source", "in memory"),
    (
        {
            "init": {
                "obj_source": "PtyRAD",
                "obj_params": "a.hdf5",
                "probe_source": "PtyRAD",
                "probe_params": "b.hdf5",
            }
        },
        "init_params.probe_params",
        "one file",
    ),
    (
        {"init": {"pos_source": "py4DSTEM", "pos_params": "a.h5", "pos_scan_flipT": [1, 0, 0]}},
        "init_params.pos_scan_flipT",
        "only a raster",
    ),
    (
        {"init": {"probe_source": "py4DSTEM", "probe_params": "a.h5", "probe_z_shift": 3}},
        "init_params.probe_z_shift",
        "as it stands",
    ),
    (
        {"init": {"probe_aberrations": {"defocus": 1, "C1": 2}}},
        "init_params.probe_aberrations",
        "C10",
    ),
    ({"init": {"probe_aberrations": {"C61": 2}}}, "init_params.probe_aberrations", "unknown name"),
    ({"init": {"meas_permute": [0, 0, 1]}}, "init_params.meas_permute", "each once"),
    ({"init": {"meas_reshape": [-1, 12, 48]}}, "init_params.meas_reshape", "24, 24"),
    ({"init": {"meas_pad": {"target_Npix": 20}}}, "init_params.meas_pad.target_Npix", "less than"),
    (
        {"init": {"meas_params": {"path": "a.h5", "selection": [[0, 9, 2], None, None, None]}}},
        "init_params.meas_params.selection",
        "[start, stop]",
    ),
    (
        {"init": {"meas_params": {"path": "a.raw", "shape": [24, 24]}}},
        "init_params.meas_params.shape",
        "[N, Ny, Nx]",
    ),
    ({"init": {"pos_N_scans": 31}}, "init_params", "pos_N_scan_slow x pos_N_scan_fast"),
    ({"init": {"probe_source": "PtyRAD"}}, "init_params", "probe_params must be a path"),
    ({"init": {"meas_calibration": {"mode": "dx"}}}, "init_params.meas_calibration", "value"),
    ({"init": {"probe_pmode_init_pows": [0.1, 0.2]}}, "init_params", "probe_pmode_max"),
    ({"init": {"meas_flipT": [1, 0]}}, "init_params.meas_flipT", "at least 3"),
    ({"init": {"obj_z_crop": [3, 1]}}, "init_params.obj_z_crop", "start < stop"),
    (
        {"model": {"optimizer_params": {"name": "Muon"}}},
        "model_params.optimizer_params.name",
        "matrices only",
    ),
    (
        {"model": {"optimizer_params": {"configs": {"beta": 1}}}},
        "model_params.optimizer_params.configs.beta",
        "Did you mean 'betas'",
    ),
    (
        {"model": {"update_params": {"objp": {"start_iter": 1, "lr": 0}}}},
        "model_params.update_params.objp",
        "greater than 0",
    ),
    (
        {"model": {"scheduler_params": {"name": "StepLR", "configs": {"step": 3}}}},
        "model_params.scheduler_params.configs.step",
        "Did you mean 'step_size'",
    ),
    (
        {"model": {"scheduler_params": {"name": "StepLR"}}},
        "model_params.scheduler_params.configs.step_size",
        "is required",
    ),
    (
        {"model": {"scheduler_params": {"name": "StepLR", "configs": {"step_size": "x"}}}},
        "model_params.scheduler_params.configs",
        "no options of StepLR",
    ),
    # Bounds that are fastpty's own: PtyRAD takes the value.
    ({"loss": {"loss_single": {"dp_pow": 2}}}, "loss_params.loss_single.dp_pow", "at most 1"),
    (
        {"constraint": {"obj_rblur": {"start_iter": 1, "kernel_size": 4}}},
        "constraint_params.obj_rblur.kernel_size",
        "odd",
    ),
    ({"recon": {"NITER": 0}}, "recon_params.NITER", "at least 1"),
    (
        {"recon": {"INDICES_MODE": {"mode": "sub", "subscan_slow": 3}}},
        "recon_params.INDICES_MODE",
        "both",
    ),
]


@pytest.mark.parametrize(("given", "field", "text"), REFUSED)
def test_a_refusal(given: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        native(**given)
    assert caught.value.field == field
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("given", "field", "meant"),
    [
        ({"init": {"probe_kV": 1}}, "init_params.probe_kV", "probe_kv"),
        ({"loss": {"loss_poisson": {}}}, "loss_params.loss_poisson", "loss_poissn"),
        ({"recon": {"NITERS": 1}}, "recon_params.NITERS", "NITER"),
        (
            {"constraint": {"obj_rblur": {"start_iter": 1, "stdv": 1}}},
            "constraint_params.obj_rblur.stdv",
            "std",
        ),
    ],
)
def test_an_unknown_field(given: dict[str, Any], field: str, meant: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{field}: unknown key. Did you mean '{meant}'"
    ) as caught:
        converted(**given)
    assert caught.value.field == field


def test_an_override_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigError) as caught:
        converted().config(["loss.gaussian.power=2"])
    assert caught.value.field == "loss.gaussian.power"
