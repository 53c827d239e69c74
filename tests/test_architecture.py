"""The import rules that ARCHITECTURE.md states, held against every line of the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fastpty"
PAGE = ROOT / "ARCHITECTURE.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="needs a source checkout")


class Rule(NamedTuple):
    """A row of the table."""

    allowed: list[str]
    torch: bool


def read_rules(text: str) -> dict[str, Rule]:
    """The table under the heading "Who may import whom", in its order."""
    section = text.split("## Who may import whom")[1].split("\n## ", maxsplit=1)[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*)\| (yes|no) \|$", section, re.MULTILINE)
    assert len({part for part, _, _ in rows}) == len(rows), "a part has two rows"
    return {
        part: Rule(re.findall(r"`(\w+)`", allowed), torch == "yes") for part, allowed, torch in rows
    }


RULES = read_rules(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}


def imports_of(source: str, module: str) -> set[str]:
    """Dotted names that a module imports, at any depth; ``from a import b`` is ``a.b``."""
    found = set()
    package = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def parts_of(names: set[str]) -> set[str]:
    """The parts of fastpty among imported names; the version is everybody's."""
    inside = {name.split(".")[1] for name in names if name.startswith("fastpty.")}
    return inside - {"__version__"}


def sources(part: str) -> list[Path]:
    folder = PACKAGE / part
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]
    return [file for file in files if file.is_file()]


def imports_of_file(file: Path) -> set[str]:
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return imports_of(file.read_text(encoding="utf-8"), module)


def test_every_part_has_its_row() -> None:
    # The compiled core is known by its stub: it may not be built.
    parts = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix in {".py", ".pyi"} or (path / "__init__.py").is_file()
    }
    assert set(RULES) == parts - {"__init__"}


def test_imports_run_downward() -> None:
    order = list(RULES)
    upward = [
        f"{part} -> {other}"
        for i, (part, rule) in enumerate(RULES.items())
        for other in rule.allowed
        if other not in order[i + 1 :]
    ]
    assert not upward


@pytest.mark.parametrize("part", RULES)
def test_a_part_imports_what_its_row_allows(part: str) -> None:
    allowed = {part, *RULES[part].allowed}
    broken = [
        f"{file.relative_to(ROOT)} imports {', '.join(sorted(extra))}"
        for file in sources(part)
        if (extra := parts_of(imports_of_file(file)) - allowed)
    ]
    assert not broken


@pytest.mark.parametrize("part", [part for part, rule in RULES.items() if not rule.torch])
def test_parts_without_torch(part: str) -> None:
    for file in sources(part):
        third_party = {name.split(".")[0] for name in imports_of_file(file)}
        assert "torch" not in third_party, file
    assert not [other for other in RULES[part].allowed if RULES[other].torch]


def test_the_package_itself_imports_no_more_than_the_ops() -> None:
    """``import fastpty`` is quick, and no part depends on another through it. The ops, which are
    registered where torch is loaded already, need nothing above them; ``api`` is for whoever asks
    for ``fastpty.reconstruct``."""
    names = imports_of_file(PACKAGE / "__init__.py")
    assert parts_of(names) == {"ops", "api"}
    assert not {name.split(".")[0] for name in names} & {"torch", "numpy", "h5py"}


def test_opening_the_package_loads_nothing_of_it() -> None:
    loaded = "sorted(n for n in sys.modules if n == 'torch' or n.startswith('fastpty.'))"
    code = f"import sys, fastpty; print({loaded})"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import fastpty", set()),
        ("from fastpty import __version__", set()),
        ("import fastpty.io.hdf5 as h", {"io"}),
        ("from fastpty import ops, reference", {"ops", "reference"}),
        ("from fastpty.config.data import BeamConfig", {"config"}),
        ("def f():\n    if True:\n        from fastpty.recon import run", {"recon"}),
        ("try:\n    from fastpty import _core\nexcept ImportError: pass", {"_core"}),
        ("from ..model import Model", {"model"}),
        ("from .. import model", {"model"}),
        ("from .total import total_loss", {"loss"}),
        ("import fastptyx.io, os.path", set()),
    ],
)
def test_no_import_is_overlooked(source: str, expected: set[str]) -> None:
    assert parts_of(imports_of(source, "fastpty.loss.total")) == expected


def test_the_table_is_read_whole() -> None:
    """Rows are found by their form: a row in another form must not vanish."""
    section = PAGE.read_text(encoding="utf-8").split("## Who may import whom")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) == len(RULES) + 2  # the head and the rule below it


def test_the_page_names_every_folder() -> None:
    text = PAGE.read_text(encoding="utf-8")
    folders = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    assert not [name for name in folders if f"`fastpty/{name}/`" not in text]
