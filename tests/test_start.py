"""The model before its first iteration: canvas, positions, probe, tilt."""

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
from fastpty.optics import detector_blur
from tests.recon_cases import PIXEL, SCAN, STEP, WINDOW, Tiny, make_tiny, tiny_run
from tests.tolerances import bound, tolerance


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("margin", [0, 3])
def test_the_canvas_holds_every_window_and_a_margin(tiny: Tiny, margin: int) -> None:
    model = tiny_run(tiny, object={"margin": margin}).model
    extent = (np.array(SCAN) - 1) * np.array(STEP) / PIXEL
    expected = np.ceil(extent).astype(int) + WINDOW + 2 * margin
    assert model.phase.shape == model.amplitude.shape == (1, 2, *expected)
    assert model.corner.amin(0).tolist() == [margin, margin]
    assert (model.corner.amax(0) + torch.tensor(WINDOW) + margin <= torch.tensor(expected)).all()


def test_positions_are_split_into_corner_and_shift(tiny: Tiny) -> None:
    model = tiny_run(tiny).model
    nominal = tiny.positions - tiny.positions[0] + 3
    assert model.shift.abs().max() <= 0.5
    assert model.shift.abs().max() > 0  # the scan is not on the pixels
    np.testing.assert_allclose(
        model.positions, nominal, **tolerance("product", torch.float32, scale=1.0)
    )
    np.testing.assert_allclose(
        model.positions_start, nominal, **tolerance("sum", torch.float64, scale=1.0)
    )


def test_the_object_is_empty(tiny: Tiny) -> None:
    model = tiny_run(tiny).model
    assert (model.amplitude == 1).all()
    assert (model.phase == 0).all()


@pytest.mark.parametrize("modes", [1, 2])
def test_the_probe_has_the_power_of_the_mean_pattern(tiny: Tiny, modes: int) -> None:
    run = tiny_run(tiny, probe={"modes": modes})
    mean = tiny.patterns.mean(axis=0)
    power = mean.sum() / mean.max()  # scaled so that the brightest pixel is 1
    assert run.model.power_start == pytest.approx(power, **_approximately("sum"))
    found = run.model.probe.abs().square().sum()
    assert float(found) == pytest.approx(power, **_approximately("sum"))


def test_masked_pixels_bring_no_power(tiny: Tiny, tmp_path: Path) -> None:
    good = np.ones(WINDOW, bool)
    good[10:14] = False
    np.save(tmp_path / "mask.npy", good)
    run = tiny_run(tiny, data={"mask": {"path": str(tmp_path / "mask.npy")}})
    mean = tiny.patterns.mean(axis=0)
    expected = mean[good].sum() / mean[good].max()
    assert run.model.power_start == pytest.approx(expected, **_approximately("sum"))


def test_tilt_only_where_it_is_not_zero(tiny: Tiny) -> None:
    assert tiny_run(tiny).model.tilt is None
    tilt = tiny_run(tiny, object={"tilt_mrad": [0, -2.5]}).model.tilt
    assert tilt is not None
    assert tilt.tolist() == [[0.0, -2.5]]


def test_a_tilt_that_is_free_may_be_zero(tiny: Tiny) -> None:
    """One for the scan, or one for each position."""
    for per, count in (("scan", 1), ("position", 30)):
        free = {"tilt": {"lr": 0.1}}
        model = tiny_run(tiny, object={"tilt_per": per}, optimise=free).model
        assert torch.equal(model.tilt, torch.zeros(count, 2))
    tilted = tiny_run(tiny, object={"tilt_per": "position", "tilt_mrad": [1, 2]}).model
    assert torch.equal(tilted.tilt, torch.tensor([[1.0, 2.0]]).expand(30, 2))


def test_tilts_from_a_file(tiny: Tiny, tmp_path: Path) -> None:
    tilts = np.random.default_rng(0).normal(size=(30, 2))
    np.save(tmp_path / "tilts.npy", tilts)
    section = {"tilt_per": "position", "tilts": {"path": str(tmp_path / "tilts.npy")}}
    model = tiny_run(tiny, object=section).model
    assert torch.equal(model.tilt, torch.from_numpy(tilts.astype(np.float32)))
    np.save(tmp_path / "tilts.npy", tilts[:7])
    with pytest.raises(
        DataError, match=r"^object\.tilts: has shape \[7, 2\]; real tilts \[30, 2\]"
    ):
        tiny_run(tiny, object=section)


