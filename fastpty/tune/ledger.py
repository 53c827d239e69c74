"""What is known of the trials of a study, on disk after each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastpty.atomic import atomic_path
from fastpty.config.differences import differences
from fastpty.errors import ConfigError, DataError, OutputError

__all__ = ["LEDGER_NAME", "Ledger", "Record"]

LEDGER_NAME = "study.json"
FORMAT = "fastpty-study"


@dataclass
class Record:
    """A trial.

    Parameters
    ----------
    number : from 0, in the order in which they began.
    values : dotted field -> value.
    state : ``running``, also of one that was interrupted, ``complete``, ``pruned`` or ``failed``.
    reason, losses, numbers : as :class:`fastpty.tune.trial.Outcome` has them.
    """

    number: int
    values: dict[str, Any]
    state: str = "running"
    reason: str = ""
    losses: list[float] = field(default_factory=list)
    numbers: dict[str, float | None] = field(default_factory=dict)


class Ledger:
    """The records of a study in one file, which is written anew, whole or not at all, whenever a
    trial begins or ends.

    Parameters
    ----------
    path : of the file.
    meaning : plain data on which the trials depend. A ledger is gone on with under the same only.
    """

    def __init__(self, path: Path, meaning: Mapping[str, Any]) -> None:
        self._path = path
        self._meaning: dict[str, Any] = json.loads(json.dumps(meaning))
        self.records: dict[int, Record] = {}

    def read(self) -> None:
        """Take over what an earlier call has left.

        Raises
        ------
        DataError : there is no such file, or it is damaged.
        ConfigError : it was made with other settings; names them.
        """
        if not self._path.is_file():
            raise DataError(
                "--resume", f"there is no {self._path}.", "Start the study without --resume."
            )
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}")
            records = [Record(**record) for record in content["trials"]]
            then = content["meaning"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                str(self._path), f"is damaged or no study ({error}).", "Start anew: --overwrite."
            ) from error
        changed = differences(self._meaning, then)
        if changed:
            found = ", ".join(f"{now!r} instead of {was!r}" for now, was in changed.values())
            raise ConfigError(
                ", ".join(changed),
                f"differs from the study that --resume goes on with: {found}.",
                "Restore the old value, or begin a new study in another folder.",
            )
        self.records = {record.number: record for record in records}

    @property
    def interrupted(self) -> list[Record]:
        """Trials that began and did not end."""
        return [record for record in self.records.values() if record.state == "running"]

    @property
    def ended(self) -> list[Record]:
        """All others, by number."""
        done = [record for record in self.records.values() if record.state != "running"]
        return sorted(done, key=lambda record: record.number)

    def put(self, record: Record) -> None:
        """Add a trial, or what it has come to.

        Raises
        ------
        OutputError : the file cannot be written; the earlier one stays.
        """
        self.records[record.number] = record
        content = {
            "format": FORMAT,
            "meaning": self._meaning,
            "trials": [asdict(self.records[number]) for number in sorted(self.records)],
        }
        try:
            with atomic_path(self._path) as path:
                path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                str(self._path),
                f"cannot be written ({error}); it holds the trials before.",
                "Make room, then go on with --resume.",
            ) from error
