"""The commands of the tutorial on measured data run as they stand there, with fewer iterations."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpty.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorials" / "rotavirus.md"
FILE = "rotavirus_crop_64x64x128x128_u8.h5"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGE.is_file(), reason="needs a source checkout"),
]

# In place of what takes minutes: a quarter of the scan, and no figures but those shown.
SHORTER = [
    "--set=optimise.iterations=1",
    "--set=preprocess=[{step: crop, rows: [0, 32], columns: [0, 32]}]",
]


def commands() -> list[list[str]]:
    """The commands in the page's ``sh`` blocks, their arguments apart."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(os.path.expandvars(line)) for line in lines if line.startswith("fastpty")]


def test_the_commands_run(
    measured_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_file(FILE)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", "configs")
    told = commands()
    assert [name for _, name, *_ in told] == [
        *("info", "calibrate", "validate", "recon", "frc", "report", "export")
    ]
    for command in told:
        shorter = SHORTER if command[1] in ("recon", "frc") else []
        monkeypatch.setattr("sys.argv", [*command, *shorter])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, command
    for name in re.findall(r"`(output/[\w./]+\.\w+)`", PAGE.read_text(encoding="utf-8")):
        assert (tmp_path / name).is_file()
