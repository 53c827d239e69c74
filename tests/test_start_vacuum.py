"""The probe from patterns without a specimen: an aperture that is lit unevenly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty.errors import ConfigError, DataError
from fastpty.optics import Aberrations, aperture, aperture_probe, electron_wavelength
from tests.recon_cases import PIXEL, WINDOW, Tiny, make_tiny, tiny_run
from tests.tolerances import bound, tolerance

WAVELENGTH = electron_wavelength(300)
Array = NDArray[np.float64]
Start = Callable[..., Array]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def lit(window: tuple[int, int] = WINDOW, pixel: float = PIXEL, semiangle: float = 14) -> Array:
    """Counts [Ny, Nx], zero frequency at N//2: twice as many at the top as at the bottom."""
    disc = np.fft.fftshift(aperture(window, pixel, semiangle, WAVELENGTH))
    y = np.linspace(-1, 1, window[0])[:, None]
    return 300 * disc**2 * (1.5 - y)


@pytest.fixture
def start(tiny: Tiny, tmp_path: Path) -> Start:
    """The first mode [Ny, Nx] that a run begins with, of norm 1, from a file with ``image``."""

    def run(image: Array, vacuum: dict[str, Any] | None = None, **changes: Any) -> Array:
        np.save(tmp_path / "vacuum.npy", image)
        section = {"path": str(tmp_path / "vacuum.npy"), **(vacuum or {})}
        model = tiny_run(tiny, probe={"modes": 1, "vacuum": section}, **changes).model
        probe = model.probe[0].numpy()
        return np.asarray(probe / np.linalg.norm(probe))

    return run


def close(actual: Array, expected: Array) -> None:
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(
        actual, expected, **tolerance("transform", torch.float32, scale=scale)
    )


def modulus(probe: Array) -> Array:
    """In the aperture, zero frequency at N//2."""
    return np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe), norm="ortho")))


def test_modulus_of_the_pattern_and_phase_of_the_beam(start: Start) -> None:
    found = start(lit(), {"recentre": False, "threshold": 0})
    expected = aperture_probe(
        np.fft.ifftshift(np.sqrt(lit())),
        PIXEL,
        wavelength=WAVELENGTH,
        aberrations=Aberrations({"defocus": 80}),
    )
    close(found, expected)
    top, bottom = modulus(found)[7, 10], modulus(found)[17, 10]
    assert top / bottom == pytest.approx(np.sqrt(lit()[7, 10] / lit()[17, 10]), rel=1e-5)


def test_even_light_is_the_beams_own_probe(tiny: Tiny, start: Start) -> None:
    disc = np.fft.fftshift(aperture(WINDOW, PIXEL, 14, WAVELENGTH))
    own = tiny_run(tiny, probe={"modes": 1}).model.probe[0].numpy()
    close(start(disc**2, {"threshold": 0, "recentre": False}), own / np.linalg.norm(own))


def test_a_stack_is_averaged(start: Start) -> None:
    noise = 1 + 0.1 * np.random.default_rng(0).normal(size=(4, *WINDOW))
    stack = lit() * noise
    close(start(stack), start(stack.mean(axis=0)))
    close(start(stack.reshape(2, 2, *WINDOW)), start(stack.mean(axis=0)))


def test_background_goes_by_the_threshold(start: Start) -> None:
    image = lit() + 0.02 * np.median(lit()[lit() > 0])
    outside = lit() == 0
    assert (modulus(start(image, {"threshold": 0}))[outside] > 1e-3).all()
    cleaned = modulus(start(image, {"recentre": False}))
    assert (cleaned[outside] < 1e-6).all()
    assert (cleaned[lit() > 100] > 0.01).all()


@pytest.mark.parametrize("shift", [(2, -1), (0, 0)])
def test_the_disc_is_moved_to_the_middle(start: Start, shift: tuple[int, int]) -> None:
    moved = np.roll(lit(), shift, (0, 1))
    close(start(moved), start(lit()))
    off = modulus(start(moved, {"recentre": False}))
    expected = np.roll(modulus(start(lit(), {"recentre": False})), shift, (0, 1))
    np.testing.assert_allclose(off, expected, atol=1e-6)


