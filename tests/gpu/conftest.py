"""The device that the tests of this folder run on.

They want a CUDA device: ``pytest -m gpu``. To try out the tests themselves without one,
``FASTPTY_GPU_TESTS_ON=cpu pytest -m gpu tests/gpu`` runs on the CPU all those that need no streams,
graphs or counters of CUDA.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from fastpty import ops

# Without it torch refuses matrix products where the order of sums is to be fixed. It is read when
# the first product is taken.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture
def device() -> torch.device:
    """Where the tensors are."""
    name = os.environ.get("FASTPTY_GPU_TESTS_ON", "cuda")
    return (
        torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)
    )


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """The same, for a test that nothing but CUDA can run."""
    if device.type != "cuda":
        pytest.skip(f"{device.type} has no streams, graphs or counters of CUDA")
    return device


@pytest.fixture(autouse=True)
def settings_end_with_the_test() -> Iterator[None]:
    """Also a kernel's complaint, which would be raised in the next test."""
    yield
    torch.use_deterministic_algorithms(False)
    ops.set_wave_budget(None)
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("default")
        ops.raise_device_errors()
