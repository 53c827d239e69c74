"""Low-dose cryo electron ptychography of rotavirus particles (configs/rotavirus.yaml)."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy import ndimage

from fastpty.figures.crop import scanned_area, well_lit
from fastpty.metrics import brightest_above_darkest, remove_plane
from fastpty.results import Results

pytestmark = pytest.mark.slow

FILE = "rotavirus_crop_64x64x128x128_u8.h5"


@pytest.fixture(scope="module")
def virus(reconstruct) -> Results:
    return reconstruct("rotavirus")


@pytest.fixture(scope="module")
def halves(reconstruct, measured_file, tmp_path_factory) -> list[Results]:
    """Two reconstructions from the two colours of a chessboard of positions."""
    source = measured_file(FILE)
    folder = tmp_path_factory.mktemp("halves")
    results = []
    for colour in (0, 1):
        path = folder / f"half{colour}.h5"
        with h5py.File(source) as file, h5py.File(path, "w") as half:
            slow, fast = file["data"].shape[:2]
            chosen = np.add.outer(np.arange(slow), np.arange(fast)).ravel() % 2 == colour
            patterns = file["data"][()].reshape(-1, *file["data"].shape[2:])
            # The corner positions stay in both halves, so that both get the same canvas.
            chosen[[0, fast - 1, -fast, -1]] = True
            half["data"], half["positions_A"] = patterns[chosen], file["positions_A"][()][chosen]
        results.append(
            reconstruct(
                "rotavirus",
                f"data.path={path}",
                f"scan.positions.path={path}",
                "optimise.batch_size=32",
            )
        )
    return results


def lit_phase(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """(phase without its plane, where it is well lit) in the scanned area."""
    area = scanned_area(results)
    phase = remove_plane(results.phase[0].sum(axis=0)[area])
    return phase, ndimage.binary_erosion(well_lit(results)[area], iterations=4)


def test_the_model_explains_the_patterns(virus: Results) -> None:
    assert virus.r_factor is not None
    assert virus.r_factor < 0.22  # of which counting noise alone makes most


def test_gold_is_positive(virus: Results) -> None:
    """The brightest 0.2 % lie further above the median than the darkest 0.2 % below it: the
    twin image would have it the other way round."""
    phase, lit = lit_phase(virus)
    tails = brightest_above_darkest(phase[lit])
    assert tails.above > 1.5 * tails.below


def test_independent_halves_show_the_same_particles(halves: list[Results]) -> None:
    """Spikes and shells are 50 to 200 A wide; noise would not be the same in both halves."""
    bands = []
    for results in halves:
        phase, lit = lit_phase(results)
        pixel = results.pixel_size[0]
        # Gaussian band pass: sigma of 20 A against sigma of 100 A.
        band = ndimage.gaussian_filter(phase, 20 / pixel)
        band -= ndimage.gaussian_filter(phase, 100 / pixel)
        bands.append((band, lit))
    both = bands[0][1] & bands[1][1]
    # Gold is left out: a few bright beads would correlate whatever the rest does.
    faint = both & (np.abs(bands[0][0] - np.median(bands[0][0][both])) < 0.1)
    correlation = np.corrcoef(bands[0][0][faint], bands[1][0][faint])[0, 1]
    assert correlation > 0.5
