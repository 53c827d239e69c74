"""Slices cut off or added to an earlier object, and its probe moved along the beam."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fastpty.errors import ConfigError
from fastpty.optics import Aberrations, focused_probe
from fastpty.results import Results, read_results, write_results
from tests.config.complete import check
from tests.recon_cases import PIXEL, THICKNESS, Tiny, make_tiny, tiny_run
from tests.tolerances import tolerance

WINDOW = (24, 20)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Beside its data an earlier object of three slices, 0.1, 0.2 and 0.6 rad."""
    tiny = make_tiny(tmp_path_factory.mktemp("tiny"), WINDOW)
    run = tiny_run(tiny)
    phase = np.ones((1, 3, *run.model.phase.shape[-2:]), np.float32)
    phase *= np.array([0.1, 0.2, 0.6], np.float32)[:, None, None]
    probe = focused_probe(
        WINDOW,
        PIXEL,
        semiangle_mrad=14,
        wavelength=run.model.wavelength or 0.0,
        aberrations=Aberrations({"defocus": 80}),
    )
    results = Results(
        amplitude=1 - phase,
        phase=phase,
        probe=probe.astype(np.complex64)[None],
        positions=run.model.positions,
        positions_start=run.model.positions,
        pixel_size=(PIXEL, PIXEL),
        wavelength=run.model.wavelength,
        thickness=np.array([THICKNESS, THICKNESS], np.float32),
    )
    write_results(results, tiny.folder / "earlier.h5")
    return tiny


def slices_of(tiny: Tiny, slices: int, **start: Any) -> tuple[list[float], list[float]]:
    """(amplitude, phase) of each slice in the middle of the object."""
    section = {"file": "earlier.h5", "take": ["object"], **start}
    model = tiny_run(tiny, start=section, object={"slices": slices}).model
    middle = model.phase.shape[-1] // 2
    return tuple(volume[0, :, middle, middle].tolist() for volume in (model.amplitude, model.phase))


@pytest.mark.parametrize(
    ("start", "phase"),
    [
        ({"crop_z": [1, 3]}, [0.2, 0.6]),
        ({"pad_z": [1, 2]}, [0, 0.1, 0.2, 0.6, 0, 0]),
        ({"pad_z": [1, 2], "pad_with": ["edge", "mean"]}, [0.1, 0.1, 0.2, 0.6, 0.3, 0.3]),
        ({"crop_z": [0, 1], "pad_z": [0, 2], "pad_with": ["vacuum", "edge"]}, [0.1, 0.1, 0.1]),
        ({"crop_z": [0, 2], "pad_z": [1, 1], "resample_z": True}, [0.1, 0.2]),
    ],
)
def test_slices(tiny: Tiny, start: dict[str, Any], phase: list[float]) -> None:
    amplitude, found = slices_of(tiny, len(phase), **start)
    assert found == pytest.approx(phase, **_near("sum"))
    if "resample_z" not in start:
        assert amplitude == pytest.approx([1 - value for value in phase], **_near("sum"))


@pytest.mark.parametrize("distance", [35.0, -50.0])
def test_a_probe_that_moves_with_the_beam_changes_its_defocus(tiny: Tiny, distance: float) -> None:
    """Underfocus: the crossover lies ahead, and comes nearer."""
    section = {"file": "earlier.h5", "take": ["probe"], "move_probe": distance}
    run = tiny_run(tiny, start=section, probe={"modes": 1})
    found = run.model.probe[0].numpy()
    expected = focused_probe(
        WINDOW,
        PIXEL,
        semiangle_mrad=14,
        wavelength=run.model.wavelength or 0.0,
        aberrations=Aberrations({"defocus": 80 - distance}),
    )
    overlap = np.vdot(expected, found) / np.linalg.norm(found)
    # The propagator is exact, the defocus paraxial: at 14 mrad they differ by 1e-4 rad.
    assert abs(overlap) == pytest.approx(1, **_near("chain"))


def _near(kind: str) -> dict[str, float]:
    both = tolerance(kind, torch.float32)
    return {"rel": both["rtol"], "abs": both["atol"]}


def test_slices_that_are_not_there(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="has 3 slices") as caught:
        slices_of(tiny, 2, crop_z=[2, 4])
    assert caught.value.field == "start.crop_z"


def test_thicknesses_of_slices_that_change(tiny: Tiny) -> None:
    section = {"file": "earlier.h5", "take": ["object", "thickness"], "pad_z": [1, 0]}
    with pytest.raises(ConfigError, match="crop_z and pad_z change"):
        tiny_run(tiny, start=section, object={"slices": 4, "thickness_per": "gap"})


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({"crop_z": [2, 2]}, "holds no slice"),
        ({"take": ["probe"], "pad_z": [1, 0]}, "without object"),
        ({"take": ["object"], "move_probe": 1}, "without probe"),
        ({"pad_with": ["air", "edge"]}, "'vacuum', 'mean' or 'edge'"),
    ],
)
def test_what_the_config_refuses(start: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check(base={**check().model_dump(), "start": {"file": "a.h5", **start}})


def test_a_probe_that_moves_takes_its_fitted_focus_along(tiny: Tiny) -> None:
    earlier = read_results(tiny.folder / "earlier.h5")
    fitted = {"defocus": 80.0, "C12a": 1.0}
    write_results(replace(earlier, aberrations=fitted), tiny.folder / "fitted.h5")
    section = {"file": "fitted.h5", "take": ["probe"], "move_probe": 35.0}
    lens = {"aberrations": ["C10", "C12a"]}
    run = tiny_run(tiny, start=section, probe=lens)
    assert run.results().aberrations == pytest.approx({"C10": -45.0, "C12a": 1.0})


@pytest.mark.parametrize(
    ("start", "gaps", "thickness", "phase"),
    [
        # Layers of 10, 30 and 20 Angstrom, the last as the mean of the gaps, then of 30 each.
        ({}, [10.0, 30.0], 30.0, [0.1 + 0.2 * 20 / 30, 0.2 * 10 / 30 + 0.6]),
        # Three alike, into layers of 15, 15, 30 and 20 parts of 80.
        ({}, [20.0, 20.0], [15.0, 15.0, 30.0], [0.05625, 0.06875, 0.325, 0.45]),
        ({"crop_z": [1, 3], "pad_z": [1, 0]}, [10.0, 30.0], 30.0, [0.1, 0.1 + 0.6]),
    ],
)
def test_slices_that_are_not_alike_are_shared_by_depth(
    tiny: Tiny,
    start: dict[str, Any],
    gaps: list[float],
    thickness: float | list[float],
    phase: list[float],
) -> None:
    earlier = read_results(tiny.folder / "earlier.h5")
    uneven = replace(earlier, thickness=np.array(gaps, np.float32))
    write_results(uneven, tiny.folder / "uneven.h5")
    section = {"file": "uneven.h5", "take": ["object"], "resample_z": True, **start}
    per = "gap" if isinstance(thickness, list) else "object"
    depth = {"slices": len(phase), "thickness": thickness, "thickness_per": per}
    model = tiny_run(tiny, start=section, object=depth).model
    middle = model.phase.shape[-1] // 2
    assert model.phase[0, :, middle, middle].tolist() == pytest.approx(phase, **_near("sum"))
