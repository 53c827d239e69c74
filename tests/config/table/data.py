"""The experiment: files, beam, calibration, scan."""

from __future__ import annotations

from typing import Any

from tests.config.table.entries import Change, Elsewhere, Entry, array_file, below

__all__ = ["DATA"]

STACK = {"path": "stack.npy", "dataset": None, "scan_mismatch": "crop"}
RAW = {
    "path": "raw.raw",
    "dataset": None,
    "format": "raw",
    "pattern_shape": [16, 14],
    "dtype": "float32",
    "offset": 64,
    "scan_shape": [5, 6],
    "scan_mismatch": "crop",
}
LISTED = {"path": "a.h5", "dataset": "positions_A", "unit": "angstrom"}


def data(value: Any, sees: str = "patterns", **base: Any) -> Change:
    return Change(value, sees, {"data": base})


def calibrated(value: Any, **base: Any) -> Change:
    return Change(value, "start", {"calibration": {"pixel_size": None, **base}})


def parts(value: float) -> Change:
    """Of the named parts of the scan's matrix."""
    return Change(value, "positions", {"scan": {"affine_parts": {}}})


DATA: dict[str, Entry] = {
    "units": Change(
        "pixel",
        "positions",
        {
            "object": {"slices": 1, "thickness": None},
            "probe": {"start": {"path": "a.h5", "dataset": "probe"}},
        },
        also={"beam": None, "calibration": None},
    ),
    **below(
        "data",
        {
            "path": data("b.h5"),
            "dataset": data("data_2"),
            "format": data("mat", "refusal"),
            "scan_shape": data([6, 5], "positions", **STACK, scan_shape=[5, 6]),
            "scan_mismatch": data("refuse", "refusal", **STACK, scan_shape=[5, 6]),
            "skip": data(3, **STACK, scan_shape=[5, 6]),
            "flyback": data(1, **STACK, scan_shape=[5, 6]),
            "axes": data(["slow", "fast", "x", "y"]),
            "pattern_shape": data([14, 16], **RAW),
            "dtype": data("int32", **RAW),
            "offset": data(64 + 4 * 16 * 14, **RAW),
            "gap": data(4 * 16 * 14, **RAW),
            "zero_frequency": data("corner"),
            "negative": data("clip", "refusal", dataset="negative"),
            "scratch": Elsewhere("tests/measurements/test_on_disk.py::test_a_run_from_the_disk"),
            "leave_out": data(0.2, "loss"),
            "half": data({"part": 1}, "loss"),
            "half.split": data("random", "loss", half={"part": 1}),
            "half.part": data(2, "loss", half={"part": 1}),
            "half.seed": data(1, "loss", half={"split": "random"}),
        },
    ),
    **array_file("data.mask", "patterns", "mask_one", "mask_two"),
    "beam": Change({"energy_kv": 200, "semiangle_mrad": 12}, "start"),
    **below(
        "beam",
        {
            "energy_kv": Change(200, "start"),
            "semiangle_mrad": Change(15, "start"),
            "aberrations": Change({"defocus": 80, "C12": 20}, "start"),
        },
    ),
    "calibration": Change({"dk": 0.15}, "start"),
    **below(
        "calibration",
        {
            "pixel_size": Change(0.41, "start"),
            "dk": calibrated(0.16, dk=0.15),
            "mrad_per_pixel": calibrated(3.1, mrad_per_pixel=3.0),
            "max_angle_mrad": calibrated(22.0, max_angle_mrad=21.0),
            "disc_radius_px": calibrated("fit", disc_radius_px=4.5),
            "of": Change(
                "preprocessed",
                "start",
                {
                    "calibration": {"pixel_size": None, "dk": 0.15},
                    "preprocess": [{"step": "resample", "factor": 2}],
                },
            ),
        },
    ),
    **below(
        "scan",
        {
            "step": Change(1.05, "positions"),
            "rotation_deg": Change(1.0, "positions"),
            "affine": Change([[1.0, 0.02], [0.0, 1.0]], "positions"),
            "affine_parts": Change({"shear_deg": 1.0}, "positions"),
            "affine_parts.scale": parts(1.02),
            "affine_parts.asymmetry": parts(0.02),
            "affine_parts.rotation_deg": parts(1.0),
            "affine_parts.shear_deg": parts(1.0),
            "jitter_px": Change(0.1, "positions"),
            "positions": Change(
                {**LISTED, "dataset": "positions_2"}, "positions", also={"scan": {"step": None}}
            ),
            "positions.path": Change(
                "b.h5", "positions", {"scan": {"step": None, "positions": LISTED}}
            ),
            "positions.dataset": Change(
                "positions_2", "positions", {"scan": {"step": None, "positions": LISTED}}
            ),
            "positions.unit": Change(
                "pixel", "positions", {"scan": {"step": None, "positions": LISTED}}
            ),
        },
    ),
}
