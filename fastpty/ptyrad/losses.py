"""``loss_params`` and ``constraint_params``."""

from __future__ import annotations

from typing import Any

from fastpty.ptyrad.native import Native
from fastpty.ptyrad.schema import ConstraintParams, LossParams, Schedule

__all__ = ["map_constraints", "map_losses"]

# PtyRAD's name -> the native one, and its options beside the weight.
_LOSSES: dict[str, tuple[str, dict[str, str]]] = {
    "loss_single": ("gaussian", {"dp_pow": "power"}),
    "loss_poissn": ("poisson", {"dp_pow": "power", "eps": "eps"}),
    "loss_pacbed": ("pacbed", {"dp_pow": "power"}),
    "loss_sparse": ("sparse", {"ln_order": "power"}),
    "loss_simlar": ("similarity", {"obj_type": "parts", "blur_std": "blur"}),
}

_PART = {"obj_type": "of"}
_BLUR = {**_PART, "kernel_size": "kernel_size", "std": "std"}
_MASK = {"radius": "radius", "power_thresh": "power"}

# PtyRAD's name -> the native one, and its options beside the schedule.
_CONSTRAINTS: dict[str, tuple[str, dict[str, str]]] = {
    "ortho_pmode": ("orthogonal_modes", {}),
    "probe_mask_k": ("probe_aperture", {**_MASK, "width": "width"}),
    "probe_mask_r": (
        "probe_support",
        {**_MASK, "order": "order", "z_range": "z_range", "z_steps": "z_steps"},
    ),
    "fix_probe_int": ("probe_power", {}),
    "obj_rblur": ("blur_xy", _BLUR),
    "obj_zblur": ("blur_z", _BLUR),
    "kr_filter": ("lowpass_xy", {**_PART, "radius": "radius", "width": "width"}),
    "kz_filter": ("missing_wedge", {**_PART, "beta": "beta", "alpha": "alpha"}),
    "kr_thresh": ("sparse_dct", {**_PART, "thresh": "keep"}),
    "complex_ratio": ("complex_ratio", {**_PART, "alpha1": "alpha1", "alpha2": "alpha2"}),
    "mirrored_amp": (
        "mirrored_amplitude",
        {"relax": "relax", "scale": "scale", "power": "power"},
    ),
    "obj_z_recenter": (
        "recentre_depth",
        {"thresh": "percentile", "scale": "scale", "max_shift": "max_shift"},
    ),
    "obja_thresh": ("amplitude_clamp", {"relax": "relax"}),
    "objp_postiv": ("positive_phase", {"relax": "relax"}),
    "pos_recenter": ("recentre_positions", {"relax": "relax"}),
    "tilt_smooth": ("smooth_tilt", {"std": "std"}),
}


def map_losses(params: LossParams, native: Native) -> None:
    """The ``loss`` section. A term that is off or has no weight is off."""
    for name, (target, options) in _LOSSES.items():
        term: Any = getattr(params, name)
        origin = f"loss_params.{name}"
        given = term.model_fields_set
        if given and "state" not in given and not term.state:
            native.note(origin, "is given without state, and stays off, as in PtyRAD.")
        if not term.state or term.weight == 0:
            native.put(f"loss.{target}", False, f"{origin}.state")
            continue
        native.put(f"loss.{target}.weight", term.weight, f"{origin}.weight")
        _put(native, f"loss.{target}", origin, term, options)
        if target == "similarity":
            _blocks(native, f"{origin}.scale_factor", term.scale_factor)


def _put(native: Native, path: str, origin: str, section: Any, names: dict[str, str]) -> None:
    for name, target in names.items():
        native.put(f"{path}.{target}", getattr(section, name), f"{origin}.{name}")


def _blocks(native: Native, origin: str, factors: list[float]) -> None:
    """A factor of 1/n is an average over n."""
    blocks = [max(1, round(1 / factor)) if factor > 0 else 1 for factor in factors]
    if any(abs(1 / n - factor) > 1e-3 * factor for n, factor in zip(blocks, factors, strict=True)):
        native.note(origin, f"is {factors}: blocks of whole voxels are averaged, {blocks}.")
    native.put("loss.similarity.blocks", blocks, origin)


def map_constraints(params: ConstraintParams, native: Native) -> None:
    """The ``constraints`` section: each is given in full, or off."""
    for name, (target, options) in _CONSTRAINTS.items():
        section: Any = getattr(params, name)
        origin, path = f"constraint_params.{name}", f"constraints.{target}"
        if not _acts(section):
            native.put(path, False, f"{origin}.start_iter")
            continue
        if getattr(section, "std", None) == 0:
            native.put(path, False, f"{origin}.std")
            continue
        if target == "smooth_tilt" and native.content["object"]["tilt_per"] == "scan":
            native.put(path, False, origin)
            native.note(origin, "does nothing with one tilt for all positions; it is off.")
            continue
        native.put(f"{path}.start", section.start_iter, f"{origin}.start_iter")
        native.put(f"{path}.every", section.step or 1, f"{origin}.step")
        if section.end_iter is not None:
            native.put(f"{path}.stop", section.end_iter - 1, f"{origin}.end_iter")
        _put(native, path, origin, section, options)
        if target == "amplitude_clamp":
            low, high = section.thresh
            native.put(f"{path}.low", low, f"{origin}.thresh")
            native.put(f"{path}.high", high, f"{origin}.thresh")


def _acts(section: Schedule) -> bool:
    """PtyRAD's end is the first iteration without it."""
    if section.start_iter is None:
        return False
    return section.end_iter is None or section.end_iter > section.start_iter
