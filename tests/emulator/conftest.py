"""The extension with the emulated kernels, built once."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.emulator import build


@pytest.fixture(scope="session")
def emulated() -> ModuleType:
    """``_emulated``: what the core has where it was built with CUDA, on the emulator."""
    if build.MISSING is not None:
        pytest.skip(build.MISSING)
    return build.load(build.module())
