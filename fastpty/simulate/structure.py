"""Atoms in an orthogonal cell: the built-in SrTiO3, and structure files through ase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.simulate.config import SpecimenConfig
from fastpty.simulate.scattering import MAX_NUMBER, SYMBOLS

__all__ = ["Structure", "displacement_from_b", "load_structure", "read_structure", "srtio3"]

SRTIO3_LATTICE = 3.905  # Angstrom, cubic, room temperature
# Isotropic B at room temperature, Angstrom^2: Abramov, Tsirelson, Zavodnik, Ivanov & Brown,
# Acta Cryst. B51 (1995) 942, to two digits.
SRTIO3_B = {"Sr": 0.62, "Ti": 0.44, "O": 0.71}


def displacement_from_b(b: float) -> float:
    """1-D rms displacement in Angstrom from the Debye-Waller factor ``B = 8 pi^2 u^2``."""
    return math.sqrt(b / (8 * math.pi**2))


@dataclass(frozen=True)
class Structure:
    """Atoms in an orthogonal, periodic cell; the beam goes along +z.

    Attributes
    ----------
    numbers : [N] atomic numbers.
    positions : [N, 3] in Angstrom, ordered (y, x, z); the beam enters at z = 0.
    cell : (ly, lx, lz) in Angstrom.
    displacement : [N] thermal displacement in Angstrom, 1-D rms.

    Raises
    ------
    ValueError : shapes that do not match, or a cell length that is not positive.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: tuple[float, float, float]
    displacement: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.numbers)
        if self.positions.shape != (count, 3) or self.displacement.shape != (count,):
            raise ValueError(
                f"{count} atoms need positions [{count}, 3] and displacement [{count}], got "
                f"{list(self.positions.shape)} and {list(self.displacement.shape)}"
            )
        if not all(math.isfinite(length) and length > 0 for length in self.cell):
            raise ValueError(f"cell lengths must be positive, got {self.cell}")

    def select(self, which: NDArray[Any]) -> Structure:
        """The atoms chosen by a mask or by indices, in the same cell."""
        return Structure(
            self.numbers[which], self.positions[which], self.cell, self.displacement[which]
        )

    def repeated(self, ny: int, nx: int) -> Structure:
        """``ny`` by ``nx`` cells, side by side along (y, x)."""
        steps = np.array([(i * self.cell[0], j * self.cell[1], 0.0)
                          for i in range(ny) for j in range(nx)])  # fmt: skip
        copies = len(steps)
        return Structure(
            np.tile(self.numbers, copies),
            (steps[:, None] + self.positions).reshape(-1, 3),
            (ny * self.cell[0], nx * self.cell[1], self.cell[2]),
            np.tile(self.displacement, copies),
        )

    def padded(self, vacuum: float) -> Structure:
        """The same atoms, ``vacuum`` Angstrom of empty space on each lateral side."""
        return Structure(
            self.numbers,
            self.positions + np.array([vacuum, vacuum, 0.0]),
            (self.cell[0] + 2 * vacuum, self.cell[1] + 2 * vacuum, self.cell[2]),
            self.displacement,
        )

    def fill(self, origin: NDArray[np.float64], extent: NDArray[np.float64]) -> Structure:
        """The endless lateral crystal, cut to a box.

        Parameters
        ----------
        origin, extent : [2] corner and size of the box in Angstrom, (y, x).

        Returns
        -------
        structure : atoms with ``0 <= position < extent``, positions counted from the corner.
        """
        first = np.floor(origin / self.cell[:2]).astype(int)
        copies = np.floor((origin + extent) / self.cell[:2]).astype(int) - first + 1
        tiled = self.repeated(*(int(count) for count in copies))
        lateral = tiled.positions[:, :2] + first * self.cell[:2] - origin
        inside = np.all((lateral >= 0) & (lateral < extent), axis=1)
        return Structure(
            tiled.numbers[inside],
            np.column_stack([lateral, tiled.positions[:, 2]])[inside],
            (float(extent[0]), float(extent[1]), self.cell[2]),
            tiled.displacement[inside],
        )


def srtio3(b: Mapping[str, float] | None = None) -> Structure:
    """One cubic cell of SrTiO3 [001]: Sr at the corners, Ti in the centre, O on the faces.

    Parameters
    ----------
    b : Debye-Waller factors in Angstrom^2 that replace the published ones, by element.
    """
    factors = SRTIO3_B | dict(b or {})
    atoms = [
        ("Sr", (0.0, 0.0, 0.0)), ("O", (0.5, 0.5, 0.0)),
        ("Ti", (0.5, 0.5, 0.5)), ("O", (0.5, 0.0, 0.5)), ("O", (0.0, 0.5, 0.5)),
    ]  # fmt: skip
    return Structure(
        np.array([SYMBOLS.index(symbol) + 1 for symbol, _ in atoms]),
        np.array([place for _, place in atoms]) * SRTIO3_LATTICE,
        (SRTIO3_LATTICE,) * 3,
        np.array([displacement_from_b(factors[symbol]) for symbol, _ in atoms]),
    )


