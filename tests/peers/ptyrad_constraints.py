"""Every constraint of PtyRAD, by its name and options there."""

from __future__ import annotations

from typing import Any

__all__ = ["CONSTRAINTS"]

# What the numbers are stored under: (PtyRAD's name, its options). Options that are the defaults in
# both programs would not show that they mean the same.
CONSTRAINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "probe_mask_k": ("probe_mask_k", {"radius": 0.5, "width": 0.15, "power_thresh": 0.85}),
    "probe_mask_r": (
        "probe_mask_r",
        {"radius": 0.7, "order": 2, "power_thresh": 0.85, "z_range": [-40, 60], "z_steps": 11},
    ),
    "ortho_pmode": ("ortho_pmode", {}),
    "fix_probe_int": ("fix_probe_int", {}),
    "obj_rblur": ("obj_rblur", {"obj_type": "both", "kernel_size": 7, "std": 1.1}),
    "obj_rblur, defaults": ("obj_rblur", {"obj_type": "phase", "kernel_size": 5, "std": 0.4}),
    "obj_zblur": ("obj_zblur", {"obj_type": "both", "kernel_size": 3, "std": 0.8}),
    "obj_zblur, defaults": ("obj_zblur", {"obj_type": "amplitude", "kernel_size": 5, "std": 1.0}),
    "kr_filter": ("kr_filter", {"obj_type": "both", "radius": 0.6, "width": 0.4}),
    "kz_filter": ("kz_filter", {"obj_type": "both", "beta": 0.6, "alpha": 2.0}),
    "kr_thresh": ("kr_thresh", {"obj_type": "both", "thresh": 0.3}),
    "complex_ratio": ("complex_ratio", {"obj_type": "both", "alpha1": 0.7, "alpha2": 0.2}),
    "mirrored_amp": ("mirrored_amp", {"relax": 0.3, "scale": 0.05, "power": 3.0}),
    "obj_z_recenter": ("obj_z_recenter", {"thresh": None, "scale": 0.6, "max_shift": 10}),
    # As far as to the next slice.
    "obj_z_recenter, whole": ("obj_z_recenter", {"thresh": 97, "scale": 1, "max_shift": 1}),
    "obja_thresh": ("obja_thresh", {"relax": 0.2, "thresh": [0.93, 1.02]}),
    "objp_postiv": ("objp_postiv", {"relax": 0.25}),
    "objp_postiv, subtract": ("objp_postiv", {"relax": 0.25, "mode": "subtract_min"}),
    "pos_recenter": ("pos_recenter", {"relax": 0.2}),
    "tilt_smooth": ("tilt_smooth", {"std": 1.3}),
}
