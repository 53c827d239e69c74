"""What is written, where the run is, and what it is compared with."""

from __future__ import annotations

from typing import Any

from tests.config.table.entries import Change, Elsewhere, Entry, below

__all__ = ["OUTPUT"]


def image(value: Any, **others: Any) -> Change:
    """Of a job that writes TIFF files."""
    images = {"images": ["phase", "probe_amplitude"], **others}
    return Change(value, "files", {"output": {"tiff": images}, "object": {"modes": 2}})


# Empty in neither unit: the disc is 14 mrad wide.
RINGS = {"BF": [0.0, 1.2]}

OUTPUT: dict[str, Entry] = {
    **below(
        "output",
        {
            "folder": Elsewhere("tests/test_cli.py::test_the_output_folder_of_the_config"),
            "checkpoint_every": Change(1, "checkpoints"),
            "snapshots": Change([1], "snapshots"),
            "snapshot_patterns": Change(2, "snapshots", {"output": {"snapshots": ["final"]}}),
            "figures": Elsewhere("tests/test_job.py::test_figures"),
            "report": Elsewhere("tests/report/test_command.py::test_a_run_writes_its_report"),
            "progress": Elsewhere("tests/test_progress.py::test_output_progress"),
            "virtual.unit": Change("mrad", "files", {"output": {"virtual": {"rings": RINGS}}}),
            "virtual.rings": Change({"DF": [1.2, 1.4]}, "files"),
            "tiff": Change(True, "files"),
            "tiff.images": image(["phase_sum"]),
            "tiff.object_modes": image("each"),
            "tiff.area": image("full"),
            "tiff.type": image("uint8"),
            "tiff.ranges": image({"phase": [-1.0, 1.0]}, type="uint8"),
        },
    ),
    "truth": Change("a.h5", "files"),
    "device": Change("cuda", "device"),
    "memory": Elsewhere("tests/test_memory.py::test_batches_in_parts"),
}
