"""User errors: field, finding and fix in one paragraph."""

from __future__ import annotations

import pickle

import pytest

from fastpty.errors import ConfigError, DataError, FastptyError, OutputError

KINDS = [ConfigError, DataError, FastptyError, OutputError]


@pytest.mark.parametrize("kind", KINDS)
def test_the_message(kind: type[FastptyError]) -> None:
    error = kind("beam.energy_kv", "is -1.", "Make it positive.")
    assert str(error) == "beam.energy_kv: is -1. Make it positive."
    assert (error.field, error.found, error.fix) == (
        "beam.energy_kv",
        "is -1.",
        "Make it positive.",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_fix(kind: type[FastptyError]) -> None:
    assert str(kind("data", "is empty.")) == "data: is empty."


@pytest.mark.parametrize("kind", KINDS)
def test_one_except_catches_all(kind: type[FastptyError]) -> None:
    assert issubclass(kind, FastptyError)
    assert not issubclass(kind, ValueError)  # pydantic would swallow it


@pytest.mark.parametrize("kind", KINDS)
def test_errors_travel_between_processes(kind: type[FastptyError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a", "b.", "c.")))
    assert (type(error), str(error), error.fix) == (kind, "a: b. c.", "c.")
