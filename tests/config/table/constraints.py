"""The constraints: each is switched on or off, and each of its fields changed, in a run of two
iterations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.config.table.entries import Change, Entry
from tests.recon_cases import merged

__all__ = ["CONSTRAINTS"]

BLUR = {"std": 0.6, "kernel_size": 3, "of": "phase"}
VARIATION = {"weight": 2e-3, "inner": 1, "of": "phase"}
THICK = {"object": {"slices": 4}}
FUNCTIONS = "tests.constraints.own_functions"


def constraint(
    name: str, fields: Mapping[str, Any], on: Mapping[str, Any] | None = None, **base: Any
) -> dict[str, Entry]:
    """Whether it acts, when, and the fields of its own, each with another value.

    Parameters
    ----------
    on : how it is switched on.
    base : of the config beside it.
    """
    section = dict(on or {})
    acts = merged(base, {"constraints": {name: section}})
    rests = merged(base, {"constraints": {name: False}})
    when = {"start": 2, "stop": 1, "every": 2}
    place = f"constraints.{name}"
    return {
        place: Change(section, "unknowns", rests),
        **{f"{place}.{f}": Change(v, "unknowns", acts) for f, v in {**when, **fields}.items()},
    }


CONSTRAINTS: dict[str, Entry] = {
    **constraint("probe_aperture", {"radius": 0.3, "width": 0.06, "power": 0.5}, {"radius": 0.6}),
    **constraint(
        "probe_support",
        {"radius": 0.9, "order": 5, "power": 0.5, "z_range": [-50, 50], "z_steps": 50},
    ),
    **constraint("orthogonal_modes", {}),
    **constraint("probe_power", {}),
    **constraint("blur_xy", BLUR),
    **constraint("blur_z", BLUR),
    **constraint("lowpass_xy", {"radius": 0.2, "width": 0.06, "of": "phase"}),
    **constraint("missing_wedge", {"beta": 0.9, "alpha": 0.9, "of": "phase"}),
    **constraint("sparse_dct", {"keep": 0.1, "of": "phase"}),
    **constraint("total_variation_xy", VARIATION),
    **constraint("total_variation_z", VARIATION),
    **constraint(
        "remove_leakage",
        {
            "amplitude": True,
            "phase": True,
            "ramp": False,
            "raster": 0.5,
            "raster_width": 1.1,
            "raster_orders": 2,
        },
        scan={"step": 2.0},
        constraints={"probe_power": False},
    ),
    **constraint("complex_ratio", {"alpha1": 0.9, "alpha2": 0.1, "of": "phase"}),
    **constraint("mirrored_amplitude", {"relax": 0.2, "scale": 0.04, "power": 1.0}, {"power": 1.5}),
    **constraint(
        "recentre_depth",
        {"percentile": 50.0, "scale": 0.5, "max_shift": 0.01},
        object={"slices": 4},
    ),
    **constraint(
        "amplitude_clamp",
        {"low": 0.9995, "high": 1.0005, "relax": 0.5},
        {"low": 0.999, "high": 1.001},
    ),
    **constraint("positive_phase", {"mode": "subtract_min", "relax": 0.5}),
    **constraint("recentre_positions", {"relax": 0.5}),
    **constraint(
        "smooth_tilt",
        {"std": 1.9},
        object={"tilt_per": "position"},
        optimise={"tilt": {"lr": 0.1}},
    ),
    "constraints.custom": Change([{"call": f"{FUNCTIONS}:double_phase"}], "unknowns"),
    **{
        f"constraints.custom.{field}": Change(
            value, "unknowns", {"constraints": {"custom": [{"call": f"{FUNCTIONS}:add_phase"}]}}
        )
        for field, value in {
            "start": 2,
            "stop": 1,
            "every": 2,
            "call": f"{FUNCTIONS}:double_phase",
            "options": {"amount": 0.5},
        }.items()
    },
}
