"""Pages that are written from the code: nothing is left out, and it reads as it should."""

from __future__ import annotations

import re

import pytest
import typer
from cli_page import cli_page
from config_page import config_page

from fastpty.cli import app
from fastpty.config import ReconConfig
from fastpty.config.base import item_sections_of, variants_of
from fastpty.simulate import SimulateConfig
from tests.config.test_rules import FIELDS, fields_of


@pytest.fixture(scope="module")
def recon() -> str:
    return config_page(ReconConfig, "Config fields", "All of them.")


def row_of(page: str, place: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f'| <a id="{place}"')]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_field_has_a_row_with_its_description(recon: str) -> None:
    for name, field in FIELDS:
        shown = row_of(recon, name)[3].replace("\\", "")
        words = re.findall(r"\w{4,}", field.description.split("docs/")[0])
        assert all(word in shown for word in words), name


def test_every_field_of_an_item_has_a_row(recon: str) -> None:
    for name, field in FIELDS:
        variants = variants_of(field.annotation)
        for kind, section in variants.items():
            for inner in section.model_fields:
                assert row_of(recon, f"{name}[{kind}].{inner}")
        for section in [] if variants else item_sections_of(field.annotation):
            for inner, _ in fields_of(section):
                assert row_of(recon, f"{name}[].{inner}")


def test_every_field_of_a_simulation_has_a_row() -> None:
    page = config_page(SimulateConfig, "Config of a simulation", "All of them.")
    for name, _ in fields_of(SimulateConfig):
        assert row_of(page, name)


@pytest.mark.parametrize(
    ("place", "value", "default"),
    [
        ("beam.energy_kv", "number > 0", "required"),
        ("data.leave_out", "number ≥ 0, ≤ 0.5", "`0.0`"),
        ("data.scan_shape", r"\[whole number ≥ 1, whole number ≥ 1\] or null", "`null`"),
        ("device", "`auto`, `cpu`, `cuda`", "`auto`"),
        ("optimise.tiles", "`auto`, `on`, `off`", "`auto`"),
        ("loss.poisson", "[poisson](#section-loss.poisson)", "`off`"),
        ("constraints.blur_z.std", "number > 0", "`1.0`"),
        ("optimise.positions.lr", "number ≥ 0, ≤ 1000", "`0.0005`"),
    ],
)
def test_values_and_defaults_are_in_words(recon: str, place: str, value: str, default: str) -> None:
    assert row_of(recon, place)[1:3] == [value, default]


def test_a_section_is_linked_to_where_it_stands(recon: str) -> None:
    targets = set(re.findall(r"\(#(section-[^)]+)\)", recon))
    assert targets == set(re.findall(r"\{ #(section-\S+) \}", recon))


def test_every_command_and_option_is_there() -> None:
    page = cli_page(app, "fastpty")
    sections = dict(re.findall(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", page))
    commands = typer.main.get_command(app).commands
    assert set(sections) == set(commands)
    for name, command in commands.items():
        assert command.help in sections[name]
        for parameter in command.params:
            assert max(parameter.opts, key=len) in sections[name]
