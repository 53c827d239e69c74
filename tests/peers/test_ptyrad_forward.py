"""The forward model and its gradients against PtyRAD 1.0.0."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fastpty import ops, reference
from fastpty.optics import Aberrations, detector_blur, electron_wavelength, focused_probe
from fastpty.optics.grid import spatial_frequencies
from tests.peers.agreement import OPTICS, assert_agrees, ptyrad, tensors
from tests.peers.ptyrad_inputs import BATCH, FORWARD, HAIDER, LENS, RIM, THICKNESS, Case, state

IMPLEMENTATIONS = {
    "reference": reference.multislice_intensity,
    "ops": ops.multislice_intensity,
}
CASES = pytest.mark.parametrize("name", FORWARD)


def run(
    op: Callable[..., torch.Tensor], name: str, dtype: torch.dtype = torch.float64
) -> dict[str, torch.Tensor]:
    """Intensity and gradients in PtyRAD's order and spelling."""
    case = FORWARD[name]
    leaves = tensors(state(case), dtype)
    leaves["thickness"] = torch.tensor(THICKNESS, dtype=dtype)
    corner = leaves.pop("corner")
    occupancy = leaves.pop("occupancy")
    for leaf in leaves.values():
        leaf.requires_grad_()
    batch = torch.tensor(BATCH)
    tilt = leaves.get("tilt")
    intensity = op(
        leaves["probe"],
        (leaves["amplitude"], leaves["phase"]),
        corner[batch],
        leaves["shift"][batch],
        leaves["thickness"],
        tilt[batch] if case.tilts == "each" else tilt,
        occupancy,
        **OPTICS,
    )
    # PtyRAD adds it to every intensity; in fastpty it belongs to the loss.
    intensity = blurred(torch.fft.fftshift(intensity, dim=(-2, -1)) + 1e-10, case)
    upstream = ptyrad(f"forward/{name}/upstream")[f"forward/{name}/upstream"]
    intensity.backward(upstream.to(intensity.dtype))
    found = {"intensity": intensity.detach()}
    found |= {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    found["probe"] = torch.view_as_real(found["probe"])
    return found


def blurred(centred: torch.Tensor, case: Case) -> torch.Tensor:
    if case.blur is None:
        return centred
    y, x = (torch.fft.fftshift(detector_blur(n, case.blur)).to(centred.dtype) for n in case.window)
    return y @ centred @ x


def compare(
    name: str, found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], kind: str
) -> None:
    seen = slice(None) if FORWARD[name].blur is None else slice(RIM, -RIM)
    for what in expected:
        part = (..., seen, seen) if what == "intensity" else ...
        assert_agrees(found[what][part].double(), expected[what][part].double(), kind, what)


@CASES
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_in_double_precision(implementation: str, name: str) -> None:
    """The formulas are the same ones: PtyRAD's code, run in double precision."""
    found = run(IMPLEMENTATIONS[implementation], name)
    compare(name, found, ptyrad(f"forward/{name}/double"), "ptyrad propagated")


@CASES
def test_as_ptyrad_runs(name: str) -> None:
    """In single precision, whose roundings PtyRAD's own numbers have: many, where it fits the
    thickness, as it then has a phase of thousands of rad in that precision."""
    found = run(reference.multislice_intensity, name)
    kind = "ptyrad thickness" if FORWARD[name].moves_thickness else "ptyrad single"
    compare(name, found, ptyrad(f"forward/{name}/single"), kind)


@CASES
def test_fused_kernel(name: str) -> None:
    """In single precision, against PtyRAD's code in double precision."""
    found = run(ops.multislice_intensity, name, torch.float32)
    compare(name, found, ptyrad(f"forward/{name}/double"), "single intensity")


def test_wavelength() -> None:
    energies = (80.0, 200.0, 300.0)
    ours = torch.tensor([electron_wavelength(kv) for kv in energies], dtype=torch.float64)
    assert_agrees(ours, ptyrad("optics")["wavelength"], "ptyrad")


def test_aberrations() -> None:
    """Same names, units, signs and azimuths: the lens's phase is the same all over the aperture,
    whose edge is soft in fastpty and hard in PtyRAD."""
    shape, pixel = (LENS["pixels"],) * 2, LENS["pixel_size"]
    wavelength = electron_wavelength(LENS["energy_kv"])
    lens = Aberrations(LENS["aberrations"])
    settings = {"semiangle_mrad": LENS["semiangle_mrad"], "wavelength": wavelength}
    ours = focused_probe(shape, pixel, aberrations=lens, **settings)
    theirs = ptyrad("optics")["probe"].numpy()
    spectra = [np.fft.fft2(np.fft.ifftshift(probe)) for probe in (ours, theirs)]
    ky, kx = spatial_frequencies(shape, pixel)
    edge = LENS["semiangle_mrad"] * 1e-3 / wavelength
    inside = np.hypot(ky, kx) < edge - 1 / (LENS["pixels"] * pixel)
    assert inside.sum() > 50
    assert np.ptp(lens.chi(ky, kx, wavelength)[inside]) > math.pi  # there is something to compare
    phases = [torch.from_numpy(np.exp(1j * np.angle(spectrum[inside]))) for spectrum in spectra]
    assert_agrees(*phases, "ptyrad")


def test_haiders_names() -> None:
    """His comas, stars and rosettes are the (n + 1)-th of Krivanek's. PtyRAD takes 4 instead of 5
    for two of the fourth order."""
    ours = [Aberrations({name: 1.0}).cartesian[f"C{n}{m}"][0] for name, (n, m) in HAIDER.items()]
    theirs = dict(zip(HAIDER, ptyrad("optics")["haider"].tolist(), strict=True))
    assert (theirs["B4"], theirs["D4"]) == (4, 4)
    theirs |= {"B4": 5.0, "D4": 5.0}
    assert ours == list(theirs.values())
