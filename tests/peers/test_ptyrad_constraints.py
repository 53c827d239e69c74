"""Every constraint of PtyRAD 1.0.0 against fastpty's of the same meaning.

Where fastpty differs on purpose, the test applies that difference, and nothing else, to what is
compared; docs/ptyrad-agreement.md lists them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fastpty.config.solve import ConstraintsConfig
from fastpty.constraints import CONSTRAINTS, apply_constraints
from fastpty.constraints.cosine import cosine_transform
from fastpty.model import Model
from tests.peers.agreement import assert_agrees, complex_of, model_of, ptyrad
from tests.peers.ptyrad_inputs import Arrays, transformed

RASTER = (3, 4)
OFF = dict.fromkeys(CONSTRAINTS)

Tensors = dict[str, torch.Tensor]


def after(name: str, settings: dict[str, Any], arrays: Arrays, raster: Any = RASTER) -> Tensors:
    """The tensors that a constraint of fastpty has changed, by PtyRAD's names for them here."""
    model = model_of(arrays, raster)
    before = {k: t.clone() for k, t in of(model).items()}
    apply_constraints(model, ConstraintsConfig(**(OFF | {name: settings or True})), 1)
    return {k: t for k, t in of(model).items() if not torch.equal(t, before[k])}


def of(model: Model) -> Tensors:
    tensors = dict(model.unknowns) | ({} if model.tilt is None else {"tilt": model.tilt})
    tensors["shift"] = tensors.pop("positions")
    return tensors


def theirs(name: str) -> Tensors:
    found = ptyrad(f"constraint/{name}")
    return found | ({"probe": complex_of(found["probe"])} if "probe" in found else {})


def compare(name: str, ours: Tensors, kind: str = "ptyrad") -> None:
    expected = theirs(name)
    assert set(ours) == set(expected)
    for what, tensor in ours.items():
        assert_agrees(tensor, expected[what], kind, what)


# PtyRAD's name -> fastpty's, and the options in its words: the same numbers.
EQUAL: dict[str, tuple[str, dict[str, Any]]] = {
    "probe_mask_k": ("probe_aperture", {"radius": 0.5, "width": 0.15, "power": 0.85}),
    "fix_probe_int": ("probe_power", {}),
    "obj_zblur": ("blur_z", {"kernel_size": 3, "std": 0.8}),
    "obj_zblur, defaults": ("blur_z", {"of": "amplitude", "std": 1.0}),
    "kz_filter": ("missing_wedge", {"beta": 0.6, "alpha": 2.0}),
    "mirrored_amp": ("mirrored_amplitude", {"relax": 0.3, "scale": 0.05, "power": 3.0}),
    "obja_thresh": ("amplitude_clamp", {"relax": 0.2, "low": 0.93, "high": 1.02}),
    "objp_postiv": ("positive_phase", {"relax": 0.25}),
    "objp_postiv, subtract": ("positive_phase", {"relax": 0.25, "mode": "subtract_min"}),
    "pos_recenter": ("recentre_positions", {"relax": 0.2}),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name: str) -> None:
    constraint, settings = EQUAL[name]
    compare(name, after(constraint, settings, transformed()))


def test_complex_ratio() -> None:
    """PtyRAD adds 1e-8 to both divisors."""
    ours = after("complex_ratio", {"alpha1": 0.7, "alpha2": 0.2}, transformed())
    compare("complex_ratio", ours, "ptyrad offset")


def test_orthogonal_modes_up_to_a_phase() -> None:
    """The phase of an eigenvector is free."""
    ours = after("orthogonal_modes", {}, transformed())["probe"]
    expected = theirs("ortho_pmode")["probe"]
    compare("ortho_pmode", {"probe": in_phase(ours, expected, dim=(-2, -1))})


def test_probe_support() -> None:
    """PtyRAD's grid goes from -1 to 1 over the pixels, from the first one's centre to the last
    one's: on an odd window it has its centre at N//2 as fastpty has, and R = 1 at (N - 1) / 2
    pixels from there, not N / 2."""
    arrays = transformed()
    pixels = arrays["probe"].shape[-1]
    options = {"order": 2, "power": 0.85, "z_range": [-40, 60], "z_steps": 11}
    radius = 0.7 * (pixels - 1) / pixels
    ours = after("probe_support", {"radius": radius, **options}, arrays)
    # PtyRAD adds 1e-8 to the radius.
    compare("probe_mask_r", ours, "ptyrad offset")


