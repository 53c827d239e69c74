"""What becomes of links, formulas and docstrings on the way to the site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docstrings import as_markdown
from formulas import FormulaError, with_mathml
from notebook_page import notebook_page
from source_links import linked_files, relink


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {
        "README.md": "[a](docs/guide.md#data) [b](configs/a.yaml) [c](CONTRIBUTING.md)",
        "CHANGELOG.md": "",
        "CONTRIBUTING.md": "",
        "ARCHITECTURE.md": "",
        "bench/README.md": "",
        "docs/tutorials/python.ipynb": "{}",
        "configs/a.yaml": "units: angstrom\n",
        "docs/guide.md": "`[no](../configs/b.yaml)`\n",
        "docs/deep/page.md": "![a plot](../images/a.png) [b](../../configs/a.yaml#L1)",
        "docs/images/a.png": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "link", "on_the_site"),
    [
        ("README.md", "docs/guide.md#data", "guide.md#data"),
        ("README.md", "configs/a.yaml", "files/configs/a.yaml.md"),
        ("docs/guide.md", "../bench/README.md", "benchmarks.md"),
        ("docs/guide.md", "tutorials/python.ipynb", "tutorials/python.md"),
        ("docs/deep/page.md", "../../README.md#x", "../index.md#x"),
        ("docs/deep/page.md", "../images/a.png", "../images/a.png"),
        ("bench/README.md", "../docs/guide.md", "guide.md"),
        ("README.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("README.md", "docs/missing.md", "docs/missing.md"),
    ],
)
def test_links(repository: Path, source: str, link: str, on_the_site: str) -> None:
    text = f"see [a [b]]({link}), not `[b]({link})`\n\n```sh\n[c]({link})\n```\n"
    expected = text.replace(f"[a [b]]({link})", f"[a [b]]({on_the_site})")
    assert relink(text, source, repository) == expected


def test_files_that_pages_show(repository: Path) -> None:
    assert linked_files(repository) == {"configs/a.yaml"}


def test_formulas_become_mathml() -> None:
    page = with_mathml(
        r'<p>for <span class="arithmatex">\(a &lt; b\)</span>, '
        r'<div class="arithmatex">\[ x \\[2pt] y \tag{1} \]</div>'
    )
    assert page.count("<math") == 2
    assert "</math>,</span>" in page  # the comma stays with the formula
    assert "arithmatex" not in page
    assert "(1)" in page
    assert "<mn>2</mn>" not in page  # of the space between the rows


def test_a_formula_that_is_none_is_named() -> None:
    with pytest.raises(FormulaError, match=r"'\\\\nonsense x'.*nknown command"):
        with_mathml(r'<span class="arithmatex">\(\nonsense x\)</span>')


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "UE5H", "text/plain": ["<>"]}}
    said = {"output_type": "stream", "text": ["one\n", "two\n"]}
    value = {"output_type": "execute_result", "data": {"text/plain": ["3"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Text"]},
        {"cell_type": "code", "source": ["a = 1\n", "a"], "outputs": [said, value]},
        {"cell_type": "code", "source": ["draw()"], "outputs": [picture]},
    ]
    path = tmp_path / "name.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    page, pictures = notebook_page(path)
    assert page == (
        "# Title\n\nText\n\n```python\na = 1\na\n```\n\n```text\none\ntwo\n```\n\n"
        "```text\n3\n```\n\n```python\ndraw()\n```\n\n![Figure 1](name_1.png)\n"
    )
    assert pictures == {"name_1.png": b"PNG"}


def known(name: str) -> str | None:
    return f"package.{name}" if name == "other" else None


def test_sections_of_a_docstring_become_lists() -> None:
    text = (
        "Does it.\n\nParameters\n----------\na, b : [N] of *either*,\n    in px_per_step.\n"
        "c : 1 < 2.\n\nReturns\n-------\nout : as ``a_*``.\n\nThen more : or less\n\nAnd more.\n"
    )
    assert as_markdown(text, known).split("\n") == [
        "Does it.",
        "",
        "",
        "**Parameters**",
        "",
        r"-   `a`, `b`: [N] of \*either\*,",
        "    in px_per_step.",
        "-   `c`: 1 &lt; 2.",
        "",
        "",
        "**Returns**",
        "",
        "-   `out`: as ``a_*``.",
        "",
        "-   `Then more`: or less",
        "",
        "And more.",
    ]


def test_roles_become_links_where_they_lead_somewhere() -> None:
    text = as_markdown("See :func:`other`, :mod:`contextvars` and :class:`~other`.", known)
    link = '<autoref identifier="package.other" optional><code>other</code></autoref>'
    assert text == f"See {link}, <code>contextvars</code> and {link}."


@pytest.mark.parametrize(
    ("code", "language"), [("y = f(x)", "python"), ("y  = sum_j W[j] (x < 1)\n  x_j*", "text")]
)
def test_blocks_become_code(code: str, language: str) -> None:
    block = "\n".join(f"    {line}" for line in code.split("\n"))
    text = as_markdown(f"With x::\n\n{block}\n\nand so *on*.", known)
    assert text == f"With x:\n\n```{language}\n{code}\n```\n\nand so \\*on\\*."
