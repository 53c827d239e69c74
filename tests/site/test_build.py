"""The site as a whole: it builds without a warning, needs no network, and leaves nothing out."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "mkdocs.yml").is_file(), reason="needs a source checkout, not an installation"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by their names. A broken link, anchor, reference or formula fails the build."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return {
        page.relative_to(folder).as_posix(): page.read_text(encoding="utf-8")
        for page in folder.rglob("*.html")
    }


def test_nothing_is_fetched_when_it_is_read(site: dict[str, str]) -> None:
    for name, page in site.items():
        loads = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]*)", page
        )
        assert not loads, name


def test_every_formula_is_mathml(site: dict[str, str]) -> None:
    assert "<math" in site["derivations/probe_shift.html"]
    assert not [name for name, page in site.items() if "arithmatex" in page]


@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("errors", "fastpty.errors"),
        ("metrics", "fastpty.metrics"),
        ("ops", "fastpty.ops"),
        ("optics", "fastpty.optics"),
    ],
)
def test_every_public_name_is_in_the_reference(
    site: dict[str, str], page: str, module: str
) -> None:
    anchors = set(re.findall(r'id="([\w.]+)"', site[f"api/{page}.html"]))
    shown = {anchor.rpartition(".")[2] for anchor in anchors}
    assert set(importlib.import_module(module).__all__) <= shown


def test_no_role_is_left_in_the_reference(site: dict[str, str]) -> None:
    pages = [page for name, page in site.items() if name.startswith("api/")]
    assert pages
    assert not [found for page in pages for found in re.findall(r":(?:func|class|meth|mod):", page)]
