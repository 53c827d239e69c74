"""A run that begins with an earlier one: what it takes, how it fits, what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fastpty.errors import ConfigError, DataError, FastptyError
from fastpty.recon import Reconstruction
from fastpty.results import Results, read_results, write_results
from fastpty.start.earlier import resampled
from fastpty.start_file import read_start
from tests.recon_cases import WINDOW, Tiny, make_tiny, tiny_run
from tests.tolerances import tolerance

SUM = tolerance("sum", torch.float32, scale=16.0)  # px
ALL = ["object", "probe", "positions", "tilt", "thickness", "occupancy"]
# What moves every unknown that can be taken.
LIVELY: dict[str, Any] = {
    "object": {"modes": 2, "tilt_per": "position", "thickness_per": "gap"},
    "constraints": {"recentre_positions": False},
    "optimise": {
        "iterations": 6,
        "positions": {"lr": 0.1},
        "tilt": {"lr": 0.1},
        "thickness": {"lr": 0.1},
        "occupancy": {"lr": 0.01},
    },
}
SMALL: dict[str, Any] = {
    "object": {"modes": 2, "tilt_per": "position", "thickness_per": "gap"},
    "optimise": {name: {"lr": 1e-6} for name in ("amplitude", "phase", "probe", "positions")},
}


@dataclasses.dataclass(frozen=True)
class Before:
    """An earlier run and its file."""

    tiny: Tiny
    run: Reconstruction
    path: Path

    def again(self, take: list[str], **changes: Any) -> Reconstruction:
        start = {"file": str(self.path), "take": take, **changes.pop("start", {})}
        return tiny_run(self.tiny, **{**SMALL, **changes}, start=start)

    def variant(self, folder: Path, **changes: Any) -> Before:
        """The same with other results in the file."""
        results = dataclasses.replace(read_results(self.path), **changes)
        write_results(results, folder / "variant.h5")
        return dataclasses.replace(self, path=folder / "variant.h5")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    tiny = make_tiny(tmp_path_factory.mktemp("tiny"))
    run = tiny_run(tiny, **LIVELY)
    run.run()
    path = tiny.folder / "reconstruction.h5"
    write_results(run.results(), path)
    return Before(tiny, run, path)


def test_it_goes_on_with_the_loss(before: Before) -> None:
    """The unknowns come back but for the roundings of a file and of the probe's power."""
    again = before.again(ALL, optimise={**SMALL["optimise"], "iterations": 1})
    everything = torch.arange(30)
    for name in ("amplitude", "phase", "positions", "tilt", "thickness", "occupancy"):
        found, expected = again.model.unknowns[name], before.run.model.unknowns[name]
        torch.testing.assert_close(found, expected.detach(), **SUM)
    assert again.agreement()["fitted"].r_factor == pytest.approx(
        before.run.agreement()["fitted"].r_factor, rel=tolerance("chain", torch.float32)["rtol"]
    )
    patterns = [run._patterns(everything)[1] for run in (again, before.run)]
    close = tolerance("chain", torch.float32, scale=float(patterns[1].max()))
    np.testing.assert_allclose(*patterns, **close)
    again.run()
    assert again.history.loss[0] < before.run.history.loss[-1]


@pytest.mark.parametrize("take", ALL)
def test_what_is_taken_and_what_is_not(before: Before, take: str) -> None:
    """One at a time: that is the earlier one's, and all else as in a run that takes nothing."""
    model, plain = before.again([take]).model, tiny_run(before.tiny, **SMALL).model
    earlier = before.run.model
    found = {
        "object": torch.equal(model.phase, earlier.phase)
        and torch.equal(model.amplitude, earlier.amplitude),
        "probe": _alike(model.probe, earlier.probe),
        "positions": np.allclose(
            np.diff(model.positions, axis=0), np.diff(earlier.positions, axis=0), atol=1e-5
        ),
        "tilt": model.tilt is not None and torch.equal(model.tilt, earlier.tilt),
        "thickness": torch.equal(model.thickness, earlier.thickness),
        "occupancy": torch.equal(model.occupancy, earlier.occupancy),
    }
    assert [name for name, is_taken in found.items() if is_taken] == [take]
    if take != "object":
        shape = model.phase.shape[-2:]
        assert torch.equal(model.phase[0], torch.zeros(2, *shape))
    if take != "probe":
        assert torch.equal(model.probe, plain.probe)


def _alike(probe: torch.Tensor, other: torch.Tensor) -> bool:
    close = tolerance("sum", torch.float32, scale=float(other.detach().abs().max()))
    return torch.allclose(probe, other.detach(), **close)


def test_positions_without_their_object_have_a_margin(before: Before) -> None:
    model = before.again(["positions"], object={**SMALL["object"], "margin": 7}).model
    assert model.positions.min(axis=0) == pytest.approx([7, 7], abs=SUM["atol"])


