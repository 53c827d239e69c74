"""What all tests share."""

import os

import pytest
from hypothesis import settings

# Examples take as long as a busy machine makes them; a deadline would fail tests for that.
settings.register_profile("fastpty", deadline=None)
settings.load_profile("fastpty")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip by name what needs a CUDA device and has none; see tests/gpu/conftest.py."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked or os.environ.get("FASTPTY_GPU_TESTS_ON"):
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
