"""PtyRAD's numbers, and fastpty's model of the same inputs."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from fastpty.model import Model
from tests.multislice_cases import relative
from tests.peers.ptyrad_inputs import (
    NUMBERS,
    PIXEL,
    THICKNESS,
    WAVELENGTH,
    Arrays,
    digest,
)
from tests.tolerances import bound

__all__ = ["OPTICS", "assert_agrees", "complex_of", "model_of", "ptyrad", "tensors"]

OPTICS = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}


@cache
def _stored() -> Arrays:
    with np.load(NUMBERS) as file:
        stored = dict(file)
    made_for, now = str(stored["digest"]), digest()
    assert made_for == now, (
        f"{NUMBERS.name} was made for other inputs (digest {made_for}) than ptyrad_inputs.py gives "
        f"({now}): run python -m tests.peers.make_ptyrad_numbers"
    )
    return stored


def ptyrad(group: str) -> dict[str, torch.Tensor]:
    """PtyRAD's numbers of a group, such as ``loss/single``, by their names in it."""
    found = {
        name.removeprefix(f"{group}/"): torch.from_numpy(array)
        for name, array in _stored().items()
        if name == group or name.startswith(f"{group}/")
    }
    assert found, f"no numbers are stored for {group}"
    return found


def tensors(arrays: Arrays, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Inputs in a precision, by name; the corners stay whole numbers."""
    found = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {
        name: t.to(dtype.to_complex() if t.is_complex() else dtype) if name != "corner" else t
        for name, t in found.items()
    }


def complex_of(pair: torch.Tensor) -> torch.Tensor:
    """Of real and imaginary part along the last axis, as PtyRAD keeps its probe."""
    return torch.view_as_complex(pair.contiguous())


def model_of(arrays: Arrays, scan_shape: tuple[int, int] | None = None) -> Model:
    """In double precision. Positions begin at their corners, as PtyRAD has it."""
    given = tensors(arrays)
    power = float(given["probe"].abs().square().sum())
    return Model(
        amplitude=given["amplitude"],
        phase=given["phase"],
        probe=given["probe"],
        corner=given["corner"],
        shift=given["shift"],
        positions_start=arrays["corner"].astype(np.float64),
        power_start=0.5 * power,  # as in the script: else there is nothing to restore
        thickness=torch.tensor(THICKNESS, dtype=torch.float64),
        tilt=given.get("tilt"),
        wavelength=WAVELENGTH,
        pixel_size=(PIXEL, PIXEL),
        occupancy=given["occupancy"],
        scan_shape=scan_shape,
    )


def assert_agrees(actual: torch.Tensor, expected: torch.Tensor, kind: str, name: str = "") -> None:
    """The 2-norm of the difference, relative to that of the expected."""
    assert actual.shape == expected.shape, name
    distance = relative(actual, expected)
    assert distance < bound(kind), f"{name}: {distance:.2g}"
