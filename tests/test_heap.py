"""Freed memory stays with the process, so that the next array finds its pages there."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from fastpty.heap import keep_freed_memory

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        np.ones(16 << 20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

before = faults()
assert keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_pages_are_not_handed_out_again() -> None:
    """64 MiB each: above what glibc would keep by itself."""
    command = [sys.executable, "-c", FAULTS]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = (int(word) for word in run.stdout.split())
    assert after < before / 4
