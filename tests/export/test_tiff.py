"""TIFF files: read back, their values, scales and area."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fastpty.config.tiff import TiffConfig
from fastpty.errors import ConfigError, FastptyError, OutputError
from fastpty.export import check_tifffile, tiff, write_tiffs
from fastpty.results import Results
from tests.config.complete import check

PIXEL = (0.2, 0.25)


@pytest.fixture
def results() -> Results:
    """Two object modes, three slices, three probe modes; 5 x 4 positions, 3 px apart."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.indices((5, 4)), axis=-1).reshape(-1, 2) * 3.0 + 2
    return Results(
        amplitude=rng.uniform(0.9, 1.1, (2, 3, 26, 24)).astype(np.float32),
        phase=rng.normal(size=(2, 3, 26, 24)).astype(np.float32),
        probe=(rng.normal(size=(3, 8, 10)) + 1j * rng.normal(size=(3, 8, 10))).astype(np.complex64),
        positions=grid,
        positions_start=grid,
        pixel_size=PIXEL,
        wavelength=0.02,
        thickness=np.array(10.0, np.float32),
    )


def read(path: Path) -> tuple[np.ndarray[Any, Any], dict[str, Any], tifffile.TiffPage]:
    """(pixels, ImageJ's metadata, first page)."""
    with tifffile.TiffFile(path) as file:
        return file.asarray(), dict(file.imagej_metadata or {}), file.pages[0]


def write(results: Results, folder: Path, **changes: Any) -> list[Path]:
    return write_tiffs(results, folder, **TiffConfig(**changes).model_dump())


def export(results: Results, folder: Path, image: str, **changes: Any) -> Any:
    (path,) = write(results, folder, images=[image], **changes)
    return read(path)


def test_every_image_has_its_file(results: Results, tmp_path: Path) -> None:
    files = write(results, tmp_path / "new")
    assert [path.stem for path in files] == TiffConfig().images
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in files}


@pytest.mark.parametrize("part", ["phase", "amplitude"])
def test_slices(results: Results, tmp_path: Path, part: str) -> None:
    pixels, _, _ = export(results, tmp_path, part, area="full")
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, getattr(results, part).mean(axis=0), rtol=1e-6)


def test_sum_and_product(results: Results, tmp_path: Path) -> None:
    total, _, _ = export(results, tmp_path, "phase_sum", area="full")
    np.testing.assert_allclose(total, results.phase.mean(axis=0).sum(axis=0), rtol=1e-5, atol=1e-6)
    product, _, _ = export(results, tmp_path, "amplitude_product", area="full")
    np.testing.assert_allclose(product, results.amplitude.prod(axis=1).mean(axis=0), rtol=1e-5)


def test_the_mean_is_weighted_with_the_occupancy(results: Results, tmp_path: Path) -> None:
    weighted = dataclasses.replace(results, occupancy=np.array([0.25, 0.75], np.float32))
    pixels, _, _ = export(weighted, tmp_path, "phase", area="full")
    expected = 0.25 * results.phase[0] + 0.75 * results.phase[1]
    np.testing.assert_allclose(pixels, expected, rtol=1e-5, atol=1e-6)


def test_each_object_mode_is_a_channel(results: Results, tmp_path: Path) -> None:
    pixels, metadata, _ = export(results, tmp_path, "phase", area="full", object_modes="each")
    np.testing.assert_array_equal(pixels, np.moveaxis(results.phase, 0, 1))
    assert (metadata["slices"], metadata["channels"]) == (3, 2)
    assert metadata["Labels"][1] == "z = 0 angstrom mode 2"
    pixels, metadata, _ = export(results, tmp_path, "phase_sum", area="full", object_modes="each")
    np.testing.assert_allclose(pixels, results.phase.sum(axis=1), rtol=1e-5, atol=1e-6)
    assert metadata["Labels"] == ["mode 1", "mode 2"]


def test_scanned_area(results: Results, tmp_path: Path) -> None:
    """Window centres run from 2 + 4 to 14 + 4 px and from 2 + 5 to 11 + 5 px."""
    pixels, metadata, _ = export(results, tmp_path, "phase", object_modes="each")
    np.testing.assert_array_equal(pixels, np.moveaxis(results.phase[..., 6:19, 7:17], 0, 1))
    # The canvas' pixel (0, 0), counted from the first pixel of the crop.
    assert (metadata["yorigin"], metadata["xorigin"]) == (-6, -7)


def test_lengths_are_imagejs(results: Results, tmp_path: Path) -> None:
    _, metadata, page = export(results, tmp_path, "phase")
    assert metadata["unit"] == "angstrom"
    assert metadata["spacing"] == 10
    assert metadata["vunit"] == "rad"
    assert metadata["Labels"] == ["z = 0 angstrom", "z = 10 angstrom", "z = 20 angstrom"]
    for tag, pixel in (("YResolution", PIXEL[0]), ("XResolution", PIXEL[1])):
        above, below = page.tags[tag].value
        assert below / above == pytest.approx(pixel)
    assert page.tags["ResolutionUnit"].value == 1  # none, or ImageJ takes it for inches


def test_gaps_of_different_size(results: Results, tmp_path: Path) -> None:
    uneven = dataclasses.replace(results, thickness=np.array([10.0, 14.0], np.float32))
    _, metadata, _ = export(uneven, tmp_path, "phase")
    assert metadata["spacing"] == 12
    assert metadata["Labels"][1:] == ["z = 10 angstrom", "z = 24 angstrom"]


