"""Whole runs from PtyRAD's files, by the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from fastpty.cli import main
from fastpty.ptyrad_model import read_model
from fastpty.results import read_results
from tests.ptyrad.cases import changed, converted
from tests.recon_cases import PIXEL, Tiny, make_tiny
from tests.tolerances import tolerance

Run = Callable[..., str]

PARAMS: dict[str, dict[str, Any]] = {
    "init": {
        "meas_calibration": {"mode": "dx", "value": PIXEL},
        "probe_aberrations": {"defocus": 80},
        "probe_pmode_max": 2,
        "meas_params": {"path": "tiny.h5", "key": "data"},
        "random_seed": 3,
    },
    "model": {"update_params": {"objp": {"start_iter": 1, "lr": 1e-2}}},
    "constraint": {"obj_rblur": {"start_iter": None}},
    "recon": {
        "NITER": 3,
        "BATCH_SIZE": {"size": 8},
        "output_dir": "out",
        "save_result": ["model"],
        "selected_figs": [],
    },
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"), (24, 24))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: Tiny) -> Run:
    """``run("recon", ...)`` as typed beside the data: what was said, in one line, and the code."""
    monkeypatch.chdir(tiny.folder)

    def call(*arguments: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["fastpty", *map(str, arguments)])
        capsys.readouterr()
        found: object = 0
        try:
            main()
        except SystemExit as end:
            found = end.code or 0
        said = capsys.readouterr()
        text = " ".join((said.out + said.err).split())
        assert found == code, text
        return text

    return call


def write(name: str, **more: dict[str, Any]) -> Path:
    """A parameter file in the current folder."""
    sections = {key: {**PARAMS.get(key, {}), **more.get(key, {})} for key in {**PARAMS, **more}}
    path = Path(name)
    path.write_text(yaml.safe_dump(changed(**sections)), encoding="utf-8")
    return path


def losses(folder: str) -> list[float]:
    return read_results(Path(folder) / "reconstruction.h5").history.loss


def test_a_run_and_the_run_of_its_conversion(run: Run) -> None:
    """The same losses, to the last bit."""
    params = write("direct.yml", constraint={"ortho_pmode": {"step": 2}})
    said = run("recon", params, "--device", "cpu")
    assert "direct.yml is a PtyRAD file." in said
    assert "! constraint_params.ortho_pmode: is given without start_iter." in said
    assert "results in out/direct" in said
    direct = losses("out/direct")
    assert len(direct) == 3
    assert direct[-1] < direct[0]

    assert "native.yaml written" in run("convert", params, "-o", "native.yaml")
    run("recon", "native.yaml", "-o", "again", "--device", "cpu")
    assert losses("again") == direct


def test_overrides_are_native(run: Run) -> None:
    run("recon", write("set.yml"), "--device", "cpu", "--set", "optimise.iterations=1")
    assert len(losses("out/set")) == 1


def test_validate(run: Run) -> None:
    said = run("validate", write("check.yml", init={"meas_export": True}), "--device", "cpu")
    assert "! init_params.meas_export: is not written." in said
    assert "The config is valid." in said
    assert not Path("out/check").exists()


def test_a_faulty_field_is_named_as_in_the_file(run: Run) -> None:
    said = run("validate", write("bad.yml", recon={"NITERS": 3}), code=2)
    assert "Error: recon_params.NITERS: unknown key. Did you mean 'NITER'?" in said


def test_a_plan_for_a_part_of_the_scan(run: Run) -> None:
    """PtyRAD's half of the scan, 2 of 5 by 3 of 6."""
    for mode in ("sub", "center"):
        config = converted(recon={"INDICES_MODE": {"mode": mode}, "NITER": 2}).config()
        stage = config.plan[0]
        assert (stage.iterations, getattr(stage.scan, mode)) == (2, (2, 3))
    part = {"mode": "center", "subscan_slow": 3, "subscan_fast": 4}
    said = run("recon", write("part.yml", recon={"INDICES_MODE": part}), "--device", "cpu")
    assert "3 x 4 positions" in said
    assert len(losses("out/part")) == 3


def test_a_finish_with_lbfgs(run: Run) -> None:
    optimizer = {"name": "LBFGS", "configs": {"history_size": 4, "tolerance_grad": 1e-9}}
    recon = {"NITER": 2, "BATCH_SIZE": {"size": 8, "grad_accumulation": 2}}
    params = write("full.yml", model={"optimizer_params": optimizer}, recon=recon)
    said = run("recon", params, "--device", "cpu")
    assert "! model_params.optimizer_params.name: is LBFGS" in said
    assert "! model_params.optimizer_params.configs.tolerance_grad: is ignored" in said
    found = losses("out/full")
    assert found[-1] < found[0]


def test_ptyrads_model_files_from_a_run_and_back(run: Run) -> None:
    """A run exported for PtyRAD, and begun with again as a file of PtyRAD's."""
    run("recon", write("first.yml"), "--device", "cpu")
    assert "model.hdf5 written" in run("export", "out/first", "--ptyrad", "model.hdf5")
    first = read_results("out/first/reconstruction.h5")
    np.testing.assert_array_equal(read_model(Path("model.hdf5")).phase, first.phase)
    said = run("export", "out/first", "--ptyrad", "model.hdf5", code=2)
    assert "exists already" in said
    run("export", "out/first", "--ptyrad", "model.hdf5", "--overwrite")

    sources = {
        f"{name}_{what}": {"source": "PtyRAD", "params": "model.hdf5"}[what]
        for name in ("obj", "probe", "pos", "tilt")
        for what in ("source", "params")
    }
    config = converted(Path("next.yml"), init={**PARAMS["init"], **sources}).config()
    # One tilt in the file: one tilt for the scan.
    assert config.object.tilt_per == "scan"
    run("recon", write("next.yml", init=sources), "--device", "cpu")
    # It goes on where the first run ended.
    assert losses("out/next")[0] < losses("out/first")[-1]
    again = read_results("out/next/reconstruction.h5").positions_start
    np.testing.assert_allclose(again, first.positions, **tolerance("product", torch.float32))


def test_what_convert_refuses(run: Run) -> None:
    Path("own.yaml").write_text("data: {path: tiny.h5}\n", encoding="utf-8")
    assert "is no PtyRAD file" in run("convert", "own.yaml", "-o", "x.yaml", code=2)
    params = write("again.yml")
    run("convert", params)
    assert Path("again_fastpty.yaml").is_file()
    assert "exists already" in run("convert", params, code=2)
    assert "cannot be written" in run("convert", params, "-o", "no/such/folder.yaml", code=2)


def test_export_wants_a_format(run: Run) -> None:
    assert "Add --tiff or --ptyrad FILE." in run("export", "out", code=2)