def test_the_disc_is_moved_by_fractions_of_a_pixel(start: Start) -> None:
    """An even disc, of which two shifted halves are summed."""
    disc = np.fft.fftshift(aperture(WINDOW, PIXEL, 14, WAVELENGTH))
    between = 0.5 * (disc + np.roll(disc, 1, axis=1))
    weight = modulus(start(between)) ** 2
    centre = [(weight * i).sum() / weight.sum() for i in np.indices(WINDOW)]
    np.testing.assert_allclose(centre, [n // 2 for n in WINDOW], atol=0.02)


def test_it_goes_through_the_steps_of_the_data(start: Start) -> None:
    """Padded as the patterns are; what concerns the scan and the counts does not concern it."""
    steps = [
        {"step": "crop", "rows": [1, 4], "size": [20, 18]},
        {"step": "flip", "flip_y": True},
        {"step": "flip", "of": "scan", "flip_x": True},
        {"step": "normalise"},
        {"step": "pad", "size": [32, 28], "fill": "zero"},
    ]
    found = start(lit(), {"recentre": False, "threshold": 0}, preprocess=steps)
    assert found.shape == (32, 28)
    expected = np.pad(lit()[2:22, 1:19][::-1], ((6, 6), (5, 5)))
    ready = start(
        expected, {"of": "preprocessed", "recentre": False, "threshold": 0}, preprocess=steps
    )
    close(found, ready)
    image = modulus(found) ** 2
    np.testing.assert_allclose(image / image.max(), expected / expected.max(), atol=1e-5)


def test_bad_pixels_are_their_neighbours_mean(start: Start, tmp_path: Path) -> None:
    good = np.ones(WINDOW, bool)
    good[12, 10] = good[1, 1] = False
    np.save(tmp_path / "mask.npy", good)
    data = {"mask": {"path": str(tmp_path / "mask.npy")}}
    image = lit()
    image[~good] = 5e4
    around = lit()[11:14, 9:12].sum() - lit()[12, 10]
    mended = lit()
    mended[12, 10] = around / 8
    close(start(image, data=data), start(mended))


def test_the_zero_frequency_of_the_data(tiny: Tiny, start: Start, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "corner.h5", "w") as file:
        file["data"] = tiny.patterns.reshape(5, 6, *WINDOW).astype(np.float32)
    data = {"path": str(tmp_path / "corner.h5"), "zero_frequency": "corner"}
    close(start(np.fft.ifftshift(lit()), data=data), start(lit()))


def test_raw_values_are_laid_out_as_those_of_the_data(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "vacuum.bin").write_bytes(bytes(8) + lit().astype(np.uint16).tobytes())
    patterns = np.fft.fftshift(tiny.patterns, axes=(1, 2)).astype(np.uint16)
    (tmp_path / "data.bin").write_bytes(bytes(8) + patterns.tobytes())
    data = {
        "path": str(tmp_path / "data.bin"),
        "dataset": None,
        "format": "raw",
        "pattern_shape": list(WINDOW),
        "dtype": "uint16",
        "offset": 8,
        "scan_shape": [5, 6],
    }
    vacuum = {"path": str(tmp_path / "vacuum.bin"), "format": "raw"}
    run = tiny_run(tiny, data=data, probe={"modes": 1, "vacuum": vacuum})
    np.save(tmp_path / "vacuum.npy", lit().astype(np.uint16))
    other = {"path": str(tmp_path / "vacuum.npy")}
    expected = tiny_run(tiny, data=data, probe={"modes": 1, "vacuum": other})
    assert torch.equal(run.model.probe, expected.model.probe)


def test_further_modes_are_grown(tiny: Tiny, tmp_path: Path) -> None:
    np.save(tmp_path / "vacuum.npy", lit())
    section = {"modes": 3, "vacuum": {"path": str(tmp_path / "vacuum.npy")}}
    power = tiny_run(tiny, probe=section).model.probe.abs().square().sum(dim=(1, 2))
    assert (power / power.sum()).tolist() == pytest.approx([0.8, 0.1, 0.1], rel=bound("sampled"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (lit(semiangle=17), r"disc of 7\.\d\d px radius; beam\.semiangle_mrad = 14 on .* 6\.23 px"),
        (lit((28, 26)), r"has \[28, 26\] px; the patterns that are fitted are \[24, 20\]"),
        (np.zeros(WINDOW), "is zero everywhere"),
        (np.full(WINDOW, np.nan), "NaN or infinite"),
        (lit().astype(complex), "holds complex128"),
        (lit()[0], r"shape \(20,\)"),
    ],
    ids=["radius", "shape", "dark", "not finite", "complex", "1-D"],
)
def test_what_is_no_vacuum_measurement(start: Start, image: Array, message: str) -> None:
    with pytest.raises(DataError, match=rf"^probe\.vacuum: .*{message}"):
        start(image)


def test_steps_that_do_not_fit(start: Start) -> None:
    steps = [{"step": "crop", "y": [0, 24], "x": [0, 20]}]
    with pytest.raises(DataError, match=r"^probe\.vacuum: .* steps of preprocess: .*\[0, 24\]"):
        start(lit((20, 20)), preprocess=steps)


def test_one_start_and_one_beam(tiny: Tiny) -> None:
    files = {name: {"path": "a.npy"} for name in ("start", "vacuum")}
    with pytest.raises(ConfigError, match="give either start or vacuum; found both"):
        tiny_run(tiny, probe=files)
    with pytest.raises(ConfigError, match=r"probe\.vacuum has no meaning with units: pixel"):
        tiny_run(
            tiny,
            units="pixel",
            beam=None,
            calibration=None,
            probe={"vacuum": {"path": "a.npy"}},
        )
    with pytest.raises(DataError, match=r"^probe\.vacuum: .*does not exist|no such file"):
        tiny_run(tiny, probe={"vacuum": {"path": "missing.npy"}})
