"""Atoms: the built-in crystal, tiling, structure files."""

import sys

import ase
import ase.io
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.simulate.config import SpecimenConfig
from fastpty.simulate.structure import (
    Structure,
    displacement_from_b,
    load_structure,
    read_structure,
    srtio3,
)


def nearest(structure, first, second):
    """Shortest distance between two elements, periodic images included."""
    wide = structure.repeated(3, 3)
    a = structure.positions[structure.numbers == first] + [3.905, 3.905, 0]
    b = wide.positions[wide.numbers == second]
    distance = np.linalg.norm(a[:, None] - b, axis=-1)
    return distance[distance > 1e-6].min()


@pytest.fixture
def crystal_file(tmp_path):
    """Write atoms to a file and return its name."""

    def write(atoms, name="crystal.xyz"):
        path = tmp_path / name
        ase.io.write(path, atoms)
        return path

    return write


def test_srtio3_bond_lengths():
    cell = srtio3()
    assert nearest(cell, 22, 8) == pytest.approx(3.905 / 2)
    assert nearest(cell, 38, 8) == pytest.approx(3.905 / np.sqrt(2))


def test_srtio3_is_stoichiometric():
    assert sorted(srtio3().numbers) == [8, 8, 8, 22, 38]


def test_srtio3_displacements_are_those_of_the_published_b():
    np.testing.assert_allclose(
        8 * np.pi**2 * srtio3().displacement ** 2, [0.62, 0.71, 0.44, 0.71, 0.71]
    )


def test_given_b_goes_before_the_published_one():
    cell = load_structure(SpecimenConfig(debye_waller_B_A2={"Ti": 1.0}))
    assert cell.displacement[cell.numbers == 22] == pytest.approx(displacement_from_b(1.0))
    assert cell.displacement[cell.numbers == 38] == pytest.approx(displacement_from_b(0.62))


def test_fill_holds_every_atom_of_the_crystal_in_the_box():
    cell = srtio3()
    filled = cell.fill(np.array([-5.1, 7.3]), 4 * np.array(cell.cell[:2]))
    assert len(filled.numbers) == 16 * 5


def test_fill_counts_positions_from_the_corner_of_the_box():
    origin = np.array([-5.1, 7.3])
    filled = srtio3().fill(origin, np.array([12.0, 9.0]))
    strontium = filled.positions[filled.numbers == 38, :2] + origin
    cells = strontium / 3.905
    np.testing.assert_allclose(cells, np.rint(cells), atol=1e-9)


def test_vacuum_surrounds_the_repeated_specimen():
    cell = load_structure(SpecimenConfig(repeat=(2, 3), vacuum_A=5.0))
    assert cell.cell == pytest.approx((2 * 3.905 + 10, 3 * 3.905 + 10, 3.905))
    assert cell.positions[:, :2].min() == pytest.approx(5.0)


def test_structure_files_come_in_y_x_z_order(crystal_file):
    atoms = ase.Atoms("AuO", positions=[(1, 2, 3), (0.5, 0.25, 0)], cell=(4, 5, 6), pbc=True)
    cell = read_structure(crystal_file(atoms))
    assert cell.cell == (5, 4, 6)
    np.testing.assert_allclose(cell.positions, [(2, 1, 3), (0.25, 0.5, 0)])


def test_structure_files_take_their_b_by_element(crystal_file):
    atoms = ase.Atoms("AuO", positions=[(1, 2, 3), (0, 0, 0)], cell=(4, 5, 6), pbc=True)
    cell = read_structure(crystal_file(atoms), {"Au": 0.9}, 0.3)
    np.testing.assert_allclose(8 * np.pi**2 * cell.displacement**2, [0.9, 0.3])


def test_cif_files_are_read(crystal_file):
    atoms = ase.Atoms("AuO", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=(4, 5, 6), pbc=1)
    cell = read_structure(crystal_file(atoms, "crystal.cif"))
    np.testing.assert_allclose(cell.positions, [(0, 0, 0), (2.5, 2, 3)], atol=1e-6)


def test_atoms_outside_the_cell_are_wrapped(crystal_file):
    atoms = ase.Atoms("Au2", positions=[(-1, 2, 6.5), (0, 5 - 1e-5, 0)], cell=(4, 5, 6), pbc=True)
    cell = read_structure(crystal_file(atoms))
    np.testing.assert_allclose(cell.positions, [(2, 3, 0.5), (0, 0, 0)], atol=1e-8)


def test_refuses_a_missing_file():
    with pytest.raises(DataError, match=r"no file nowhere\.cif.*'SrTiO3' is the only built-in"):
        read_structure("nowhere.cif")


def test_refuses_a_file_that_ase_cannot_read(tmp_path):
    path = tmp_path / "broken.cif"
    path.write_text("this is no crystal")
    with pytest.raises(DataError, match=r"ase cannot read .*broken\.cif"):
        read_structure(path)


def test_refuses_a_cell_that_is_not_orthogonal(crystal_file):
    cell = [(4, 0, 0), (1, 5, 0), (0, 0, 6)]
    with pytest.raises(DataError, match="not orthogonal along x, y, z"):
        read_structure(crystal_file(ase.Atoms("Au", cell=cell, pbc=True)))


def test_refuses_a_molecule_without_a_cell(crystal_file):
    with pytest.raises(DataError, match="gives no cell"):
        read_structure(crystal_file(ase.Atoms("Au")))


def test_refuses_partial_occupancy(tmp_path):
    path = tmp_path / "mixed.cif"
    path.write_text(
        "data_mixed\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n"
        "_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "_atom_site_occupancy\nSr 0 0 0 0.5\nBa 0 0 0 0.5\n"
    )
    with pytest.raises(DataError, match="partial occupancy"):
        read_structure(path)


def test_names_the_extra_when_ase_is_missing(monkeypatch, crystal_file):
    path = crystal_file(ase.Atoms("Au", cell=(4, 5, 6), pbc=True))
    monkeypatch.setitem(sys.modules, "ase.io", None)
    with pytest.raises(DataError, match=r"pip install 'fastpty\[structures\]'"):
        read_structure(path)


def test_refuses_arrays_that_do_not_match():
    with pytest.raises(ValueError, match=r"2 atoms need positions \[2, 3\]"):
        Structure(np.array([1, 2]), np.zeros((1, 3)), (1.0, 1.0, 1.0), np.zeros(2))


def test_refuses_a_flat_cell():
    with pytest.raises(ValueError, match="cell lengths must be positive"):
        Structure(np.array([1]), np.zeros((1, 3)), (1.0, 0.0, 1.0), np.zeros(1))
