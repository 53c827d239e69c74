"""The kernels of every family in builds that look closer: sanitizers, and races.h.

Other tests run again, on fewer sizes and in a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator import build
from tests.emulator.changed import ONE_SIZE, copy_of_sources

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(build.MISSING is not None, reason=str(build.MISSING)),
]

TESTS = [
    "test_every_schedule[forward-(48, 32)]",
    "test_every_schedule[random-(64, 64)]",
    "test_every_schedule[reverse-(256, 256)]",
    "test_every_input[(32, 48)-pair-thickness per gap-3]",
    "test_every_input[(64, 64)-complex-thickness per gap-3]",
    "test_waves_computed_anew_are_the_same[2-(64, 64)]",
    "test_deterministic[(32, 48)-pair]",
]


@pytest.mark.parametrize("flavour", ["sanitized", "races"])
def test_kernels_in(flavour: str, tmp_path: Path) -> None:
    csrc = copy_of_sources(tmp_path, ONE_SIZE)
    build.module(csrc=csrc, flavour=build.FLAVOURS[flavour])  # not where the sanitizers' library is
    environment = {
        **os.environ,
        **build.FLAVOURS[flavour].environment(),
        "FASTPTY_EMULATOR_CSRC": str(csrc),
        "FASTPTY_EMULATOR_BUILD": flavour,
    }
    tests = [f"tests/emulator/test_multislice_intensity.py::{name}" for name in TESTS]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:benchmark", "-p", "no:xdist", *tests],
        env=environment,
        cwd=build.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
