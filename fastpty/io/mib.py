"""Merlin (Medipix3) MIB files: a text header before every frame.

Fields of the header, separated by commas: ``MQ1``, number of the frame, bytes of the header,
number of chips, width, height, type (U08, U16, U32: pixels, big-endian; R64: the chip's own
order), layout of the chips (1x1, 2x2, 2x2G, ...), chips in use, time, exposure in s, counter,
colour, gain, thresholds, then DACs of each chip; at its end ``MQ1A``, time, exposure in ns, bits
per pixel; zeros up to its length. (Quantum Detectors, Merlin user manual; the same fields are read
by LiberTEM, pyXem and RosettaSciIO.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.files import natural_key, starts_with
from fastpty.io.frames import Frames, count_frames
from fastpty.io.mib_raw import RAW_TYPES, decode_raw
from fastpty.io.parts import Parts
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request

__all__ = ["open_mib", "recognises"]

_FIRST = 1024  # more than the longest part of a header that is read here
_PIXELS = {"U08": "u1", "U16": ">u2", "U32": ">u4"}


def recognises(path: Path) -> bool:
    """True for a frame's header, or the text file that goes with a sequence."""
    return starts_with(path, b"MQ1,") or starts_with(path, b"HDR,")


@dataclass(frozen=True)
class _Header:
    size: int
    sequence: int
    chips: int
    shape: tuple[int, int]  # of the pattern
    kind: str
    layout: str
    bits: int
    exposure_ms: float | None

    @property
    def raw(self) -> bool:
        return self.kind == "R64"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(RAW_TYPES[self.bits] if self.raw else _PIXELS[self.kind])

    @property
    def body(self) -> int:
        """Bytes of a frame after its header."""
        values = self.shape[0] * self.shape[1]
        # 24 bits are two frames of 12 bits, which take two bytes each.
        return values // 8 if self.raw and self.bits == 1 else values * self.dtype.itemsize


def open_mib(request: Request) -> RawScan:
    """Patterns as they lie in the file; the first row of the file is the first row.

    A ``.hdr`` file stands for all ``.mib`` files that share its name, a ``.mib`` file for itself.

    Raises
    ------
    DataError : no header, a layout that is not documented, or no whole number of frames.
    """
    path = request.path
    notes = path if starts_with(path, b"HDR,") else path.with_suffix(".hdr")
    files = _sequence(path) if notes == path else [path]
    headers = [_read_header(file) for file in files]
    if len(files) > 1:
        files, headers = _in_order(files, headers)
    first = headers[0]
    for file, header in zip(files, headers, strict=True):
        if (header.shape, header.kind, header.bits) != (first.shape, first.kind, first.bits):
            raise DataError(
                file.name,
                f"holds frames of {header.shape} {header.kind} of {header.bits} bits, but "
                f"{files[0].name} of {first.shape} {first.kind} of {first.bits} bits.",
                "Are both of one scan?",
            )
    counts = [
        _count(file, header, request.crop and file is files[-1])
        for file, header in zip(files, headers, strict=True)
    ]

    def read(part: int, start: int, stop: int) -> NDArray[Any]:
        return _read(files[part], headers[part], start, stop)

    parts = Parts(counts, read)
    metadata: dict[str, Any] = {"detector": "Merlin", "bit_depth": first.bits}
    if first.exposure_ms is not None:
        metadata["exposure_ms"] = first.exposure_ms
    hint = _scan_of_notes(notes) if notes.is_file() else None
    return RawScan(
        path.name,
        (len(parts), *first.shape),
        first.dtype,
        parts.read,
        metadata=metadata,
        scan_hint=hint,
    )


