"""Every field of the configs does something: another value changes what its entry names.

The entries are in ``tests/config/table/``, one module for the sections of a part.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fastpty.config import ReconConfig
from fastpty.config.base import item_sections_of, sections_of, variants_of
from fastpty.simulate import SimulateConfig
from tests.config.observed import BASE, SIMULATION, Observed, Simulated, alike, make_material
from tests.config.table import RECON, SIMULATE, Change, Elsewhere, Entry
from tests.recon_cases import merged

ROOT = Path(__file__).parents[2]
# Sections of which the iterations depend on more than on what they start with.
MOVING = ("object", "probe", "loss", "constraints", "optimise", "convergence", "plan", "seed")
Place = tuple[str | int, ...]
Outcome = Observed | Simulated


def fields_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Every field that can have another value: those of sections, of items of lists, of each kind
    of item; and a section that can be switched off."""
    for name, field in model.model_fields.items():
        here, kind = place + name, field.annotation
        if typing.get_origin(kind) is typing.Literal and len(typing.get_args(kind)) == 1:
            continue  # the name of a kind
        sections, variants = sections_of(kind), variants_of(kind)
        if not sections or type(None) in typing.get_args(kind):
            yield here
        for section in sections or ([] if variants else item_sections_of(kind)):
            yield from fields_of(section, f"{here}.")
        for step, section in variants.items():
            yield from fields_of(section, f"{here}.{step}.")


def place_of(field: str, config: Any) -> Place:
    """Where a field is in a config: of a list it is the first item, or the first of that kind."""
    place: Place = ()
    for name in field.split("."):
        if isinstance(config, list):
            steps = [item.get("step") for item in config]
            number = steps.index(name) if name in steps else 0
            place, config = (*place, number), config[number]
            if name in steps:
                continue
        place, config = (*place, name), config.get(name, {}) if config else {}
    return place


def replaced(config: Any, place: Place, value: Any) -> Any:
    """A copy with another value in a place; sections on the way there are made."""
    if not place:
        return value
    first, *rest = place
    if isinstance(first, int):
        inner = replaced(config[first], tuple(rest), value)
        return [*config[:first], inner, *config[first + 1 :]]
    inner = replaced((config or {}).get(first), tuple(rest), value)
    return {**(config or {}), first: inner}


def differing(one: Any, other: Any, place: Place = ()) -> set[Place]:
    """Where two checked configs differ, as plain data."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key), other.get(key)) for key in one.keys() | other.keys()]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = list(enumerate_pairs(one, other))
    else:
        return set() if one == other else {place}
    return {found for key, a, b in pairs for found in differing(a, b, (*place, key))}


def enumerate_pairs(one: list[Any], other: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    yield from ((number, *pair) for number, pair in enumerate(zip(one, other, strict=True)))


class Bench:
    """Configs of one kind, and what became of each base, which many entries share."""

    def __init__(
        self, kind: type[Outcome], base: Mapping[str, Any], table: Mapping[str, Entry], folder: Path
    ) -> None:
        self._kind, self._base, self._table, self._folder = kind, base, table, folder
        self._seen: dict[str, Outcome] = {}
        self._known: dict[str, Any] = {}

    def _make(self, content: Mapping[str, Any]) -> Outcome:
        return self._kind(content, self._folder, self._known)

    def pair(self, field: str) -> tuple[Change, Outcome, Outcome]:
        """A field's entry, the base, and the changed one."""
        entry = self._table[field]
        assert isinstance(entry, Change)
        content = merged(self._base, entry.base)
        base = self._seen.setdefault(repr(content), self._make(content))
        other = replaced(content, place_of(field, content), entry.value)
        return entry, base, self._make(merged(other, entry.also))


def check(bench: Bench, field: str) -> None:
    """The entry's observable changes, and nothing was changed but the field."""
    entry, base, other = bench.pair(field)
    place = place_of(field, base.content)
    found = differing(*(one.config.model_dump(mode="json") for one in (base, other)))
    found = {name for name in found if name[: len(place)] != place}
    assert found <= {name for name in found if name[0] in entry.also}, f"{field}: also {found}"
    before, after = getattr(base, entry.sees), getattr(other, entry.sees)
    assert not alike(before, after, "sum"), (
        f"{field}: {entry.value!r} instead of what {entry.base!r} gives changes nothing in "
        f"{entry.sees}"
    )


