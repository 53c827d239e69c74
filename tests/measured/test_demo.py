"""The demo of the README: simulate SrTiO3, reconstruct it, compare with the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastpty.cli import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

pytestmark = pytest.mark.slow


def test_demo_finds_the_columns(tmp_path, monkeypatch, capsys) -> None:
    data = tmp_path / "demo.h5"
    run_cli(monkeypatch, "simulate", str(CONFIGS / "demo_simulate.yaml"), "-o", str(data))
    capsys.readouterr()
    run_cli(
        monkeypatch,
        "recon",
        str(CONFIGS / "demo.yaml"),
        "-o",
        str(tmp_path / "out"),
        "--json",
        "--set",
        f"data.path={data}",
        "--set",
        f"truth={data}",
    )
    summary = json.loads(capsys.readouterr().out)
    truth = summary["truth"]
    assert truth["correlation"] >= 0.95
    assert truth["position_rmse_px"] < 0.5 * truth["position_rmse_start_px"]
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"phase_sum.png", "phase_slices.png", "loss.png", "positions.png"} <= names


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["fastpty", *arguments])
    try:
        main()
    except SystemExit as end:
        assert end.code in (None, 0)
