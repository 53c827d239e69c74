"""The unknowns before the first iteration, and what the forward model knows beside them."""

from __future__ import annotations

from typing import Any

from tests.config.table.entries import Change, Entry, array_file, below

__all__ = ["MODEL"]

TWO_MODES = {"object": {"modes": 2}}
EACH = {"object": {"tilt_per": "position"}}
SOURCE = {"probe": {"source_size": 0.3}}
VACUUM = {"path": "vacuum.npy"}
FLIPPED = {"preprocess": [{"step": "flip", "flip_y": True}, {"step": "centre"}]}
# The earlier object has 2 modes and 3 slices.
SAME = {"slices": 3, "modes": 2}


def took(
    value: Any, sees: str = "start", object: dict[str, Any] | None = None, **start: Any
) -> Change:
    """Of a run that begins with ``start.h5``."""
    base = {"object": {**SAME, **(object or {})}, "start": {"file": "start.h5", **start}}
    return Change(value, sees, base)


MODEL: dict[str, Entry] = {
    **below(
        "object",
        {
            "slices": Change(3, "loss"),
            "thickness": Change(21.0, "loss"),
            "thickness_per": Change("gap", "start"),
            "tilt_mrad": Change([1.0, 0.0], "loss"),
            "tilt_per": Change("position", "start", {"object": {"tilt_mrad": [1.0, 0.0]}}),
            "modes": Change(2, "loss"),
            "occupancy": Change([0.7, 0.3], "loss", TWO_MODES),
            "mode_phase": Change(0.02, "loss", TWO_MODES),
            "propagator": Change("fresnel", "loss", {"object": {"thickness": 500.0}}),
            "margin": Change(4, "start"),
        },
    ),
    **array_file("object.tilts", "loss", "tilts_one", "tilts_two", EACH),
    **below(
        "probe",
        {
            "modes": Change(3, "loss"),
            "mode_power": Change(0.2, "loss"),
            "source_size": Change(0.3, "loss"),
            "source_points": Change(4, "loss", SOURCE),
            "aberrations": Change(["defocus"], "start"),
        },
    ),
    **array_file("probe.start", "start", "probe", "probe_2"),
    # The other is the one that the beam's section gives.
    "probe.start": Change({"path": "a.h5", "dataset": "probe_2"}, "start"),
    "probe.vacuum": Change(VACUUM, "start"),
    **below(
        "probe.vacuum",
        {
            "path": Change("vacuum_2.npy", "start", {"probe": {"vacuum": VACUUM}}),
            "dataset": Change(
                "two", "start", {"probe": {"vacuum": {"path": "vacuum.npz", "dataset": "one"}}}
            ),
            "format": Change("tiff", "refusal", {"probe": {"vacuum": VACUUM}}),
            "of": Change("preprocessed", "start", {"probe": {"vacuum": VACUUM}, **FLIPPED}),
            "threshold": Change(0.3, "start", {"probe": {"vacuum": VACUUM}}),
            "recentre": Change(False, "start", {"probe": {"vacuum": VACUUM}}),
        },
    ),
    "detector.blur": Change(0.5, "loss"),
    "start": Change({"file": "start.h5"}, "start", {"object": SAME}),
    **below(
        "start",
        {
            "file": took("other.h5"),
            "take": took(["object", "probe"]),
            "crop_z": took([1, 3], object={"slices": 3}, resample_z=True),
            "pad_z": took([1, 0], resample_z=True),
            "pad_with": took(["edge", "vacuum"], object={"slices": 4}, pad_z=[1, 0]),
            "resample_z": took(True, "refusal", object={"slices": 2}),
            "move_probe": took(10.0),
        },
    ),
}
