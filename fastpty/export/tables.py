"""Tables of numbers, for spreadsheets (CSV) and papers (LaTeX)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fastpty.atomic import atomic_path

__all__ = ["Quantity", "csv_text", "latex_text", "write_tables", "write_texts"]

_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "Å": r"\AA{}"}


@dataclass(frozen=True)
class Quantity:
    """A row of a table: what it is, its value (None: there is none), its unit (empty: a number)."""

    name: str
    value: float | None
    unit: str = ""


def write_tables(rows: Sequence[Quantity], folder: Path, stem: str) -> list[Path]:
    """Write ``<stem>.csv`` and ``<stem>.tex``, both or neither.

    The CSV file has the columns quantity, value, unit, and values in full precision; the LaTeX
    file is a tabular of four digits that needs no package.

    Raises
    ------
    OSError : the disk is full or the folder cannot be written; earlier files stay.
    """
    columns = [("quantity", "value", "unit")]
    lines = [(row.name, "" if _missing(row.value) else repr(row.value), row.unit) for row in rows]
    return write_texts(
        {f"{stem}.csv": csv_text([*columns, *lines]), f"{stem}.tex": _latex(rows)}, folder
    )


def write_texts(texts: dict[str, str], folder: Path) -> list[Path]:
    """Write files of these names, all of them or, where they had not been begun, none.

    Raises
    ------
    OSError : the disk is full or the folder cannot be written; earlier files stay.
    """
    with ExitStack() as pending:
        for name, text in texts.items():
            path = pending.enter_context(atomic_path(folder / name))
            path.write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]


def csv_text(lines: Sequence[Sequence[object]]) -> str:
    """Comma-separated values, a line each; a None is an empty cell."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


def _missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _latex(rows: Sequence[Quantity]) -> str:
    lines = []
    for row in rows:
        value = _cell(row.value)
        known = row.unit and not _missing(row.value)
        lines.append(f"{_escaped(row.name)} & {value}" + (f"~{_escaped(row.unit)}" * bool(known)))
    return _tabular("lr", "quantity & value", lines)


def latex_text(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A LaTeX tabular that needs no package: numbers with four digits, a dash where there is none,
    anything else as text."""
    cells = [" & ".join(_cell(value) for value in line) for line in lines]
    return _tabular("l" + "r" * (len(head) - 1), " & ".join(map(_escaped, head)), cells)


def _tabular(columns: str, head: str, lines: Sequence[str]) -> str:
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\hline",
            rf"{head} \\",
            r"\hline",
            *[rf"{line} \\" for line in lines],
            r"\hline",
            r"\end{tabular}",
            "",
        ]
    )


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "--"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _escaped(str(value))
    digits, _, exponent = f"{value:.4g}".partition("e")
    return f"${digits}" + (rf" \times 10^{{{int(exponent)}}}" if exponent else "") + "$"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)
