"""What a conversion leaves: native fields, where each came from, and what is to be known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Native", "Note"]


@dataclass(frozen=True)
class Note:
    """What became of a field of PtyRAD's that has no exact counterpart."""

    field: str
    text: str


@dataclass
class Native:
    """A native config on its way.

    Parameters
    ----------
    content : nested, as :class:`fastpty.config.ReconConfig` reads it.
    origins : dotted native field -> the field of PtyRAD's that decided it.
    notes : in the order in which they were found.
    """

    content: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def put(self, path: str, value: Any, origin: str) -> None:
        """Set a dotted native field."""
        *parents, name = path.split(".")
        section = self.content
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
        self.origins[path] = origin

    def note(self, origin: str, text: str) -> None:
        """Say what the user should know about a field of PtyRAD's."""
        self.notes.append(Note(origin, text))

    def origin_of(self, path: str) -> str | None:
        """The field of PtyRAD's behind a native field: its own, or that of what it is part of."""
        parts = path.split(".")
        for count in range(len(parts), 0, -1):
            if (name := ".".join(parts[:count])) in self.origins:
                return self.origins[name]
        return None
