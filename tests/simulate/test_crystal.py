"""The crystal method: against the windows, and what only it must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from fastpty.errors import ConfigError
from fastpty.optics import electron_wavelength, interaction_parameter
from fastpty.simulate import SimulateConfig, simulate
from fastpty.simulate.crystal import add_crystal_patterns, scatter
from fastpty.simulate.fourd import add_patterns, prepare_optics
from fastpty.simulate.geometry import lay_out
from fastpty.simulate.potential import smeared_slices, transmission_function
from fastpty.simulate.structure import srtio3
from tests.simulate.conftest import MakeConfig
from tests.tolerances import bound

A = 3.905  # lattice parameter of SrTiO3, Angstrom
THICK = {"thickness_A": 4 * A}


def patterns(config: SimulateConfig, folder: Path) -> NDArray[np.float64]:
    with h5py.File(simulate(config, folder / "a.h5")) as file:
        return np.asarray(file["data"][()], dtype=np.float64)


def both(make_config: MakeConfig, folder: Path, **changes: Any) -> list[NDArray[np.float64]]:
    """Patterns by windows and by the crystal method."""
    grid = changes.pop("grid", {})
    return [
        patterns(make_config(grid={**grid, "method": method}, **changes), folder)
        for method in ("window", "crystal")
    ]


def difference(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(first - second) / np.linalg.norm(first))


@pytest.mark.parametrize("lens", [{}, {"defocus_A": 25.0, "aberrations": {"C12": 20.0}}])
def test_in_a_window_of_whole_cells_both_are_the_same(
    make_config: MakeConfig, lens: dict[str, Any]
) -> None:
    """Four cells of 32 fine pixels: nothing is cut, and both sum over the same frequencies."""
    step = 2 / (4 * A)  # detector pixel; the window is oversample / step wide
    config = make_config(
        specimen={**THICK, "tilt_mrad": (12.0, -7.0)},
        optics={"source_fwhm_A": 0.3, **lens},
        detector={"max_angle_mrad": 1e3 * electron_wavelength(300.0) * step * 16},
    )
    positions = np.random.default_rng(0).uniform(-A, 2 * A, (5, 2))
    crystal = np.zeros((5, 32, 32), np.float32)
    add_crystal_patterns(crystal, scatter(config, srtio3(), 4), config, positions)

    geometry = lay_out(config, positions)
    first = np.rint(geometry.origin / geometry.fine_pixel).astype(int)
    rows, columns = ((first[axis] + np.arange(geometry.fine_shape[axis])) % 32 for axis in (0, 1))
    place = np.ix_(rows, columns)
    layers = smeared_slices(srtio3(), 2.0, (32, 32), A / 32)
    sigma = interaction_parameter(300.0)
    slices = [transmission_function(layer, sigma, A / 32)[place].contiguous() for layer in layers]
    window = np.zeros((5, 32, 32), np.float32)
    add_patterns(window, prepare_optics(config, A / 2), slices * 4, geometry)
    assert difference(window, crystal) < bound("single torch")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"grid": {"oversample": 3}},
        {"grid": {"oversample": 1}, "detector": {"pixels": 64}},
        {"detector": {"pixels": 33}},
        {"specimen": {**THICK, "repeat": (1, 2)}},
        {"optics": {"defocus_A": 20.0, "source_fwhm_A": 0.4}},
    ],
    ids=["plain", "oversample 3", "oversample 1", "odd", "cell that is not square", "source"],
)
def test_other_windows_cut_little(
    make_config: MakeConfig, tmp_path: Path, changes: dict[str, Any]
) -> None:
    window, crystal = both(make_config, tmp_path, **{"specimen": THICK, **changes})
    assert difference(window, crystal) < bound("window")


def test_the_crystal_is_periodic_to_rounding(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(
        specimen=THICK, scan={"shape": (2, 3), "step_A": (A, 5 * A)}, grid={"method": "crystal"}
    )
    found = patterns(config, tmp_path)
    for line in found:
        for pattern in line:
            assert difference(found[0, 0], pattern) < bound("single torch")


def test_counts_and_truth_are_those_of_the_windows(make_config: MakeConfig, tmp_path: Path) -> None:
    """All that does not depend on the patterns is the same to the bit."""
    files = []
    for method in ("window", "crystal"):
        config = make_config(
            grid={"method": method}, detector={"dose_e_per_A2": 1e4}, scan={"jitter_A": 0.1}
        )
        files.append(h5py.File(simulate(config, tmp_path / f"{method}.h5")))
    window, crystal = files
    for name in ("positions_A", "truth/positions_px", "truth/probe"):
        np.testing.assert_array_equal(window[name], crystal[name])
    np.testing.assert_allclose(window["truth/phase"], crystal["truth/phase"], atol=1e-6)
    assert crystal["data"].dtype == np.uint16
    np.testing.assert_allclose(*(np.sum(file["data"], dtype=float) for file in files), rtol=1e-2)


def test_progress_counts_frequencies_and_patterns(make_config: MakeConfig, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate(
        make_config(grid={"method": "crystal"}),
        tmp_path / "a.h5",
        lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (65**2 + 12,) * 2


def test_any_depth_of_crystal_fits(make_config: MakeConfig, tmp_path: Path) -> None:
    """There is no window that the probe could leave."""
    config = make_config(
        specimen={"thickness_A": None}, optics={"defocus_A": 900.0}, grid={"method": "crystal"}
    )
    assert patterns(config, tmp_path).sum(axis=(2, 3)).min() > 0.99


def test_moving_atoms_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"grid\.method: crystal needs cells .* frozen_phonons"):
        make_config(grid={"method": "crystal"}, specimen={"frozen_phonons": 1})


def test_a_cell_that_is_too_large_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(grid={"method": "crystal"}, specimen={"vacuum_A": 300.0})
    with pytest.raises(ConfigError, match=r"memory_limit_GiB: .* method: window needs no more"):
        simulate(config, tmp_path / "a.h5")
