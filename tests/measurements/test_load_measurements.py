"""From a config and its files to what the model is fitted to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.config import ReconConfig, apply_overrides, validate_config
from fastpty.config.data import AffineConfig
from fastpty.errors import ConfigError, DataError
from fastpty.measurements import load_measurements, rotate_positions
from fastpty.measurements.positions import jittered
from fastpty.optics import electron_wavelength
from tests.io.writers import write_dectris

RADIUS = 5.0
COUNTS = 100
STEPS = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]], float)
CONFIG: dict[str, Any] = {
    "data": {"path": "scan.h5"},
    "beam": {"energy_kv": 300, "semiangle_mrad": 20},
    "calibration": {"pixel_size": [0.2, 0.25]},
    "scan": {"step": 0.5},
}
IN_PIXELS: dict[str, Any] = {
    "units": "pixel",
    "data": {"path": "scan.h5"},
    "scan": {"step": 2},
    "probe": {"start": {"path": "probe.npy"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A 2 x 3 raster of 20 x 24 pixels, each pattern the same disc round [10, 12]."""
    y, x = np.indices((20, 24))
    disc = np.hypot(y - 10, x - 12) < RADIUS
    patterns = np.broadcast_to((COUNTS * disc).astype(np.uint16), (6, 20, 24)).copy()
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data"] = patterns.reshape(2, 3, 20, 24)
    np.save(tmp_path / "stack.npy", patterns)
    np.save(tmp_path / "positions.npy", STEPS * (3, 5) + 100)
    np.save(tmp_path / "mask.npy", np.ones((20, 24)))
    return tmp_path


def load(folder: Path, *overrides: str, base: dict[str, Any] | None = None) -> Any:
    config = validate_config(ReconConfig, apply_overrides(base or CONFIG, overrides))
    return load_measurements(config, folder)


def test_a_raster(folder: Path) -> None:
    found = load(folder)
    assert found.scan_shape == (2, 3)
    assert found.pixel_size == (0.2, 0.25)
    assert found.wavelength == electron_wavelength(300)
    assert found.source == "scan.h5:/data"
    np.testing.assert_allclose(found.positions, STEPS * 0.5 / (0.2, 0.25))
    assert found.patterns.shape == (6, 20, 24)
    assert float(found.patterns.counts(torch.tensor([5]))[0, 0, 0]) == COUNTS
    assert found.disc.centre == (10, 12)


def test_the_file_is_closed(folder: Path) -> None:
    load(folder)
    with h5py.File(folder / "scan.h5", "r+") as file:
        del file["data"]


def test_a_refusal_closes_the_file(folder: Path) -> None:
    with pytest.raises(DataError):
        load(folder, "data.mask.path=absent.npy")
    with h5py.File(folder / "scan.h5", "r+") as file:
        assert "data" in file


def test_rotation_acts_in_angstrom(folder: Path) -> None:
    """Before the division by pixels that are not square."""
    found = load(folder, "scan.rotation_deg=30", "scan.affine=[[1, 0.1], [0, 1]]")
    expected = rotate_positions(STEPS * 0.5, 30, ((1, 0.1), (0, 1))) / (0.2, 0.25)
    np.testing.assert_allclose(found.positions, expected)


@pytest.mark.parametrize(
    ("parts", "y", "x"),
    [
        ({"scale": 1.5}, (1.5, 0), (0, 1.5)),
        ({"asymmetry": 0.2}, (1.1, 0), (0, 0.9)),
        ({"rotation_deg": 90}, (0, 1), (-1, 0)),  # as scan.rotation_deg turns
        ({"shear_deg": 45}, (1, 0), (1, 1)),
        ({"asymmetry": 0.2, "rotation_deg": 90}, (0, 1.1), (-0.9, 0)),
        ({"shear_deg": 45, "rotation_deg": 90}, (1, 1), (-1, 0)),
        ({"shear_deg": 45, "asymmetry": 0.2}, (1.1, 0), (0.9, 0.9)),
    ],
)
def test_named_parts_of_the_affine(
    parts: dict[str, float], y: tuple[float, float], x: tuple[float, float]
) -> None:
    """Where the unit vectors along y and x go: stretched, turned, then sheared."""
    np.testing.assert_allclose(AffineConfig(**parts).matrix.T, [y, x], atol=1e-12)


