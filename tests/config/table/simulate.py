"""The fields of ``fastpty simulate``."""

from __future__ import annotations

from typing import Any

from tests.config.table.entries import Change, Elsewhere, Entry, below

__all__ = ["SIMULATE"]


def specimen(value: Any, sees: str = "patterns", **base: Any) -> Change:
    return Change(value, sees, {"specimen": base})


def scan(value: Any, sees: str = "true_positions") -> Change:
    return Change(value, sees)


def detector(value: Any, sees: str = "patterns", **base: Any) -> Change:
    return Change(value, sees, {"detector": base})


OWN = {"structure": "cell.xyz"}

SIMULATE: dict[str, Entry] = {
    **below(
        "specimen",
        {
            "structure": specimen("cell.xyz"),
            "thickness_A": specimen(8.0),
            "repeat": specimen([2, 1], vacuum_A=1.0),
            "vacuum_A": specimen(1.0),
            "slice_thickness_A": specimen(4.0),
            "debye_waller_B_A2": specimen({"Sr": 1.0}),
            "default_B_A2": specimen(1.0, **OWN),
            "frozen_phonons": specimen(1),
            "tilt_mrad": specimen([5.0, 0.0]),
        },
    ),
    **below(
        "optics",
        {
            "energy_kv": Change(200.0, "patterns"),
            "semiangle_mrad": Change(16.0, "patterns"),
            "defocus_A": Change(10.0, "patterns"),
            "aberrations": Change({"C12": 10.0}, "patterns"),
            "source_fwhm_A": Change(0.5, "patterns"),
            "source_order": Change(4, "patterns", {"optics": {"source_fwhm_A": 0.5}}),
        },
    ),
    **below(
        "scan",
        {
            "shape": scan([2, 3], "positions"),
            "step_A": scan([0.5, 0.8], "positions"),
            "rotation_deg": scan(5.0, "positions"),
            "offset_A": scan([0.2, 0.0], "patterns"),
            "drift_A": scan([0.2, 0.0]),
            "jitter_A": scan(0.1),
        },
    ),
    **below(
        "detector",
        {
            "pixels": detector(18),
            "max_angle_mrad": detector(41.0),
            "dose_e_per_A2": detector(1e4),
            "dtype": detector("float32", dose_e_per_A2=1e4),
        },
    ),
    **below(
        "grid",
        {
            "method": Change("crystal", "patterns"),
            "oversample": Change(2, "patterns"),
            "refine": Change(3, "patterns"),
            "memory_limit_GiB": Change(1e-6, "refusal"),
        },
    ),
    "seed": Change(1, "patterns", {"scan": {"jitter_A": 0.1}}),
    "output": Elsewhere("tests/test_cli.py::test_the_file_that_a_simulations_config_names"),
}