def test_an_object_without_positions_is_placed_by_the_scan(before: Before) -> None:
    """The nominal scan lies in the object's frame as the earlier one did; its margin is free."""
    model = before.again(["object"], object={**SMALL["object"], "margin": 9}).model
    expected = before.run.model.positions_start
    np.testing.assert_allclose(model.positions, expected, **SUM)
    assert model.phase.shape == before.run.model.phase.shape


def test_an_object_is_enlarged_where_windows_would_leave_it(before: Before, tmp_path: Path) -> None:
    results = read_results(before.path)
    cut = before.variant(
        tmp_path,
        amplitude=results.amplitude[..., 5:, :-6],
        phase=results.phase[..., 5:, :-6],
        positions=results.positions - [5, 0],
        positions_start=results.positions_start - [5, 0],
    )
    whole, model = before.run.model, cut.again(["object", "positions"]).model
    # Back at the same pixels, with a margin of 3 px of vacuum where there was none.
    corner = np.rint(results.positions - [5, 0]).astype(int)
    top = 3 - corner[:, 0].min()
    right = (corner[:, 1] + WINDOW[1]).max() + 3
    assert model.phase.shape[-2:] == (whole.phase.shape[-2] - 5 + top, right)
    assert torch.equal(
        model.phase[..., top:, : whole.phase.shape[-1] - 6], whole.phase[..., 5:, :-6]
    )
    assert not model.phase[..., :top, :].any()
    assert (model.amplitude[..., :top, :] == 1).all()
    np.testing.assert_allclose(model.positions, results.positions - [5, 0] + [top, 0], **SUM)


def test_windows_of_another_size_keep_their_centres(before: Before, tmp_path: Path) -> None:
    results = read_results(before.path)
    wide = np.pad(results.probe, ((0, 0), (4, 4), (6, 6)))
    model = (
        before.variant(
            tmp_path,
            probe=wide,
            positions=results.positions - [4, 6],
            positions_start=results.positions_start - [4, 6],
        )
        .again(["object", "positions"])
        .model
    )
    np.testing.assert_allclose(model.positions, results.positions, **SUM)


def test_missing_modes_are_grown(before: Before) -> None:
    model, wilder = (
        before.again(
            ["object", "probe"],
            object={**SMALL["object"], "modes": 3, "mode_phase": std},
            probe={"modes": 3},
        ).model
        for std in (0.1, 0.2)
    )
    earlier = before.run.model
    assert torch.equal(model.phase[:2], earlier.phase)
    assert torch.equal(model.amplitude[2], earlier.amplitude[0])
    noise, twice = (m.phase[2] - earlier.phase[0].detach() for m in (model, wilder))
    assert (noise != 0).all()
    torch.testing.assert_close(twice, 2 * noise, **SUM)
    assert model.probe.shape[0] == 3
    flat = model.probe.flatten(1)
    gram = (flat.conj() @ flat.T).abs()
    assert float(gram[2, 2]) > 0
    assert float(gram[2, :2].max()) < SUM["atol"] * float(gram[0, 0])


@pytest.mark.parametrize("slices", [1, 3, 4, 7])
def test_sum_and_product_survive_another_number_of_slices(slices: int) -> None:
    generator = np.random.default_rng(0)
    phase = generator.normal(size=(2, 4, 5, 6)).astype(np.float32)
    amplitude = generator.uniform(0.5, 1.2, phase.shape).astype(np.float32)
    found_amplitude, found_phase = resampled(amplitude, phase, np.ones(4), np.ones(slices))
    assert found_phase.shape == (2, slices, 5, 6)
    np.testing.assert_allclose(found_phase.sum(axis=1), phase.sum(axis=1), **SUM)
    np.testing.assert_allclose(found_amplitude.prod(axis=1), amplitude.prod(axis=1), **SUM)


def test_slices_that_are_halved_and_joined() -> None:
    """Each half has half the phase of the whole, at its own depth."""
    phase = np.array([1.0, 2.0], np.float32).reshape(1, 2, 1, 1)
    amplitude = np.array([0.25, 0.81], np.float32).reshape(1, 2, 1, 1)
    found_amplitude, found_phase = resampled(amplitude, phase, np.ones(2), np.ones(4))
    np.testing.assert_allclose(found_phase.ravel(), [0.5, 0.5, 1, 1], **SUM)
    np.testing.assert_allclose(found_amplitude.ravel(), [0.5, 0.5, 0.9, 0.9], **SUM)
    back = resampled(found_amplitude, found_phase, np.ones(4), np.ones(2))
    np.testing.assert_allclose(back[1], phase, **SUM)


