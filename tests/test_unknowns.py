"""Tilt, thickness, occupancy and aberrations are found where the object is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty import reference
from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.optics import Aberrations, electron_wavelength
from fastpty.recon import Reconstruction
from tests.recon_cases import smooth_noise
from tests.thick_cases import DEFOCUS, GAP, SCAN, Seen, make_thick, thick_run
from tests.tolerances import bound, tolerance

LENS = (("defocus", DEFOCUS + 20.0), ("C12a", 12.0), ("C12b", -8.0))


def free(name: str, lr: float, **others: Any) -> dict[str, Any]:
    return {name: {"lr": lr}, **others}


def fitted(folder: Path, seen: Seen, **changes: Any) -> Reconstruction:
    make_thick(folder, seen)
    run = thick_run(folder, **changes)
    run.run()
    return run


def tilts_over_the_scan() -> NDArray[np.float64]:
    """[N, 2] mrad, from -3 to 3, smooth."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SCAN), indexing="ij")
    return np.stack([3 * np.sin(1.5 * x), -3 * y * x], axis=-1).reshape(-1, 2)


def test_a_tilt_of_the_crystal(tmp_path: Path) -> None:
    run = fitted(tmp_path, Seen(tilt=[[2.0, -2.2]]), optimise=free("tilt", 0.3))
    error = run.results().tilt - [[2.0, -2.2]]
    assert np.linalg.norm(error) < bound("tilt")
    assert run.history.unknowns["tilt"][-1] == pytest.approx(run.results().tilt[0].tolist())
    assert "tilt_spread" not in run.history.unknowns


def test_a_tilt_at_each_position(tmp_path: Path) -> None:
    true = tilts_over_the_scan()
    run = fitted(
        tmp_path,
        Seen(tilt=true),
        object={"tilt_per": "position"},
        optimise=free("tilt", 0.3),
    )
    found = run.results().tilt
    assert np.sqrt(np.square(found - true).sum(axis=1).mean()) < bound("tilt")
    spread = run.history.unknowns["tilt_spread"][-1]
    np.testing.assert_allclose(spread, found.std(axis=0), **tolerance("sum", torch.float32))


def test_a_thickness_that_is_a_tenth_wrong(tmp_path: Path) -> None:
    run = fitted(tmp_path, Seen(thickness=1.1 * GAP), optimise=free("thickness", 0.3))
    assert run.results().thickness == pytest.approx(1.1 * GAP, rel=bound("known object"))
    assert run.history.unknowns["thickness"][-1] == [float(run.results().thickness)]


def test_a_thickness_of_each_gap(tmp_path: Path) -> None:
    true = [18.0, 22.0, 21.0]
    run = fitted(
        tmp_path,
        Seen(thickness=true),
        object={"thickness_per": "gap"},
        optimise=free("thickness", 0.3),
    )
    np.testing.assert_allclose(run.results().thickness, true, rtol=bound("known object"))
    assert len(run.history.unknowns["thickness"][-1]) == 3


def test_the_occupancy_of_two_modes(tmp_path: Path) -> None:
    run = fitted(
        tmp_path,
        Seen(occupancy=[0.3, 0.7]),
        object={"modes": 2},
        optimise=free("occupancy", 0.03),
    )
    np.testing.assert_allclose(run.results().occupancy, [0.3, 0.7], rtol=bound("known object"))


def test_an_occupancy_stays_a_share(tmp_path: Path) -> None:
    """Steps larger than the weights themselves: none is negative, their sum is 1."""
    seen = Seen(occupancy=[0.0, 0.9, 0.1])
    run = fitted(
        tmp_path,
        seen,
        object={"modes": 3},
        optimise=free("occupancy", 0.2, iterations=2, schedule={"decay": None, "hold": 0}),
    )
    history = np.array(run.history.unknowns["occupancy"])
    assert history.min() >= 0
    np.testing.assert_allclose(history.sum(axis=1), 1, **tolerance("sum", torch.float32))


