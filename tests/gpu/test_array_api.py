"""The ops for cupy's arrays: on the device, on cupy's stream, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastpty import array_api
from tests.test_array_api import CALLS, OPTICS, each, settings
from tests.tolerances import bound

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy(cuda: torch.device) -> Any:
    return pytest.importorskip("cupy", reason="is the library under test")


@pytest.mark.parametrize("name", CALLS)
def test_values_are_those_of_the_host(cupy: Any, name: str) -> None:
    op = getattr(array_api, name)
    with cupy.cuda.Stream(non_blocking=True):
        found = op(*each(cupy.asarray, CALLS[name]), **settings(name))
        assert isinstance(found, cupy.ndarray)
        values = cupy.asnumpy(found)
    expected = op(*CALLS[name], **settings(name))
    error = np.linalg.norm(values - expected) / np.linalg.norm(expected)
    assert error < bound("single torch")


def test_gradients_come_as_cupys_arrays(cupy: Any) -> None:
    arguments = CALLS["multislice_intensity"]
    upstream = np.ones((2, 32, 32), np.float32)
    _, pullback = array_api.vjp(array_api.multislice_intensity, *arguments, **OPTICS)
    expected, *_ = pullback(upstream)
    _, pullback = array_api.vjp(
        array_api.multislice_intensity, *each(cupy.asarray, arguments), **OPTICS
    )
    found, *_ = pullback(cupy.asarray(upstream))
    assert isinstance(found, cupy.ndarray)
    error = np.linalg.norm(cupy.asnumpy(found) - expected) / np.linalg.norm(expected)
    assert error < bound("single gradient")


def test_memory_is_shared(cupy: Any) -> None:
    array = cupy.zeros(3)
    array_api.to_torch(array)[1] = 5
    torch.cuda.synchronize()
    assert float(array[1]) == 5
