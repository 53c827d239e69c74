"""The most memory that this process has held; for tests that start one of their own."""

from __future__ import annotations

from pathlib import Path

__all__ = ["peak_memory"]


def peak_memory() -> int:
    """Bytes, on Linux.

    Not getrusage's: that figure begins with the peak of the process that started this one, so that
    what a small child of a large test session takes would not show.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")