@pytest.mark.parametrize("source_size", [0.0, 0.3])
def test_aberrations_of_the_probe(tmp_path: Path, source_size: float) -> None:
    """The probe is moved by nothing else; a source of finite size lies behind the same lens."""
    make_thick(tmp_path, Seen(aberrations=LENS))
    changes: dict[str, Any] = {
        "start": {"take": ["object"]},
        "probe": {
            "aberrations": ["defocus", "C12"],
            "source_size": source_size,
            "source_points": 2,
        },
    }
    if source_size:
        # The data that such a source makes, by the program itself.
        lens = {"aberrations": dict(LENS)}
        true = thick_run(tmp_path, **changes, beam=lens)
        patterns = true._patterns(torch.arange(len(true.measurements.patterns)))[1]
        _replace(tmp_path / "thick.h5", patterns)
    run = thick_run(tmp_path, **changes, optimise=free("aberrations", 0.1))
    run.run()
    found = run.results().aberrations
    assert list(found) == ["defocus", "C12a", "C12b"]
    for name, value in LENS:
        assert found[name] == pytest.approx(value, rel=bound("known object")), name
    assert run.history.unknowns["aberrations"][-1] == pytest.approx(list(found.values()))


def _replace(path: Path, patterns: NDArray[np.float32]) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        file["data"][...] = patterns.reshape(file["data"].shape)


def test_aberrations_and_the_probe_together(tmp_path: Path) -> None:
    """The few numbers lead: pixel by pixel the probe comes less far in the same time."""
    make_thick(tmp_path, Seen(aberrations=LENS))
    both, alone = (
        thick_run(
            tmp_path,
            probe={"aberrations": ["defocus", "C12"]},
            optimise=free("aberrations", lr, probe={"lr": 1e-3}, iterations=10),
        )
        for lr in (0.1, 0.0)
    )
    both.run()
    alone.run()
    assert both.history.loss[-1] < 0.1 * alone.history.loss[-1]


def test_what_moved_is_folded_into_the_probe(tmp_path: Path) -> None:
    """Between iterations the probe is the start probe with the aberrations that are reported, and
    its power the same."""
    make_thick(tmp_path, Seen(aberrations=LENS))
    run = thick_run(
        tmp_path,
        probe={"aberrations": ["defocus", "C12"]},
        optimise=free("aberrations", 0.1, iterations=3),
    )
    start = run.model.probe.clone()
    run.run()
    k = np.fft.fftfreq(32, 0.3)
    change = Aberrations(run.results().aberrations)
    chi = change.chi(k[:, None], k[None], electron_wavelength(300))
    expected = np.fft.ifft2(np.fft.fft2(start.numpy()) * np.exp(-1j * chi))
    close = tolerance("transform", torch.float32, scale=float(start.abs().max()))
    np.testing.assert_allclose(run.model.probe.detach().numpy(), expected, **close)
    before, after = (float(p.detach().abs().square().sum()) for p in (start, run.model.probe))
    assert after == pytest.approx(before, rel=tolerance("transform", torch.float32)["rtol"])


EVERYTHING: dict[str, Any] = {
    "object": {"modes": 2, "tilt_per": "position", "thickness_per": "gap"},
    "probe": {"aberrations": ["defocus", "A1", "B2"]},
    "constraints": {"smooth_tilt": {"std": 0.5}},
}


def everything_free(folder: Path, iterations: int) -> Reconstruction:
    names = ("tilt", "thickness", "occupancy", "aberrations", "phase", "positions")
    rates = {name: {"lr": 0.01, "start": 1 + i} for i, name in enumerate(names)}
    rates["aberrations"]["stop"] = 5
    optimise = {**rates, "iterations": iterations, "schedule": {"decay": None, "hold": 0}}
    return thick_run(folder, **EVERYTHING, optimise=optimise)


@pytest.mark.parametrize("stopped_after", [3, 5])
def test_resumed_equals_unbroken(tmp_path: Path, stopped_after: int) -> None:
    """Bit by bit, with all of them under way."""
    make_thick(tmp_path, Seen(occupancy=[0.4, 0.6]))
    unbroken, first, resumed = (everything_free(tmp_path, n) for n in (7, stopped_after, 7))
    unbroken.run()
    first.run()
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    assert len(unbroken.model.unknowns) == 8
    for name, tensor in unbroken.model.unknowns.items():
        assert torch.equal(resumed.model.unknowns[name], tensor), name
    for name in ("loss", "unknowns"):
        assert getattr(resumed.history, name) == getattr(unbroken.history, name)