def _read(path: Path, header: _Header, start: int, stop: int) -> NDArray[Any]:
    stride = header.size + header.body
    if not header.raw:
        return Frames(path, header.shape, header.dtype, header.size, stride).read(start, stop)
    words = Frames(path, (header.body // 8,), np.dtype(">u8"), header.size, stride)
    return decode_raw(words.read(start, stop), header.shape, header.bits, header.chips)


def _count(path: Path, header: _Header, crop: bool) -> int:
    count = count_frames(
        path,
        f"Merlin {header.shape[0]} x {header.shape[1]} {header.kind}",
        header.size + header.body,
        "Is the file complete? For what an interrupted scan left, set data.scan_mismatch to crop.",
        crop=crop,
    )
    with path.open("rb") as stream:
        stream.seek((count - 1) * (header.size + header.body))
        if stream.read(4) != b"MQ1,":
            raise DataError(
                path.name,
                f"has no Merlin header where frame {count - 1} should begin.",
                "Its frames differ in size, or it is damaged.",
            )
    return count


def _read_header(path: Path) -> _Header:
    with path.open("rb") as stream:
        content = stream.read(_FIRST)
        if not content.startswith(b"MQ1,"):
            raise DataError(path.name, "has no Merlin header.", "Is it a MIB file?")
        fields = content.split(b",")
        size = _whole(path, fields, 2, "size of the header")
        stream.seek(0)
        content = stream.read(size)
    text = content.split(b"\0")[0].decode("ascii", errors="replace")
    parts = [part.strip() for part in text.split(",")]
    if len(content) < size or len(parts) < 10:
        raise DataError(path.name, f"is cut: its header has {size} bytes, the file {len(content)}.")
    chips = _whole(path, fields, 3, "number of chips")
    width, height = (_whole(path, fields, i, name) for i, name in ((4, "width"), (5, "height")))
    kind, layout = parts[6], parts[7].removesuffix("G")
    bits = int(parts[-1]) if parts[-1].isdigit() else 0
    exposure = _exposure_ms(parts)
    shape = (height, width)
    if kind == "R64":
        shape = _raw_shape(path, shape, bits, chips, layout)
    elif kind not in _PIXELS:
        known = ", ".join([*_PIXELS, "R64"])
        raise DataError(path.name, f"holds Merlin frames of type {kind!r}.", f"Known: {known}.")
    sequence = _whole(path, fields, 1, "number of the frame")
    return _Header(size, sequence, chips, shape, kind, layout, bits, exposure)


def _raw_shape(
    path: Path, shape: tuple[int, int], bits: int, chips: int, layout: str
) -> tuple[int, int]:
    """Of the pattern; the header counts the pixels as they lie in the file."""
    height, width = shape
    if bits not in RAW_TYPES:
        known = ", ".join(map(str, RAW_TYPES))
        raise DataError(path.name, f"holds raw Merlin frames of {bits} bits.", f"Known: {known}.")
    if width * {1: 1, 6: 8}.get(bits, 16) % 64:
        raise DataError(
            path.name,
            f"holds raw Merlin rows of {width} pixels of {bits} bits, no whole number of 64-bit "
            "words.",
            "Is the header damaged?",
        )
    if chips == 1 and layout == "1x1":
        return (height, width // 2) if bits == 24 else shape
    if chips == 4 and layout == "2x2" and bits != 24 and width == 4 * height:
        return 2 * height, 2 * height
    raise DataError(
        path.name,
        f"holds raw Merlin frames of {chips} chips, layout {layout}, {bits} bits, "
        f"{height} x {width}, whose order is not documented publicly.",
        "Export it as U16 or U32 with the detector's software.",
    )


def _whole(path: Path, fields: list[bytes], index: int, meaning: str) -> int:
    text = fields[index].strip() if index < len(fields) else b""
    if not text.isdigit() or (index != 1 and int(text) == 0):
        raise DataError(
            path.name,
            f"has a Merlin header whose field {index}, {meaning}, is {text.decode('latin1')!r}.",
            "Is the file damaged?",
        )
    return int(text)


def _exposure_ms(parts: list[str]) -> float | None:
    for part in parts[-4:]:
        if found := re.fullmatch(r"(\d+)ns", part):
            return int(found[1]) / 1e6
    try:
        return float(parts[10]) * 1e3
    except (IndexError, ValueError):
        return None


def _sequence(notes: Path) -> list[Path]:
    stem = re.compile(re.escape(notes.stem) + r"_?\d*", re.IGNORECASE)
    files = [
        path
        for path in notes.parent.iterdir()
        if path.suffix.lower() == ".mib" and stem.fullmatch(path.stem)
    ]
    if not files:
        raise DataError(
            notes.name, f"goes with {notes.stem}*.mib, but there is no such file beside it."
        )
    return sorted(files, key=natural_key)


def _in_order(files: list[Path], headers: list[_Header]) -> tuple[list[Path], list[_Header]]:
    order = sorted(range(len(files)), key=lambda i: headers[i].sequence)
    return [files[i] for i in order], [headers[i] for i in order]


def _scan_of_notes(path: Path) -> tuple[int, int] | None:
    """From the lines ``name:<tab>value`` of the .hdr file; None where it was no line scan."""
    values: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition("\t")
        if value.strip().isdigit():
            values[name.strip().rstrip(":")] = int(value)
    slow, fast = values.get("ScanY", 0), values.get("ScanX", 0)
    if not (slow and fast):
        fast = values.get("Frames per Trigger (Number)", 0)
        slow = values.get("Frames in Acquisition (Number)", 0) // fast if fast > 1 else 0
    return (slow, fast) if slow and fast else None