def test_another_number_of_slices_if_allowed(before: Before, tmp_path: Path) -> None:
    """The whole stays as thick."""
    one = before.variant(tmp_path, thickness=np.array(18.0, np.float32))
    model = one.again(
        ["object", "thickness"],
        object={"slices": 3, "modes": 2},
        start={"resample_z": True},
    ).model
    assert model.phase.shape[1] == 3
    assert model.thickness.tolist() == 12.0
    total = before.run.model.phase.detach().sum(dim=1)
    torch.testing.assert_close(model.phase.sum(dim=1), total, **SUM)


def test_one_number_may_start_many(before: Before, tmp_path: Path) -> None:
    one = before.variant(
        tmp_path,
        thickness=np.array(18.0, np.float32),
        tilt=np.array([[1.0, 2.0]], np.float32),
    )
    model = one.again(["thickness", "tilt"]).model
    assert model.thickness.tolist() == [18.0]
    assert torch.equal(model.tilt, torch.tensor([[1.0, 2.0]]).expand(30, 2))


Change = Callable[[Results], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "take", "config", "error", "message"),
    [
        (
            lambda r: {"pixel_size": (0.5, 0.4)},
            ["probe"],
            {},
            DataError,
            r"^start\.file: has a pixel of 0\.5 x 0\.4 A, this run of 0\.4 x 0\.4 A",
        ),
        (
            lambda r: {"pixel_size": None},
            ["object"],
            {},
            DataError,
            r"^start\.file: has a pixel of no known size",
        ),
        (
            lambda r: {"positions": r.positions[:-1], "positions_start": r.positions_start[:-1]},
            ["object", "tilt"],
            {},
            ConfigError,
            r"^start\.take: includes object, but the file has 29 positions, the data 30",
        ),
        (
            lambda r: {"positions_start": 1.2 * r.positions_start},
            ["object"],
            {},
            ConfigError,
            r"^start\.take: includes object, but the file's scan and this one differ by",
        ),
        (
            lambda r: {},
            ["object"],
            {"object": {"slices": 3, "modes": 2}},
            ConfigError,
            r"^object\.slices: is 3, but the object in start\.file has 2.*resample_z",
        ),
        (
            lambda r: {},
            ["object"],
            {"object": {"modes": 1}},
            ConfigError,
            r"^object\.modes: is 1, but the object in start\.file has 2 modes",
        ),
        (
            lambda r: {},
            ["probe"],
            {"probe": {"modes": 1}},
            ConfigError,
            r"^probe\.modes: is 1, but start\.file holds 2 modes",
        ),
        (
            lambda r: {"probe": r.probe[:, 1:]},
            ["probe"],
            {},
            DataError,
            r"^start\.file: has a probe of \[23, 20\] px; the patterns are \[24, 20\]",
        ),
        (
            lambda r: {},
            ["tilt"],
            {"object": {"modes": 2}},
            ConfigError,
            r"^start\.take: includes tilt, of which the file has 30; this run has one for the scan",
        ),
        (
            lambda r: {"tilt": r.tilt[:7]},
            ["tilt"],
            {},
            ConfigError,
            r"^start\.take: includes tilt, of which the file has 7; this run has one for each of ",
        ),
        (
            lambda r: {"thickness": None},
            ["thickness"],
            {},
            ConfigError,
            r"^start\.take: includes thickness, but the file's object is a single slice",
        ),
        (
            lambda r: {},
            ["thickness"],
            {"object": {"modes": 2}},
            ConfigError,
            r"^start\.take: includes thickness, .*one for each gap; thickness_per is object",
        ),
        (
            lambda r: {},
            ["thickness"],
            {"object": {"slices": 3, "thickness_per": "gap"}},
            ConfigError,
            r"^start\.take: includes thickness, of which the file has one for each of 1 gaps",
        ),
        (
            lambda r: {},
            ["occupancy"],
            {"object": {"modes": 3}},
            ConfigError,
            r"^start\.take: includes occupancy, of 2 object modes; object\.modes is 3",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    before: Before,
    tmp_path: Path,
    change: Change,
    take: list[str],
    config: dict[str, Any],
    error: type[FastptyError],
    message: str,
) -> None:
    other = before.variant(tmp_path, **change(read_results(before.path)))
    with pytest.raises(error, match=message):
        other.again(take, **config)


def test_the_aberrations_of_the_earlier_probe_are_known(before: Before, tmp_path: Path) -> None:
    lens = {"probe": {"aberrations": ["C10", "C12b"]}}
    other = before.variant(tmp_path, aberrations={"defocus": 70.0, "C12a": 1.0, "C12b": -2.0})
    assert other.again(["probe"], **lens).results().aberrations == {"C10": -70.0, "C12b": -2.0}
    assert other.again(["tilt"], **lens).results().aberrations == {"C10": -80.0, "C12b": 0.0}


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^start\.file: .*does not exist"):
        read_start(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("text")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["data"] = np.zeros(3)
    for name in ("text.h5", "data.h5"):
        with pytest.raises(DataError, match=rf"^start\.file: {name} is none of the files known: a"):
            read_start(tmp_path / name)
