"""How this process keeps memory: what one batch has freed, the next one takes again."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have large arrays that are freed stay with the process, where the C library is glibc.

    By itself glibc gives each of more than 32 MiB back to the kernel, which hands out, and clears,
    other pages for the next one. A batch makes some ten arrays of the object's size anew: for a
    large object that is a quarter of the time. The peak of the memory hardly changes; it only is
    given back at the end of the process.

    Returns
    -------
    done : False where there is another C library.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not (hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt")):
        return False
    return bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _LARGEST))