def test_tilts_have_neighbours_on_a_raster_only(tiny: Tiny, tmp_path: Path) -> None:
    patterns = np.fft.fftshift(tiny.patterns, axes=(1, 2)).astype(np.float32)
    with h5py.File(tmp_path / "list.h5", "w") as file:
        file["data"] = patterns
        file["positions"] = tiny.positions
    path = str(tmp_path / "list.h5")
    with pytest.raises(
        ConfigError, match=r"^constraints\.smooth_tilt: needs a raster, but .*has n"
    ):
        tiny_run(
            tiny,
            data={"path": path},
            scan={
                "step": None,
                "positions": {"path": path, "dataset": "positions", "unit": "pixel"},
            },
            object={"tilt_per": "position"},
            constraints={"smooth_tilt": True},
        )


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"thickness": 8.0}, 8.0),
        ({"thickness": 8.0, "thickness_per": "gap"}, [8.0, 8.0]),
        ({"thickness": [7.0, 9.0], "thickness_per": "gap"}, [7.0, 9.0]),
    ],
)
def test_thickness_of_all_gaps_or_of_each(
    tiny: Tiny, section: dict[str, Any], expected: Any
) -> None:
    model = tiny_run(tiny, object={"slices": 3, **section}).model
    assert model.thickness.dtype == torch.float32
    assert model.thickness.tolist() == expected


@pytest.mark.parametrize(
    ("given", "expected"), [(None, [1 / 3] * 3), ([1, 2, 5], [0.125, 0.25, 0.625])]
)
def test_occupancies_are_shares(tiny: Tiny, given: Any, expected: list[float]) -> None:
    model = tiny_run(tiny, object={"modes": 3, "occupancy": given}).model
    torch.testing.assert_close(
        model.occupancy, torch.tensor(expected), **tolerance("product", torch.float32)
    )
    assert tiny_run(tiny).model.occupancy is None


def test_aberrations_begin_with_those_of_the_beam(tiny: Tiny) -> None:
    run = tiny_run(tiny, probe={"aberrations": ["defocus", "C12a"]})
    assert run.model.unknowns["aberrations"].tolist() == [0, 0]
    assert run.results().aberrations == {"defocus": 80.0, "C12a": 0.0}
    start = {"path": str(tiny.folder / "tiny.h5"), "dataset": "probe"}
    other = tiny_run(tiny, probe={"aberrations": ["defocus"], "start": start})
    assert other.results().aberrations == {"defocus": 0.0}


def test_a_source_only_where_it_has_a_size(tiny: Tiny) -> None:
    assert tiny_run(tiny, probe={"source_points": 5}).model.source is None
    source = tiny_run(tiny, probe={"source_size": 0.2, "source_points": 4}).model.source
    assert source is not None
    shift, weight = source
    assert len(shift) == len(weight) == 16
    assert shift.dtype == weight.dtype == torch.float32
    spread = (weight[:, None] * shift.square()).sum(0).sqrt()
    expected = torch.full((2,), 0.2 / PIXEL)
    torch.testing.assert_close(spread, expected, **tolerance("sum", torch.float32))


def test_a_source_in_pixel_units(tiny: Tiny) -> None:
    run = tiny_run(
        tiny,
        units="pixel",
        beam=None,
        calibration=None,
        object={"slices": 1},
        scan={"step": [2.5, 2.75]},
        probe={
            "start": {"path": str(tiny.folder / "tiny.h5"), "dataset": "probe"},
            "source_size": 0.5,
        },
    )
    assert run.model.source is not None
    shift, weight = run.model.source
    spread = (weight[:, None] * shift.square()).sum(0).sqrt()
    torch.testing.assert_close(spread, torch.full((2,), 0.5), **tolerance("sum", torch.float32))


def test_detector_blur_only_where_there_is_some(tiny: Tiny) -> None:
    assert tiny_run(tiny).model.detector_blur is None
    blur = tiny_run(tiny, detector={"blur": 0.7}).model.detector_blur
    assert blur is not None
    assert [matrix.shape for matrix in blur] == [(n, n) for n in WINDOW]
    for matrix, n in zip(blur, WINDOW, strict=True):
        assert torch.equal(matrix, detector_blur(n, 0.7).float())


def test_a_single_slice_has_no_thickness(tiny: Tiny) -> None:
    assert tiny_run(tiny, object={"slices": 1}).model.thickness is None


def test_the_probe_of_the_beam_section_is_the_simulated_one(tiny: Tiny) -> None:
    run = tiny_run(tiny)
    scale = run.measurements.patterns.scale
    expected = tiny.probe * (run.model.power_start / scale / tiny.probe.abs().square().sum()).sqrt()
    actual = run.model.probe / scale**0.5
    size = float(expected.abs().max())
    torch.testing.assert_close(
        actual, expected.to(torch.complex64), **tolerance("transform", torch.float32, scale=size)
    )


def _approximately(kind: str) -> dict[str, float]:
    return {"rel": tolerance(kind, torch.float32)["rtol"]}


