"""YAML files, --set, and paths: what is read is what a physicist wrote."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.config import (
    ReconConfig,
    apply_overrides,
    load_config,
    read_yaml,
    resolve_path,
    validate_config,
)
from fastpty.errors import ConfigError, DataError
from tests.config.complete import COMPLETE, check


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2e3", -2e3),
        (".5e-3", 5e-4),
        ("1.e+2", 100.0),
        ("5", 5),
        ("e5", "e5"),
        ("1e", "1e"),
        ("'1e-4'", "1e-4"),
    ],
)
def test_exponents_are_numbers(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"lr: {text}\n")["lr"]
    assert found == value
    assert type(found) is type(value)


def test_the_yaml_library_keeps_its_own_rules(tmp_path: Path) -> None:
    """The reader's rules are its own: yaml elsewhere in the process is as it was."""
    read(tmp_path, "a: 1e-4\n")
    assert yaml.safe_load("a: 1e-4")["a"] == "1e-4"


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 3),
        ("a: {b: 1, c: {d: 1, d: 1}}\n", "d", 1),
        ("a:\n  - b: 1\n    b: 2\n", "b", 3),
        ("1: a\n1: b\n", "1", 2),
    ],
)
def test_a_key_given_twice(tmp_path: Path, text: str, field: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}: is given twice .*line {line}.*Keep one"):
        read(tmp_path, text)


def test_one_name_in_two_sections_is_no_repetition(tmp_path: Path) -> None:
    text = "a: {start: 1}\nb: {start: 2}\n"
    assert read(tmp_path, text) == {"a": {"start": 1}, "b": {"start": 2}}


def test_a_merged_section_may_be_overridden(tmp_path: Path) -> None:
    content = read(tmp_path, "a: &base {x: 1, y: 2}\nb:\n  <<: *base\n  y: 3\n")
    assert content["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "is not valid YAML"),
        ("a: b: c\n", r"is not valid YAML.*line 1"),
        ("a: !!python/object:os.system {}\n", "is not valid YAML"),
        ("[a, b]: 3\n", "^line 1: has a list or a mapping where a key belongs"),
        ("", "must hold 'key: value' lines; it is empty"),
        ("- a\n", "must hold 'key: value' lines; it is a list"),
        ("just words\n", "must hold 'key: value' lines; it is a str"),
    ],
)
def test_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.yaml: there is no such file\. Check the path"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_yaml(tmp_path)
    binary = tmp_path / "data.h5"
    binary.write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_yaml(binary)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a.b=5", {"a": {"b": 5, "c": [1, 2]}}),
        ("a.c=[3, 4]", {"a": {"b": 1, "c": [3, 4]}}),
        ("a.c=null", {"a": {"b": 1, "c": None}}),
        ("a.b=", {"a": {"b": None, "c": [1, 2]}}),
        ("a.b=off", {"a": {"b": False, "c": [1, 2]}}),
        ("a.b=on", {"a": {"b": True, "c": [1, 2]}}),
        ("a.b=1e-4", {"a": {"b": 1e-4, "c": [1, 2]}}),
        ("a.b=x=y", {"a": {"b": "x=y", "c": [1, 2]}}),
        ("a={d: 1}", {"a": {"d": 1}}),
        ("e.f.g=1", {"a": {"b": 1, "c": [1, 2]}, "e": {"f": {"g": 1}}}),
        (" a . b = 2 ", {"a": {"b": 2, "c": [1, 2]}}),
    ],
)
def test_set(override: str, expected: dict[str, object]) -> None:
    content = {"a": {"b": 1, "c": [1, 2]}}
    before = copy.deepcopy(content)
    assert apply_overrides(content, [override]) == expected
    assert content == before


def test_the_last_set_wins() -> None:
    assert apply_overrides({}, ["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize("switch", [None, True, False])
def test_set_steps_into_a_switched_section(switch: object) -> None:
    content = {"constraints": {"blur_xy": switch}}
    changed = apply_overrides(content, ["constraints.blur_xy.std=2"])
    assert changed == {"constraints": {"blur_xy": {"std": 2}}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a.b", r"must look like section\.field=value, got 'a\.b'"),
        ("=3", "must look like"),
        ("a..b=3", r"'a\.\.b' has an empty name"),
        (".a=3", r"'\.a' has an empty name"),
        ("a.b.c=3", r"a\.b is 1, which has no fields"),
        (
            "a.l.1=3",
            r"a\.l is a list of 1, whose items are named by their number from 0; found '1'",
        ),
        ("a.l.b=3", r"a\.l is a list of 1, .*; found 'b'"),
        ("a.l.0.c=3", r"a\.l\.0 is 1, which has no fields"),
        ("a.b=[1", r"the value of 'a\.b=\[1' is not valid YAML"),
    ],
)
def test_set_refusals(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^--set: {message}"):
        apply_overrides({"a": {"b": 1, "l": [1]}}, [override])


NAMES = st.sampled_from("abc")
TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


@settings(derandomize=True, max_examples=50)
@given(
    content=st.dictionaries(NAMES, TREES, max_size=3), path=st.lists(NAMES, min_size=1, max_size=3)
)
def test_set_changes_one_place_alone(content: dict[str, object], path: list[str]) -> None:
    try:
        changed = apply_overrides(content, [f"{'.'.join(path)}=new"])
    except ConfigError as error:  # the path leads through a plain value
        assert error.field == "--set"
        return
    inner: object = changed
    for part in path:
        inner = inner[part]
    assert inner == "new"
    before = apply_overrides(content, [f"{'.'.join(path)}=old"])
    assert apply_overrides(before, [f"{'.'.join(path)}=new"]) == changed


def test_load_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(COMPLETE))
    config = load_config(ReconConfig, path, ["optimise.batch_size=7"])
    assert config == check("optimise.batch_size=7")
    assert config.optimise.batch_size == 7


def test_a_dump_reads_back() -> None:
    config = check("constraints.blur_z=off", "data.scan_shape=[3, 4]")
    assert validate_config(ReconConfig, config.model_dump(mode="json")) == config


def test_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPTY_TEST_DATA", "/scratch")
    monkeypatch.setenv("HOME", "/home/someone")
    folder = Path("/configs")
    assert resolve_path("f", "a/b.h5", folder) == Path("/configs/a/b.h5")
    assert resolve_path("f", "/a/b.h5", folder) == Path("/a/b.h5")
    assert resolve_path("f", "$FASTPTY_TEST_DATA/b.h5", folder) == Path("/scratch/b.h5")
    assert resolve_path("f", "${FASTPTY_TEST_DATA}/b.h5", folder) == Path("/scratch/b.h5")
    assert resolve_path("f", "~/b.h5", folder) == Path("/home/someone/b.h5")


def test_an_unset_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTPTY_TEST_DATA", raising=False)
    message = r"^data\.path: '\$FASTPTY_TEST_DATA/b\.h5' uses .* not set\. Set it first"
    with pytest.raises(ConfigError, match=message):
        resolve_path("data.path", "$FASTPTY_TEST_DATA/b.h5", Path())