def test_named_parts_act_between_the_matrix_and_the_rotation(folder: Path) -> None:
    parts = AffineConfig(scale=1.1, asymmetry=0.1, rotation_deg=5, shear_deg=2)
    found = load(
        folder,
        "scan.rotation_deg=30",
        "scan.affine=[[1, 0.1], [0, 1]]",
        "scan.affine_parts={scale: 1.1, asymmetry: 0.1, rotation_deg: 5, shear_deg: 2}",
    )
    matrix = parts.matrix @ [[1, 0.1], [0, 1]]
    expected = rotate_positions(STEPS * 0.5, 30, matrix) / (0.2, 0.25)
    np.testing.assert_allclose(found.positions, expected)


def test_a_fitted_disc_sets_the_pixel(folder: Path) -> None:
    found = load(folder, "calibration={disc_radius_px: fit}")
    dk = 20e-3 / found.wavelength / found.disc.radius
    np.testing.assert_allclose(found.pixel_size, (1 / (20 * dk), 1 / (24 * dk)))


def test_the_corner_order_is_kept(folder: Path) -> None:
    np.save(folder / "stack.npy", np.fft.ifftshift(np.load(folder / "stack.npy"), axes=(1, 2)))
    stack = ["data.path=stack.npy", "data.zero_frequency=corner", "data.scan_shape=[2, 3]"]
    found, centred = load(folder, *stack), load(folder)
    index = torch.arange(6)
    assert torch.equal(found.patterns.counts(index), centred.patterns.counts(index))
    assert found.disc == centred.disc


@pytest.mark.parametrize(("unit", "divisor"), [("angstrom", (0.2, 0.25)), ("pixel", (1, 1))])
def test_listed_positions(folder: Path, unit: str, divisor: tuple[float, float]) -> None:
    found = load(folder, f"scan={{positions: {{path: positions.npy, unit: {unit}}}}}")
    np.testing.assert_allclose(found.positions, (STEPS * (3, 5) + 100) / divisor)


def test_jitter_is_in_pixels_and_of_the_configs_seed(folder: Path) -> None:
    nominal, overrides = load(folder).positions, ("scan.jitter_px=0.5", "seed=4")
    found = load(folder, *overrides).positions
    np.testing.assert_array_equal(found, jittered(nominal, 0.5, 4))
    assert (found != nominal).all()


def test_listed_positions_need_no_raster(folder: Path) -> None:
    positions = "scan={positions: {path: positions.npy, unit: pixel}}"
    found = load(folder, "data.path=stack.npy", positions)
    assert found.scan_shape is None


def test_pixel_units(folder: Path) -> None:
    found = load(folder, base=IN_PIXELS)
    assert found.pixel_size is None
    assert found.wavelength is None
    np.testing.assert_array_equal(found.positions, STEPS * 2)
    listed = "scan={positions: {path: positions.npy, unit: pixel}}"
    np.testing.assert_array_equal(
        load(folder, listed, base=IN_PIXELS).positions, STEPS * (3, 5) + 100
    )


def test_paths_start_at_the_config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPTY_TEST_DATA", str(folder))
    assert load(folder.parent, "data.path=$FASTPTY_TEST_DATA/scan.h5").scan_shape == (2, 3)


def test_the_detectors_own_mask(folder: Path) -> None:
    """It holds beside the config's: a pixel is good where both say so."""
    with h5py.File(folder / "scan.h5") as file:
        patterns = file["data"][()].reshape(6, 20, 24)
    listed = np.zeros((20, 24), np.uint32)
    listed[3, 4], patterns[:, 3, 4] = 1, 65535
    master = write_dectris(folder, [patterns[:4], patterns[4:]], listed).name
    scan = [f"data.path={master}", "data.scan_shape=[2, 3]"]
    found = load(folder, *scan)
    np.testing.assert_array_equal(found.patterns.centred_mask, listed == 0)
    mask = np.ones((20, 24), bool)
    mask[5, 6] = False
    np.save(folder / "mask.npy", mask)
    both = load(folder, *scan, "data.mask.path=mask.npy").patterns.centred_mask
    np.testing.assert_array_equal(both, mask & (listed == 0))