def _from_file(tiny: Tiny, folder: Path, probe: NDArray[Any], modes: int) -> torch.Tensor:
    np.save(folder / "probe.npy", probe)
    start = {"path": str(folder / "probe.npy")}
    return tiny_run(tiny, probe={"modes": modes, "start": start}).model.probe


@pytest.mark.parametrize("given", [1, 2], ids=["2-D", "3-D"])
def test_a_start_probe_from_a_file_is_kept_but_for_its_power(
    tiny: Tiny, tmp_path: Path, given: int
) -> None:
    probe = tiny.probe[0].numpy() if given == 1 else tiny.probe.numpy()
    actual = _from_file(tiny, tmp_path, 17 * probe, modes=given).numpy()
    expected = probe.reshape(-1, *WINDOW)
    expected = expected * np.linalg.norm(actual) / np.linalg.norm(expected)
    size = float(np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, **tolerance("product", torch.float32, scale=size))


def _one_mode(probe: NDArray[Any]) -> NDArray[Any]:
    return probe[:1]


def _two_modes(probe: NDArray[Any]) -> NDArray[Any]:
    return probe


def _two_slanted_modes(probe: NDArray[Any]) -> NDArray[Any]:
    """Two modes that are not orthogonal: what is grown is so to both all the same."""
    return np.stack([probe[0], probe[0] + probe[1]])


@pytest.mark.parametrize("given", [_one_mode, _two_modes, _two_slanted_modes])
def test_missing_modes_are_grown_orthogonal(
    tiny: Tiny, tmp_path: Path, given: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    probe = given(tiny.probe.numpy())
    actual = _from_file(tiny, tmp_path, probe, modes=4).to(torch.complex128)
    assert actual.shape == (4, *WINDOW)
    # The given ones keep their ratio ...
    kept, power = actual[: len(probe)].numpy(), (np.abs(probe) ** 2).sum()
    scale = np.sqrt((np.abs(kept) ** 2).sum() / power)
    size = float(np.abs(kept).max())
    np.testing.assert_allclose(
        kept, scale * probe, **tolerance("product", torch.float32, scale=size)
    )
    # ... the others get mode_power each, and overlap with none.
    flat = actual.flatten(1)
    gram = (flat.conj() @ flat.T).abs()
    total = float(gram.diagonal()[: len(probe)].sum())
    grown = gram[len(probe) :]
    expected = torch.zeros_like(grown)
    expected[:, len(probe) :] = 0.1 * total * torch.eye(4 - len(probe))
    torch.testing.assert_close(grown, expected, **tolerance("sum", torch.float32, scale=total))


@pytest.mark.parametrize(
    ("probe", "modes", "error", "message"),
    [
        (np.ones((3, *WINDOW)), 2, ConfigError, "^probe.modes: is 2, but probe.start holds 3 mode"),
        (
            np.ones((20, 24)),
            1,
            DataError,
            r"^probe.start: has a probe of \[20, 24\] px; the patterns are \[24, 20\].",
        ),
        (np.ones(24), 1, DataError, "^probe.start: .*2-D or 3-D is needed"),
        (np.zeros(WINDOW), 1, DataError, "^probe.start: is zero everywhere in mode 0 of 1"),
        (
            np.stack([np.ones(WINDOW), np.zeros(WINDOW)]),
            2,
            DataError,
            "^probe.start: is zero everywhere in mode 1 of 2",
        ),
        (np.full(WINDOW, np.nan), 1, DataError, "^probe.start: .*NaN"),
    ],
)
def test_refused_start_probes(
    tiny: Tiny,
    tmp_path: Path,
    probe: NDArray[Any],
    modes: int,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        _from_file(tiny, tmp_path, probe, modes)


def test_more_modes_than_a_probe_can_carry(tiny: Tiny, tmp_path: Path) -> None:
    """A probe of two bright pixels spans two modes."""
    probe = np.zeros(WINDOW)
    probe[12, 10:12] = 1
    with pytest.raises(ConfigError, match=r"^probe.modes: .*can carry. Use fewer modes"):
        _from_file(tiny, tmp_path, probe, modes=4)


def test_an_aperture_larger_than_the_detector(tiny: Tiny) -> None:
    """The detector's edge is at lambda / (2 pixel) = 24.6 mrad."""
    edge = 1e3 * 0.0196875 / (2 * PIXEL)
    tiny_run(tiny, beam={"semiangle_mrad": edge * (1 - bound("sampled"))})
    with pytest.raises(ConfigError, match=r"^beam.semiangle_mrad: .*24.6.*calibration"):
        tiny_run(tiny, beam={"semiangle_mrad": edge * (1 + bound("sampled"))})