def test_pixel_units(results: Results, tmp_path: Path) -> None:
    bare = dataclasses.replace(results, pixel_size=None, wavelength=None, thickness=None)
    for image in ("phase", "spectrum_amplitude"):
        _, metadata, page = export(bare, tmp_path, image)
        assert metadata["unit"] == "pixel"
        assert "spacing" not in metadata
        assert page.tags["XResolution"].value == (1, 1)


def test_probe_modes(results: Results, tmp_path: Path) -> None:
    amplitude, metadata, _ = export(results, tmp_path, "probe_amplitude")
    phase, _, _ = export(results, tmp_path, "probe_phase")
    np.testing.assert_allclose(amplitude * np.exp(1j * phase), results.probe, rtol=1e-5)
    assert metadata["channels"] == 3
    assert (metadata["yorigin"], metadata["xorigin"]) == (4, 5)


def test_the_spectrum_is_that_of_the_centred_probe(results: Results, tmp_path: Path) -> None:
    """A probe in one pixel, N//2, has a flat spectrum without phase."""
    point = np.zeros((1, 8, 10), np.complex64)
    point[0, 4, 5] = 1
    amplitude, metadata, page = export(
        dataclasses.replace(results, probe=point), tmp_path, "spectrum_amplitude"
    )
    np.testing.assert_allclose(amplitude, 80**-0.5, rtol=1e-6)
    # A wave of two periods along y in the window has its frequency at N//2 + 2.
    y = np.arange(8)[:, None] - 4
    wave = np.broadcast_to(np.exp(2j * np.pi * 2 * y / 8), (1, 8, 10)).astype(np.complex64)
    moved = dataclasses.replace(results, probe=wave)
    amplitude, _, _ = export(moved, tmp_path, "spectrum_amplitude")
    phase, _, _ = export(moved, tmp_path, "spectrum_phase")
    assert np.unravel_index(amplitude.argmax(), (8, 10)) == (6, 5)
    assert phase[6, 5] == pytest.approx(0, abs=1e-6)
    assert metadata["unit"] == "1/angstrom"
    above, below = page.tags["XResolution"].value
    assert below / above == pytest.approx(1 / (10 * PIXEL[1]))


@pytest.mark.parametrize("kind, top", [("uint8", 255), ("uint16", 65535)])
def test_integers_say_their_scale(results: Results, tmp_path: Path, kind: str, top: int) -> None:
    pixels, metadata, _ = export(results, tmp_path, "phase", type=kind, area="full")
    values = results.phase.mean(axis=0)
    assert (pixels.dtype, pixels.min(), pixels.max()) == (np.dtype(kind), 0, top)
    assert metadata["cf"] == 0
    step = np.ptp(values) / top
    restored = metadata["c0"] + metadata["c1"] * pixels.astype(float)
    np.testing.assert_allclose(restored, values, atol=0.51 * step)


def test_a_fixed_range_clips(results: Results, tmp_path: Path) -> None:
    pixels, metadata, _ = export(
        results, tmp_path, "phase", type="uint8", ranges={"phase": (-0.5, 1.0)}, area="full"
    )
    values = results.phase.mean(axis=0)
    np.testing.assert_array_equal(pixels == 255, values >= 1.0 - 0.5 * 1.5 / 255)
    assert (metadata["c0"], metadata["c0"] + 255 * metadata["c1"]) == pytest.approx((-0.5, 1.0))


def test_a_range_of_floats_is_only_shown(results: Results, tmp_path: Path) -> None:
    ranges = {"phase": (-0.5, 1.0)}
    pixels, metadata, _ = export(results, tmp_path, "phase", ranges=ranges, area="full")
    np.testing.assert_allclose(pixels, results.phase.mean(axis=0), rtol=1e-6)
    assert (metadata["min"], metadata["max"]) == (-0.5, 1.0)


def test_values_that_are_not_finite(results: Results, tmp_path: Path) -> None:
    results.phase[:, 0, 0, 0] = np.nan
    pixels, metadata, _ = export(results, tmp_path, "phase", type="uint8", area="full")
    assert pixels[0, 0, 0] == 0
    assert np.isfinite(metadata["c0"])


def test_a_flat_image_has_a_scale(results: Results, tmp_path: Path) -> None:
    results.amplitude[:] = 1
    pixels, metadata, _ = export(results, tmp_path, "amplitude", type="uint16")
    assert (metadata["c0"] + metadata["c1"] * pixels == 1).all()


def test_an_error_leaves_earlier_files(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(results, tmp_path, images=["phase", "amplitude"])
    before = (tmp_path / "phase.tif").read_bytes()
    written = []

    def full(path: Path, *args: Any, **options: Any) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(OutputError, match="No space left"):
        write(results, tmp_path, images=["phase", "amplitude"])
    assert (tmp_path / "phase.tif").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"phase.tif", "amplitude.tif"}


def test_what_no_tiff_can_hold_is_refused(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "_LARGEST", 1000)
    with pytest.raises(OutputError, match=r"phase\.tif: would take .* smaller type"):
        write(results, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_tifffile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(FastptyError, match=r"output\.tiff: needs the package 'tifffile'"):
        check_tifffile("output.tiff")


def test_the_section_is_switched_or_given_in_part() -> None:
    assert check().output.tiff is None
    assert check("output.tiff=on").output.tiff == TiffConfig()
    assert check("output.tiff.type=uint8").output.tiff == TiffConfig(type="uint8")
    assert check("output.tiff=off").output.tiff is None


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"output\.tiff\.ranges.*low must be below high"):
        check("output.tiff.ranges={phase: [1, 0]}")