def test_what_is_fixed_has_no_history_and_no_gradient(tmp_path: Path) -> None:
    make_thick(tmp_path, Seen(occupancy=[0.4, 0.6]))
    run = thick_run(tmp_path, **EVERYTHING, optimise={"phase": {"lr": 1e-3}, "iterations": 1})
    run.run()
    assert run.model.tilt is None
    assert run.history.unknowns == {}
    moved = [name for name, tensor in run.model.unknowns.items() if tensor.grad is not None]
    assert moved == ["phase"]


def test_modes_start_apart_and_stay_the_same_for_a_seed(tmp_path: Path) -> None:
    make_thick(tmp_path, Seen())
    changes: dict[str, Any] = {
        "start": {"take": ["probe"]},
        "object": {"modes": 3, "mode_phase": 0.2},
    }
    phase = thick_run(tmp_path, **changes).model.phase
    assert torch.equal(phase, thick_run(tmp_path, **changes).model.phase)
    assert not torch.equal(phase, thick_run(tmp_path, **changes, seed=1).model.phase)
    assert not phase[0].any()
    assert not torch.equal(phase[1], phase[2])
    assert float(phase[1:].std()) == pytest.approx(0.2, rel=bound("sampled"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("coupling", "found"),
    [
        ({}, False),
        ({"blur_z": {"std": 1.0}}, True),
        ({"missing_wedge": {}}, True),
        ({"total_variation_z": {"weight": 0.01}}, True),
    ],
    ids=["none", "blur_z", "missing_wedge", "total_variation_z"],
)
def test_a_common_tilt_and_a_free_object(
    tmp_path: Path, coupling: dict[str, Any], found: bool
) -> None:
    """docs/unknowns.md: of columns whose slices nothing couples, part of the tilt becomes shear."""
    true = np.array([2.0, -2.2])
    run = fitted(
        tmp_path,
        Seen(tilt=true[None], columns=True),
        start={"take": ["probe"]},
        constraints=coupling,
        optimise={
            "tilt": {"lr": 0.05, "start": 5},
            "phase": {"lr": 5e-3},
            "iterations": 60,
            "schedule": {"decay": "linear", "hold": 30, "floor": 0.02},
        },
    )
    error = float(np.linalg.norm(run.results().tilt[0] - true))
    assert (error < bound("tilt")) is found


def test_a_common_tilt_is_a_shear_of_the_object() -> None:
    """docs/unknowns.md: slice z moved by z dz tan(t) and no tilt make the same patterns."""
    pixel, gap, tilt, slices, size = 0.3, 20.0, (3.0, -4.0), 4, 48
    phase = np.stack([smooth_noise((size, size), seed) for seed in range(slices)])
    transmission = np.exp(1j * phase)
    frequency = np.fft.fftfreq(size)
    sheared = []
    for z in range(slices):
        dy, dx = (z * gap * math.tan(t * 1e-3) / pixel for t in tilt)
        ramp = np.exp(-2j * np.pi * (frequency[:, None] * dy + frequency[None] * dx))
        sheared.append(np.fft.ifft2(np.fft.fft2(transmission[z]) * ramp))
    y, x = np.indices((size, size)) - size // 2
    probe = torch.from_numpy(np.exp(-(y**2 + x**2) / 40 + 0j))[None]

    def patterns(obj: NDArray[np.complex128], tilt: torch.Tensor | None) -> torch.Tensor:
        return reference.multislice_intensity(
            probe,
            torch.from_numpy(obj)[None],
            torch.zeros(1, 2, dtype=torch.int64),
            torch.zeros(1, 2, dtype=torch.float64),
            gap,
            tilt,
            wavelength=electron_wavelength(300),
            pixel_size=pixel,
        )

    tilted = patterns(transmission, torch.tensor([tilt], dtype=torch.float64))
    upright = patterns(np.stack(sheared), None)
    close = tolerance("chain", torch.float32, scale=float(tilted.max()))
    torch.testing.assert_close(upright, tilted, **close)
    assert not torch.allclose(patterns(transmission, None), tilted, **close)
