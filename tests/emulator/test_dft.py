"""The transforms in registers, csrc/cuda/dft.cuh, against the explicit sum."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from tests.emulator import build
from tests.tolerances import tolerance

pytestmark = pytest.mark.skipif(build.MISSING is not None, reason=str(build.MISSING))

POINTS = [2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 27, 30, 32]


@pytest.fixture(scope="module")
def errors() -> dict[tuple[int, int], float]:
    """By number of points and direction."""
    program = build.program(Path(__file__).parent / "kernels" / "transforms.cu")
    lines = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    return {
        (int(points), int(direction)): float(error)
        for points, direction, error in (line.split() for line in lines.splitlines())
    }


def test_all_are_there(errors: dict[tuple[int, int], float]) -> None:
    assert sorted(errors) == [(points, direction) for points in POINTS for direction in (-1, 1)]


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("points", POINTS)
def test_explicit_sum(errors: dict[tuple[int, int], float], points: int, direction: int) -> None:
    assert errors[points, direction] < tolerance("product", torch.float32)["rtol"]
