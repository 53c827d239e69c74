"""docs/constraints.md says what there is: names, order, defaults, the fields of PtyRAD."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fastpty.config.base import sections_of
from fastpty.config.solve import ConstraintConfig, ConstraintsConfig
from fastpty.constraints import CONSTRAINTS
from tests.constraints.small_model import small_model

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "constraints.md"

pytestmark = pytest.mark.skipif(
    not PAGE.is_file(), reason="needs a source checkout, not an installation"
)

ROW = re.compile(r"^\| \[`(\w+)`\]\(#[\w-]+\) \| (\w+) \|(.*)\|(.*)\|$", re.MULTILINE)
OPTION = re.compile(r"`(\w+)`(?: (\[.*?\]|[^,\s]+))?")


def rows() -> dict[str, tuple[str, str, str]]:
    """Name: (on or off, options, field of PtyRAD)."""
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {name: (on, options, theirs.strip().strip("`")) for name, on, options, theirs in found}


def defaults(name: str) -> dict[str, Any]:
    """Of the options of one constraint, without its schedule."""
    (section,) = sections_of(ConstraintsConfig.model_fields[name].annotation)
    schedule = set(ConstraintConfig.model_fields)
    return {k: v for k, v in section().model_dump(mode="json").items() if k not in schedule}


def test_the_table_has_all_in_order() -> None:
    assert list(rows()) == list(ConstraintsConfig.model_fields)


@pytest.mark.parametrize("name", list(CONSTRAINTS))
def test_a_row_is_what_the_schema_says(name: str) -> None:
    on, options, theirs = rows()[name]
    assert on == ("off" if getattr(ConstraintsConfig(), name) is None else "on")
    found = dict(OPTION.findall(options))
    expected = defaults(name)
    assert set(found) == set(expected)
    for option, text in found.items():
        if text:
            value = expected[option]
            assert text == value if isinstance(value, str) else json.loads(text) == value
    doc = CONSTRAINTS[name].__doc__ or ""
    assert f"PtyRAD: ``{theirs}``" in " ".join(doc.split()) if theirs else "PtyRAD: ``" not in doc


@pytest.mark.parametrize("name", list(ConstraintsConfig.model_fields))
def test_the_guide_lists_it(name: str) -> None:
    assert f"`{name}`" in (DOCS / "guide.md").read_text(encoding="utf-8")


def test_the_example_of_an_own_function_works() -> None:
    """As printed on the page."""
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    model = small_model()
    with torch.no_grad():
        names["keep_rim_empty"](model, width=2)
    assert not model.phase[:, :, :2].any() and not model.phase[..., -2:].any()
    assert model.phase[:, :, 2:-2, 2:-2].all()
