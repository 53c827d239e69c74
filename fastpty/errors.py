"""Errors that are the user's to mend, and the one sentence that says how."""

from __future__ import annotations

__all__ = [
    "BrokenOffError",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "FastptyError",
    "MemoryShortageError",
    "OutputError",
]


class FastptyError(Exception):
    """A problem in the input, not in the program.

    The command line prints the message as one paragraph and exits with code 2;
    a traceback is shown only with ``--debug``.

    Parameters
    ----------
    field : the config field, argument or file that is at fault.
    found : what was found there, and the rule that it breaks.
    fix : what to do about it.
    """

    def __init__(self, field: str, found: str, fix: str = "") -> None:
        self.field = field
        self.found = found
        self.fix = fix
        super().__init__(f"{field}: {found}" + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type[FastptyError], tuple[str, str, str]]:
        # An exception is rebuilt from its message alone, which a pool of workers could not.
        return type(self), (self.field, self.found, self.fix)


class ConfigError(FastptyError):
    """The configuration contradicts itself, or the rules of its schema."""


class DataError(FastptyError):
    """A file is missing, unreadable, or holds something other than what was asked for."""


class OutputError(FastptyError):
    """The output folder cannot be written, or would overwrite what is there."""


class BrokenOffError(FastptyError):
    """A run has broken off within an iteration, and is back where that began."""


class DivergenceError(BrokenOffError):
    """A loss or an unknown was infinite or NaN."""


class MemoryShortageError(BrokenOffError):
    """Memory ran out where there was nothing left to make smaller."""