@pytest.mark.parametrize(
    ("overrides", "first"),
    [
        (["data.path=stack.npy", "data.skip=2", "data.scan_shape=[2, 2]"], 2),
        (["data.path=stack.npy", "data.flyback=1", "data.scan_shape=[2, 2]", "data.skip=1"], 1),
        (["data.path=stack.npy", "data.scan_mismatch=crop", "data.scan_shape=[2, 4]"], 0),
        (["data.path=moved.npy", "data.axes=[y, x, n]", "data.scan_shape=[2, 3]"], 0),
        (
            [
                "data.path=stack.bin",
                "data.pattern_shape=[20, 24]",
                "data.dtype='>u2'",
                "data.offset=5",
                "data.gap=3",
                "data.scan_shape=[2, 3]",
            ],
            0,
        ),
    ],
    ids=["skip", "flyback", "crop", "axes", "raw"],
)
def test_how_a_stack_is_read(folder: Path, overrides: list[str], first: int) -> None:
    """Each field of the config reaches the reader: the first pattern tells which it was."""
    stack = np.load(folder / "stack.npy")
    stack[:, 10, 12] += np.arange(6, dtype=np.uint16)
    np.save(folder / "stack.npy", stack)
    np.save(folder / "moved.npy", np.moveaxis(stack, 0, 2))
    frames = b"gap".join(pattern.astype(">u2").tobytes() for pattern in stack)
    (folder / "stack.bin").write_bytes(b"first" + frames)
    found = load(folder, *overrides)
    counts = found.patterns.counts(torch.tensor([0]))[0, 0, 0]
    assert int(counts) == stack[first, 10, 12]
    assert len(found.positions) == len(found.patterns)


def test_the_mask(folder: Path) -> None:
    mask = np.ones((20, 24), np.uint8)
    mask[10, 12] = 0
    np.save(folder / "mask.npy", mask)
    found = load(folder, "data.mask.path=mask.npy")
    assert not found.patterns.mask[0, 0]
    assert int(found.patterns.mask.sum()) == mask.sum()


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.path=absent.h5"], DataError, r"^data\.path: .*absent\.h5' does not exist"),
        (["data.path=$FASTPTY_UNSET/a.h5"], ConfigError, r"^data\.path: .*is not set"),
        (["data.path=scn.h5"], DataError, r"^data\.path: .*Did you mean 'scan\.h5'"),
        (["data.dataset=x"], DataError, r"^data\.dataset: .*has no dataset 'x'"),
        (["data.format=npy"], DataError, r"scan\.h5: cannot be read as npy"),
        (["data.scan_shape=[3, 2]"], DataError, r"^data\.scan_shape: is \[3, 2\], but"),
        (["data.path=stack.npy"], ConfigError, r"^data\.scan_shape: is needed for a raster"),
        (["data.mask.path=positions.npy"], DataError, r"^data\.mask: has shape \[6, 2\]; patterns"),
        (["data.mask.path=none.npy"], DataError, r"^data\.mask\.path: .*does not exist"),
        (["data.mask.path=dark.npy"], DataError, r"^data\.mask: marks every pixel as bad"),
        (
            ["scan={positions: {path: five.npy, unit: pixel}}"],
            DataError,
            r"^scan\.positions: has shape \[5, 2\], but scan\.h5:/data holds 6 patterns",
        ),
        (
            ["scan={positions: {path: wave.npy, unit: pixel}}"],
            DataError,
            r"^scan\.positions: .*need real positions",
        ),
        (
            ["scan={positions: {path: nan.npy, unit: pixel}}"],
            DataError,
            r"^scan\.positions: nan\.npy has 1 values that are NaN",
        ),
        (
            ["scan={positions: {path: $FASTPTY_UNSET/p.npy, unit: pixel}}"],
            ConfigError,
            r"^scan\.positions\.path: .*is not set",
        ),
    ],
)
def test_refusals(folder: Path, overrides: list[str], error: type[Exception], message: str) -> None:
    np.save(folder / "dark.npy", np.zeros((20, 24)))
    np.save(folder / "five.npy", STEPS[:5])
    np.save(folder / "wave.npy", STEPS.astype(complex))
    np.save(folder / "nan.npy", np.where(np.arange(12).reshape(6, 2) == 5, np.nan, STEPS))
    with pytest.raises(error, match=message):
        load(folder, *overrides)


def test_a_disc_that_cannot_be_fitted(folder: Path) -> None:
    np.save(folder / "stack.npy", np.ones((6, 20, 24)))
    with pytest.raises(ConfigError, match=r"^calibration\.disc_radius_px: the fit found a disc"):
        load(
            folder,
            "data={path: stack.npy, scan_shape: [2, 3]}",
            "calibration={disc_radius_px: fit}",
        )