@pytest.mark.parametrize(
    ("name", "settings", "taps"),
    [
        ("obj_rblur", {"std": 1.1, "kernel_size": 7}, 7),
        ("obj_rblur, defaults", {"of": "phase", "std": 0.4}, 5),
    ],
)
def test_blur_xy(name: str, settings: dict[str, Any], taps: int) -> None:
    """PtyRAD continues the object as its mirror image, fastpty by its edge: given the mirror image
    as a part of the object, fastpty has the same inside."""
    rim = taps // 2
    larger = mirrored(transformed(), ("amplitude", "phase"), rim)
    inner = (..., slice(rim, -rim), slice(rim, -rim))
    ours = after("blur_xy", settings, larger)
    compare(name, {what: tensor[inner] for what, tensor in ours.items()})


def mirrored(arrays: Arrays, names: tuple[str, ...], rim: int) -> Arrays:
    """With a rim of the mirror image; the edge pixel is not repeated."""
    result = dict(arrays)
    for name in names:
        widths = [(0, 0)] * (arrays[name].ndim - 2) + [(rim, rim)] * 2
        result[name] = np.pad(arrays[name], widths, mode="reflect")
    return result


def test_smooth_tilt() -> None:
    """As the blur of the object: the raster is mirrored in PtyRAD."""
    arrays = transformed()
    planes = {"tilt": arrays["tilt"].T.reshape(2, *RASTER)}
    larger = mirrored(planes, ("tilt",), 2)["tilt"]
    raster = larger.shape[1:]
    grown = arrays | {"tilt": larger.reshape(2, -1).T.copy()}
    ours = after("smooth_tilt", {"std": 1.3}, grown, raster)["tilt"]
    inner = ours.T.reshape(2, *raster)[:, 2:-2, 2:-2]
    compare("tilt_smooth", {"tilt": inner.reshape(2, -1).T})


def test_lowpass_xy() -> None:
    """fastpty's factor at f = 0 is 1, so that a wide edge does not dim the object."""
    arrays = transformed()
    ours = after("lowpass_xy", {"radius": 0.6, "width": 0.4}, arrays)
    dimmed = 1 - 1 / (1 + math.exp(-5 * 0.6 / 0.4))
    mean = {k: torch.from_numpy(arrays[k]).mean(dim=(-2, -1), keepdim=True) for k in ours}
    compare("kr_filter", {k: tensor - dimmed * mean[k] for k, tensor in ours.items()})


def test_cosine_transform() -> None:
    """PtyRAD's has twice the value along each axis."""
    phase = torch.from_numpy(transformed()["phase"])
    assert_agrees(4 * cosine_transform(phase), ptyrad("dct")["dct"], "ptyrad")


def test_sparse_dct() -> None:
    """fastpty keeps the coefficients that PtyRAD keeps: taken back by PtyRAD's inverse, which has
    2 N - 1 points instead of 2 N, they give PtyRAD's object."""
    ours = after("sparse_dct", {"keep": 0.3}, transformed())
    for name, tensor in ours.items():
        kept = 4 * cosine_transform(tensor)
        for axis in (-2, -1):
            kept = short_inverse(kept.movedim(axis, -1)).movedim(-1, axis)
        ours[name] = kept
    compare("kr_thresh", ours)


def short_inverse(coefficients: torch.Tensor) -> torch.Tensor:
    """x[n] = (C[0] / 2 + sum_k C[k] cos(pi k / (2 N) + 2 pi k n / (2 N - 1))) / (2 N - 1)."""
    length = coefficients.shape[-1]
    k = torch.arange(length, dtype=torch.float64)
    angle = math.pi * k / (2 * length) + 2 * math.pi * k * k[:, None] / (2 * length - 1)
    matrix = torch.cos(angle) / (2 * length - 1)
    matrix[:, 0] /= 2
    return coefficients @ matrix.T


def test_recentre_depth_by_a_whole_slice() -> None:
    """Then it makes no difference that PtyRAD shifts a exp(i phi), fastpty a and phi."""
    name = "obj_z_recenter, whole"
    compare(name, recentred(name, {"percentile": 97.0, "max_shift": 1.0}), "ptyrad offset")


def test_recentre_depth_by_a_part_of_one() -> None:
    """The probe tells by how much."""
    name = "obj_z_recenter"
    ours = recentred(name, {"percentile": None, "scale": 0.6})
    assert_agrees(ours["probe"], theirs(name)["probe"], "ptyrad offset")


def recentred(name: str, settings: dict[str, Any]) -> Tensors:
    """Without a tilt, which PtyRAD leaves out where it propagates the probe, and with its phase
    exp(i k dz), which fastpty leaves out."""
    ours = after(
        "recentre_depth", settings, {k: v for k, v in transformed().items() if k != "tilt"}
    )
    return ours | {"probe": in_phase(ours["probe"], theirs(name)["probe"])}


def in_phase(probe: torch.Tensor, expected: torch.Tensor, dim: Any = None) -> torch.Tensor:
    """Times the phase that brings it closest to the expected one."""
    overlap = (expected * probe.conj()).sum(dim=dim, keepdim=dim is not None)
    return probe * overlap / overlap.abs()
