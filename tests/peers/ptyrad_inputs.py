"""The inputs of PtyRAD and of fastpty: small, from seeds, the same to the bit everywhere.

Only numpy, so that the script which asks PtyRAD needs no fastpty. Random numbers are uniform ones
of PCG64, and from there on it is sums, products and quotients alone: no function of a mathematics
library, whose last digit may differ between machines. All values are exact in single precision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BATCH",
    "FORWARD",
    "HAIDER",
    "LENS",
    "NUMBERS",
    "PIXEL",
    "RIM",
    "THICKNESS",
    "TRANSFORMED",
    "WAVELENGTH",
    "Case",
    "digest",
    "flat_rim",
    "patterns",
    "state",
    "transformed",
]

NUMBERS = Path(__file__).with_name("ptyrad_numbers.npz")

WAVELENGTH = 0.0196875  # Angstrom; about 300 kV, exact in binary
PIXEL = 0.3125  # Angstrom
THICKNESS = 12.5  # Angstrom
RIM = 3  # px at the edges of the detector, on which a blur would show how it goes on beyond them
BATCH = (4, 0, 3, 1)  # of the positions of a case; not all, and not in order

Arrays = dict[str, NDArray[Any]]

# A probe that both programs make from these. PtyRAD rounds each coefficient's two parts to 0.001
# Angstrom: at these azimuths they are whole.
LENS: dict[str, Any] = {
    "energy_kv": 300.0,
    "semiangle_mrad": 20.0,
    "pixels": 32,
    "pixel_size": PIXEL,
    "aberrations": {
        "defocus": 80.0,
        "C12": 30.0,
        "phi12": 45.0,
        "C21": 500.0,
        "phi21": -90.0,
        "C23": 300.0,
        "phi23": 30.0,
        "Cs": 2.0e4,
        "C34": 1.0e4,
        "phi34": 22.5,
    },
}
# Haider's names, each with the radial order and symmetry of Krivanek's.
HAIDER = {
    "C1": (1, 0), "A1": (1, 2), "B2": (2, 1), "A2": (2, 3), "C3": (3, 0), "S3": (3, 2),
    "A3": (3, 4), "B4": (4, 1), "D4": (4, 3), "A4": (4, 5), "C5": (5, 0), "S5": (5, 2),
    "R5": (5, 4), "A5": (5, 6),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Sizes, and what a fit would move beside object, probe and positions.

    ``tilts``: none, one for all positions, or one for each.
    """

    window: tuple[int, int] = (16, 16)
    slices: int = 3
    modes: int = 2
    object_modes: int = 1
    positions: int = 5
    tilts: str = "none"
    moves_tilt: bool = False
    moves_thickness: bool = False
    blur: float | None = None
    margin: int = 6
    seed: int = 0


# Together they meet each of the five ways in which PtyRAD makes its propagators.
FORWARD = {
    "one slice": Case(slices=1, modes=1),
    "six slices": Case(slices=6, modes=3, moves_thickness=True, seed=1),
    "32 px": Case((32, 32), slices=3, tilts="all", moves_tilt=True, margin=4, seed=2),
    "tilt and thickness": Case(
        slices=4, object_modes=2, tilts="each", moves_tilt=True, moves_thickness=True, seed=3
    ),
    "fixed tilts, rectangular": Case((16, 20), slices=3, tilts="each", seed=4),
    "blurred detector": Case(slices=2, blur=1.0, seed=5),
}

# What constraints act on: a raster of 3 x 4 positions with a tilt each. The window is odd, so that
# the mask in real space has its centre in a pixel.
TRANSFORMED = Case(
    (15, 15), slices=5, modes=3, object_modes=2, positions=12, tilts="each", margin=3, seed=6
)


def _uniform(generator: np.random.Generator, *shape: int, low: float, high: float) -> NDArray[Any]:
    """float64 numbers that float32 holds exactly."""
    values = low + (high - low) * generator.random(shape)
    return values.astype(np.float32).astype(np.float64)


