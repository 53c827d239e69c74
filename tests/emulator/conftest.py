"""The extension with the emulated kernels, built once.

FASTPTY_EMULATOR_BUILD=sanitized or races takes another flavour than the fast one, see build.py;
FASTPTY_EMULATOR_CSRC other sources than this checkout's.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.emulator import build


@pytest.fixture(scope="session")
def emulated() -> ModuleType:
    """``_emulated``: what the core has where it was built with CUDA, on the emulator."""
    if build.MISSING is not None:
        pytest.skip(build.MISSING)
    flavour = build.FLAVOURS[os.environ.get("FASTPTY_EMULATOR_BUILD", "fast")]
    csrc = Path(os.environ.get("FASTPTY_EMULATOR_CSRC", build.CSRC))
    return build.load(build.module(csrc=csrc, flavour=flavour))
