"""Copies of csrc with changed text: fewer sizes, to compile fast, or a mistake, to be found.

Every change says how often its pattern occurs, so that it fails when the sources move on.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.emulator import build

__all__ = ["ONE_SIZE", "Change", "copy_of_sources"]


@dataclass(frozen=True)
class Change:
    """One substitution.

    Parameters
    ----------
    file : relative to csrc.
    pattern : a regular expression; ``.`` matches no line break, ``^`` and ``$`` match at lines.
    replacement : as for ``re.sub``.
    count : how often the pattern occurs.
    which : the one to be replaced, counted from 0; None for all.
    """

    file: str
    pattern: str
    replacement: str
    count: int = 1
    which: int | None = None

    def apply(self, text: str) -> str:
        found = list(re.finditer(self.pattern, text, re.MULTILINE))
        if len(found) != self.count:
            raise AssertionError(
                f"{self.file}: {self.pattern!r} occurs {len(found)} times, not {self.count}: "
                "the change must follow the sources"
            )
        for match in reversed(found if self.which is None else [found[self.which]]):
            text = text[: match.start()] + match.expand(self.replacement) + text[match.end() :]
        return text


ONE_SIZE = (
    # The split family for 32 points and those without a kernel of their own, such as 48.
    Change(
        "cuda/lines.cuh",
        r"^    case (?!32:)(\d+):\n      return run\(StaticPlan<\1, kKind>\(plan\)\);\n",
        "",
        count=7,
    ),
    # The on-chip family for 64 x 64.
    Change(
        "multislice_intensity/on_chip.cuh",
        r"f\(Size<\d+>\(\), Size<\d+>\(\)\)",
        "f(Size<64>(), Size<64>())",
        count=4,
    ),
)
"""All families, each for few windows: 32 and 48 pixels, 64 x 64, 256 x 256 (it has no other)."""


def copy_of_sources(to: Path, changes: Iterable[Change], csrc: Path = build.CSRC) -> Path:
    """Copy csrc into a folder and change it there; return the copy."""
    copy = to / "csrc"
    shutil.copytree(csrc, copy)
    for change in changes:
        path = copy / change.file
        path.write_text(change.apply(path.read_text(encoding="utf-8")), encoding="utf-8")
    return copy