def read_structure(
    path: str | Path, b: Mapping[str, float] | None = None, default_b: float = 0.5
) -> Structure:
    """Read a structure file through ase. Atoms outside the cell are wrapped into it.

    Parameters
    ----------
    path : any format of ``ase.io.read``; of several frames the last is taken.
    b : Debye-Waller factors in Angstrom^2 by element; ``default_b`` for the others.

    Raises
    ------
    DataError : ase is not installed; the file is missing or unreadable; it has no atoms, no
        cell, a cell that is not orthogonal along x, y, z, partial occupancy, or an element
        beyond Lr.
    """
    path = Path(path)
    try:
        import ase.io
    except ImportError as error:
        raise DataError(
            "specimen.structure",
            f"reading {path} needs ase, which is not installed.",
            "Install it with: pip install 'fastpty[structures]'",
        ) from error
    if not path.is_file():
        raise DataError(
            "specimen.structure",
            f"there is no file {path}, and 'SrTiO3' is the only built-in structure.",
            "Check the name.",
        )
    try:
        atoms: Any = ase.io.read(path)
    except Exception as error:  # ase's readers raise whatever their parsers meet
        raise DataError(
            "specimen.structure",
            f"ase cannot read {path} ({type(error).__name__}: {error}).",
            "Give a CIF, extended XYZ or POSCAR file.",
        ) from error
    numbers = np.asarray(atoms.get_atomic_numbers(), dtype=np.int64)
    _check_atoms(path, numbers, atoms.info.get("occupancy"))
    cell = _orthogonal_cell(path, np.asarray(atoms.get_cell(), dtype=np.float64))
    factors = b or {}
    u = [displacement_from_b(factors.get(SYMBOLS[n - 1], default_b)) for n in numbers]
    positions = np.asarray(atoms.get_positions(), dtype=np.float64)[:, [1, 0, 2]]
    return Structure(numbers, _wrap(positions, np.array(cell)), cell, np.array(u))


def load_structure(config: SpecimenConfig) -> Structure:
    """The specimen's cell with its vacuum, one cell thick.

    Errors as in :func:`read_structure`.
    """
    if config.structure == "SrTiO3":
        cell = srtio3(config.debye_waller_B_A2)
    else:
        cell = read_structure(config.structure, config.debye_waller_B_A2, config.default_B_A2)
    return cell.repeated(*config.repeat).padded(config.vacuum_A)


def _check_atoms(path: Path, numbers: NDArray[np.int64], occupancy: Any) -> None:
    if len(numbers) == 0:
        raise DataError("specimen.structure", f"{path} holds no atoms.")
    if numbers.min() < 1 or numbers.max() > MAX_NUMBER:
        raise DataError(
            "specimen.structure",
            f"{path} holds atomic number {int(numbers.max())}; scattering factors end at "
            f"Lr ({MAX_NUMBER}), and dummy atoms (0) have none.",
        )
    sites = (occupancy or {}).values()
    if any(abs(share - 1) > 1e-3 for site in sites for share in site.values()):
        raise DataError(
            "specimen.structure",
            f"{path} has sites with partial occupancy.",
            "Make a supercell whose sites each hold one element.",
        )


def _orthogonal_cell(path: Path, cell: NDArray[np.float64]) -> tuple[float, float, float]:
    """(ly, lx, lz) of a cell whose axes lie along x, y, z."""
    lengths = np.diag(cell)
    if not cell.any():
        raise DataError(
            "specimen.structure", f"{path} gives no cell.", "Extended XYZ has it as Lattice=."
        )
    if np.any(lengths <= 0) or np.abs(cell - np.diag(lengths)).max() > 1e-4 * lengths.max():
        raise DataError(
            "specimen.structure",
            f"the cell of {path} is not orthogonal along x, y, z: {cell.round(3).tolist()}.",
            "Make an orthogonal supercell with the zone axis along z, for example with "
            "ase.build.surface and ase.build.make_supercell.",
        )
    return float(lengths[1]), float(lengths[0]), float(lengths[2])


def _wrap(positions: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Into [0, cell). A hair below the top is the bottom: files round their coordinates."""
    wrapped = np.mod(positions, cell)
    return np.where(wrapped > cell - 1e-4, 0.0, wrapped)