def changes(table: Mapping[str, Entry]) -> list[str]:
    return [name for name, entry in table.items() if isinstance(entry, Change)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("fields")
    make_material(found)
    return found


@pytest.fixture(scope="module")
def recon(folder: Path) -> Bench:
    return Bench(Observed, BASE, RECON, folder)


@pytest.fixture(scope="module")
def simulation(folder: Path) -> Bench:
    return Bench(Simulated, SIMULATION, SIMULATE, folder)


@pytest.mark.parametrize(
    ("model", "table"),
    [(ReconConfig, RECON), (SimulateConfig, SIMULATE)],
    ids=["recon", "simulate"],
)
def test_every_field_has_an_entry(model: type[BaseModel], table: Mapping[str, Entry]) -> None:
    fields = list(fields_of(model))
    missing = [name for name in fields if name not in table]
    assert not missing, (
        f"no entry for {', '.join(missing)}: say in tests/config/table/ what another value of it "
        "changes"
    )
    gone = [name for name in table if name not in fields]
    assert not gone, f"entries for {', '.join(gone)}, which {model.__name__} does not have"


@pytest.mark.parametrize("field", changes(RECON))
def test_a_field_does_something(recon: Bench, field: str) -> None:
    check(recon, field)


@pytest.mark.parametrize(
    "field",
    [
        name
        for name in changes(RECON)
        if name.split(".")[0] in ("optimise", "loss", "constraints")
        if name != "optimise.iterations"  # a stage has a field of its own for them
    ],
)
def test_a_stage_may_say_it_too(recon: Bench, field: str) -> None:
    """Said in the one stage of a plan, it means what it means without a plan."""
    _, base, other = recon.pair(field)
    section, *place = place_of(field, base.content)
    # Lists and schedules go as a whole.
    whole = [n for n, key in enumerate(place) if key == "schedule" or isinstance(key, int)]
    if whole:
        place = place[: whole[0] + (place[whole[0]] == "schedule")]
    value = other.content[section]
    for key in place:
        value = value[key]
    stage = {"iterations": other.config.iterations, section: replaced({}, tuple(place), value)}
    (planned,) = ReconConfig.model_validate({**base.content, "plan": [stage]}).stages
    (flat,) = other.config.stages
    for name, part in flat.settings().items():
        assert planned.settings()[name] == part


@pytest.mark.slow
@pytest.mark.parametrize("section", [name for name in ReconConfig.model_fields if name in MOVING])
def test_a_resumed_run_keeps_to_it(recon: Bench, section: str) -> None:
    """With the field's other value, a run that is stopped after an iteration and resumed gives the
    same bits as one that is not."""
    for field in changes(RECON):
        if field.split(".")[0] == section:
            _, _, other = recon.pair(field)
            if not other.refusal:
                assert alike(other.resumed, other.history, "identical"), field


@pytest.mark.parametrize("field", changes(SIMULATE))
def test_a_field_of_a_simulation_does_something(
    simulation: Bench, field: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # where relative paths of a simulation start
    check(simulation, field)


@pytest.mark.parametrize(
    "entry",
    {
        entry.test: entry
        for entry in [*RECON.values(), *SIMULATE.values()]
        if isinstance(entry, Elsewhere)
    }.values(),
    ids=lambda entry: entry.test,
)
def test_a_test_elsewhere_exists(entry: Elsewhere) -> None:
    file, _, name = entry.test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("sees", sorted({e.sees for e in RECON.values() if isinstance(e, Change)}))
def test_the_same_config_gives_the_same(folder: Path, sees: str) -> None:
    """Else an entry could pass that changes nothing."""
    one, other = (getattr(Observed(BASE, folder), sees) for _ in range(2))
    assert alike(one, other, "identical")


@pytest.mark.parametrize(
    "sees", sorted({e.sees for e in SIMULATE.values() if isinstance(e, Change)})
)
def test_the_same_simulation_gives_the_same(folder: Path, sees: str) -> None:
    one, other = (getattr(Simulated(SIMULATION, folder), sees) for _ in range(2))
    assert alike(one, other, "identical")