def state(case: Case) -> Arrays:
    """amplitude, phase [No, Nz, Y, X]; probe [M, Ny, Nx]; corner, shift [N, 2]; tilt, occupancy."""
    generator = np.random.Generator(np.random.PCG64(case.seed))
    ny, nx = case.window
    extent = (ny + case.margin, nx + case.margin)
    size = (case.object_modes, case.slices, *extent)
    # Stronger towards the exit, so that there is a centre of mass to move.
    depth = (np.arange(case.slices) + 2.0)[:, None, None] / (case.slices + 2.0)
    phase = depth * _uniform(generator, *size, low=-0.25, high=1.0)
    probe = _uniform(generator, case.modes, ny, nx, 2, low=-1.0, high=1.0)
    y, x = (np.arange(n) - n // 2 for n in (ny, nx))
    rim = np.clip(1 - (2 * y[:, None] / ny) ** 2, 0, 1) * np.clip(1 - (2 * x / nx) ** 2, 0, 1)
    falling = rim**2 / (1 + np.arange(case.modes))[:, None, None]
    place = generator.random((case.positions, 2))
    arrays: Arrays = {
        "amplitude": _uniform(generator, *size, low=0.85, high=1.1),
        "phase": phase,
        "probe": falling[..., None] * probe,
        "corner": np.floor(place * (case.margin + 1)).astype(np.int64),
        "shift": _uniform(generator, case.positions, 2, low=-0.5, high=0.5),
        "occupancy": (1.0 + np.arange(case.object_modes)) / (1 << (case.object_modes)),
    }
    if case.tilts != "none":
        count = 1 if case.tilts == "all" else case.positions
        arrays["tilt"] = _uniform(generator, count, 2, low=-8.0, high=8.0)
    for name in ("phase", "probe"):
        arrays[name] = arrays[name].astype(np.float32).astype(np.float64)
    arrays["probe"] = arrays["probe"][..., 0] + 1j * arrays["probe"][..., 1]
    return arrays


def transformed() -> Arrays:
    """What the constraints get: the strongest mode first, and a drift in the positions."""
    arrays = state(TRANSFORMED)
    arrays["shift"] = arrays["shift"] + np.array([0.125, -0.0625])
    return arrays


def patterns() -> tuple[NDArray[Any], NDArray[Any]]:
    """Simulated and measured [4, 8, 8], with dark pixels in each."""
    generator = np.random.Generator(np.random.PCG64(7))
    square = np.square(_uniform(generator, 2, 4, 8, 8, low=0.0, high=1.0))
    simulated, measured = square * square  # few bright pixels, many dark ones
    simulated[1, :, 2] = 0
    measured[0, 1] = 0
    simulated, measured = (a.astype(np.float32).astype(np.float64) for a in (simulated, measured))
    return simulated, measured


def flat_rim() -> Arrays:
    """Amplitude and phase [2, 4, 16, 16] that do not vary within 4 pixels of the edges: how a blur
    goes on beyond them makes no difference."""
    generator = np.random.Generator(np.random.PCG64(8))
    arrays: Arrays = {}
    for name, low, high in (("amplitude", 0.9, 1.1), ("phase", 0.0, 1.0)):
        volume = np.ones((2, 4, 16, 16)) * np.array([low, high])[:, None, None, None]
        volume[:, :, 4:-4, 4:-4] = _uniform(generator, 2, 4, 8, 8, low=low, high=high)
        arrays[name] = volume.astype(np.float32).astype(np.float64)
    return arrays


def digest() -> str:
    """Of all inputs: the numbers belong to these and no others."""
    total = hashlib.sha256()
    everything: dict[str, Mapping[str, NDArray[Any]]] = {
        **{name: state(case) for name, case in FORWARD.items()},
        "transformed": transformed(),
        "patterns": dict(zip(("simulated", "measured"), patterns(), strict=True)),
        "flat rim": flat_rim(),
    }
    for group in sorted(everything):
        for name in sorted(everything[group]):
            total.update(f"{group}/{name}".encode())
            total.update(np.ascontiguousarray(everything[group][name]).tobytes())
    return total.hexdigest()
