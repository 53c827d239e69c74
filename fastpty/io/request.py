"""What is asked of a reader: a path, and what the user says about the file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """A file or folder, and the fields of the config's ``data`` section that were given.

    Parameters
    ----------
    dataset : path inside a file of several arrays.
    scan_shape : (slow, fast).
    scan_mismatch : what to do when the patterns do not fill the scan; None is "refuse".
    skip : patterns before the first of the scan.
    flyback : patterns between the rows of the scan.
    axes : the file's axes in its order, of ``n, y, x`` or ``slow, fast, y, x``.
    pattern_shape : (Ny, Nx) in a file without a header.
    dtype : numpy's name of a value in it.
    offset, gap : bytes before the first pattern, and between patterns.
    """

    path: Path
    dataset: str | None = None
    scan_shape: tuple[int, int] | None = None
    scan_mismatch: Literal["refuse", "crop"] | None = None
    skip: int | None = None
    flyback: int | None = None
    axes: tuple[str, ...] | None = None
    pattern_shape: tuple[int, int] | None = None
    dtype: str | None = None
    offset: int | None = None
    gap: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The fields that the user gave."""
        content = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        return {name: value for name, value in content.items() if value is not None}

    @property
    def crop(self) -> bool:
        """Whether a remainder that fills no pattern or row may be left out."""
        return self.scan_mismatch == "crop"
