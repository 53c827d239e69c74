"""Tables of numbers as CSV and LaTeX."""

from __future__ import annotations

import csv
import errno
from pathlib import Path
from typing import Any

import pytest

from fastpty.export import Quantity, latex_text, write_tables

ROWS = [
    Quantity("R factor, 5% left out", 0.1234567890123),
    Quantity("resolution", 0.61, "Å"),
    Quantity("chi_square", 1.25e-7),
    Quantity("unknown", None, "px"),
    Quantity("undefined", float("nan")),
]


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    write_tables(ROWS, tmp_path, "quality")
    with (tmp_path / "quality.csv").open(encoding="utf-8", newline="") as stream:
        head, *lines = csv.reader(stream)
    assert head == ["quantity", "value", "unit"]
    assert lines[0] == ["R factor, 5% left out", "0.1234567890123", ""]
    assert lines[1] == ["resolution", "0.61", "Å"]
    assert float(lines[2][1]) == 1.25e-7
    assert lines[3] == ["unknown", "", "px"]
    assert lines[4] == ["undefined", "", ""]


def test_latex(tmp_path: Path) -> None:
    files = write_tables(ROWS, tmp_path, "quality")
    assert files == [tmp_path / "quality.csv", tmp_path / "quality.tex"]
    assert files[1].read_text(encoding="utf-8").splitlines() == [
        r"\begin{tabular}{lr}",
        r"\hline",
        r"quantity & value \\",
        r"\hline",
        r"R factor, 5\% left out & $0.1235$ \\",
        r"resolution & $0.61$~\AA{} \\",
        r"chi\_square & $1.25 \times 10^{-7}$ \\",
        r"unknown & -- \\",
        r"undefined & -- \\",
        r"\hline",
        r"\end{tabular}",
    ]


def test_a_full_disk_leaves_both_earlier_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_tables(ROWS, tmp_path, "quality")
    before = [file.read_bytes() for file in files]
    write_text = Path.write_text

    def full(self: Path, text: str, *args: Any, **options: Any) -> int:
        if self.suffix == ".tex":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(self, text, *args, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_tables(ROWS[:1], tmp_path, "quality")
    assert [file.read_bytes() for file in files] == before
    assert len(list(tmp_path.iterdir())) == 2


def test_latex_of_a_grid() -> None:
    text = latex_text(["trial", "lr_%", "name"], [[3, 1.5e-4, "a_b"], [4, None, True]])
    assert text.splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\hline",
        r"trial & lr\_\% & name \\",
        r"\hline",
        r"$3$ & $0.00015$ & a\_b \\",
        r"$4$ & -- & True \\",
        r"\hline",
        r"\end{tabular}",
    ]
