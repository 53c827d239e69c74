"""The commands ``fastpty tune`` and ``fastpty ablate``, on the tiny experiment."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastpty.cli import main
from fastpty.recon import Reconstruction
from tests.recon_cases import make_tiny
from tests.tune.cases import write_base

STUDIES: dict[str, dict[str, Any]] = {
    "tune": {"search": {"scan.rotation_deg": {"low": -9, "high": 9}}, "sampler": "random"},
    "ablate": {"vary": {"probe.modes": [1, 2]}},
}


def fastpty(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fastpty", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_tiny(tmp_path)
    write_base(tmp_path, truth="tiny.h5")
    for command, study in STUDIES.items():
        (tmp_path / f"{command}.yaml").write_text(yaml.safe_dump({"base": "base.yaml", **study}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", STUDIES)
def test_a_study_from_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    extra = ["--set", "trials=2"] if command == "tune" else []
    code, out, err = fastpty(capsys, command, f"{command}.yaml", *extra, "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["trials"] == 2 if command == "tune" else len(summary["variants"]) == 2
    files = {path.name for path in (folder / "output" / command).iterdir()}
    expected = {
        "tune": {"best.yaml", "trials.csv", "trials.tex", "history.png", "slices.png"},
        "ablate": {"ablation.csv", "runs.csv", "ablation.tex", "ablation.png", "objects.png"},
    }[command]
    assert files >= expected | {"study.json", "summary.json"}
    code, _, err = fastpty(capsys, command, f"{command}.yaml")
    assert code == 2
    assert "holds the study.json of an earlier study" in err


@pytest.mark.parametrize("command", STUDIES)
def test_ctrl_c(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """The exit code says so, and the command that goes on is named."""
    iterate = Reconstruction._iterate

    def pressed(self: Reconstruction) -> Any:
        if self.iteration == 1:
            signal.raise_signal(signal.SIGINT)
        return iterate(self)

    monkeypatch.setattr(Reconstruction, "_iterate", pressed)
    code, out, _ = fastpty(capsys, command, f"{command}.yaml", "-o", "here")
    assert code == 130
    assert f"Go on with: fastpty {command} {command}.yaml -o here --resume" in out


@pytest.mark.parametrize("command", STUDIES)
def test_what_contradicts_itself(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, _, err = fastpty(capsys, command, f"{command}.yaml", "--resume", "--overwrite")
    assert code == 2
    assert "contradict each other" in err


@pytest.mark.parametrize("command", STUDIES)
def test_the_schema(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = fastpty(capsys, "schema", command)
    assert code == 0
    assert json.loads(out)["properties"].keys() >= {"base", "workers", *STUDIES[command]}
