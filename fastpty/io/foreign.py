"""Readers that stand on another package: import it when it is needed, and its errors by name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastpty.errors import DataError

__all__ = ["refusing", "require"]


def require(module: str, source: str) -> Any:
    """A module of the extra ``readers``.

    Raises
    ------
    DataError : it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            source,
            f"needs the package {module.split('.', maxsplit=1)[0]!r} to be read ({error}).",
            "Run: pip install 'fastpty[readers]'.",
        ) from error


@contextmanager
def refusing(source: str, kind: str) -> Iterator[None]:
    """Whatever a parser finds wrong with a file is the file's fault."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            source, f"cannot be read as {kind} ({reason}).", "Is the file complete?"
        ) from error
