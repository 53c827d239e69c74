"""The steps before the fit."""

from __future__ import annotations

from typing import Any

from tests.config.table.entries import Change, Entry

__all__ = ["PREPROCESS"]


def step(name: str, sees: str = "patterns", **base: Any) -> Any:
    """How an entry for a field of this step is made: of its other value."""
    data = base.pop("data", {})

    def change(value: Any, sees: str = sees, /, **more: Any) -> Change:
        item = {"step": name, **base, **more}
        return Change(value, sees, {"data": data, "preprocess": [item]})

    return change


def file_of(name: str, field: str, one: str, other: str, **base: Any) -> dict[str, Entry]:
    """The fields of a step's array file."""
    change = step(name, **base, **{field: {"path": "a.h5", "dataset": one}})
    return {"path": change("b.h5"), "dataset": change(other)}


def item(name: str, fields: dict[str, Entry]) -> dict[str, Entry]:
    return {f"preprocess.{name}.{field}": entry for field, entry in fields.items()}


crop = step("crop", rows=[0, 4])
lift = step("remove_negative", data={"dataset": "negative"})
spots = step("hot_pixels", data={"dataset": "spots"})
level = step("background")
shift = step("centre", at=[7, 8])
divide = step("normalise")
wider = step("pad", size=20)
noise = step("poisson_noise", electrons_per_pattern=1000)

PREPROCESS: dict[str, Entry] = {
    "preprocess": Change([{"step": "bin", "factor": 2}], "patterns"),
    **item(
        "permute",
        {"axes": step("permute", axes=["fast", "slow", "y", "x"])(["slow", "fast", "x", "y"])},
    ),
    **item("reshape", {"scan_shape": step("reshape", "positions", scan_shape=[5, 6])([6, 5])}),
    **item(
        "flip",
        {
            "of": step("flip", flip_y=True)("scan"),
            "flip_y": step("flip", flip_x=True)(True),
            "flip_x": step("flip", flip_y=True)(True),
            "transpose": step("flip", flip_y=True)(True),
        },
    ),
    **item(
        "crop",
        {
            "rows": crop([1, 4]),
            "columns": crop([1, 4]),
            "y": crop([2, 16]),
            "x": crop([2, 14]),
            "size": crop(12),
        },
    ),
    **item("bin", {"factor": step("bin", factor=2)([2, 1])}),
    **item(
        "remove_negative",
        {
            "mode": lift("subtract_min"),
            "value": lift(2.0, mode="clip_below", value=1.0),
            "only_if_negative": step("remove_negative", mode="subtract", value=1.0)(True),
        },
    ),
    **item(
        "hot_pixels",
        {
            "find": spots("none"),
            "dead": spots(False),
            "threshold": spots(1e6),
            "contrast": spots(1e6),
            "radius": spots(1, threshold=0.5, contrast=1.0),
            "pixels": spots([[2, 3]]),
            "boxes": spots([[[0, 2], [0, 3]]]),
            "mask": spots({"path": "a.h5", "dataset": "mask_one"}),
        },
    ),
    **item("hot_pixels.mask", file_of("hot_pixels", "mask", "mask_one", "mask_two")),
    **item(
        "background",
        {
            "model": level("radial"),
            "value": level(3.0),
            "outside": level(1.4),
            "factor": level(0.5),
            # Without a file this model is refused, and a file with any other.
            "image": level(
                {"path": "a.h5", "dataset": "dark_two"},
                model="image",
                image={"path": "a.h5", "dataset": "dark_one"},
            ),
        },
    ),
    **item(
        "background.image",
        file_of("background", "image", "dark_one", "dark_two", model="image"),
    ),
    **item(
        "centre",
        {
            "method": step("centre", data={"dataset": "spots"})("mass"),
            "at": shift([6, 8]),
            "edge": shift("wrap"),
        },
    ),
    **item(
        "normalise",
        {
            "to": divide("max"),
            "value": divide(3.0, to="constant", value=2.0),
            "exposure": divide(
                {"path": "a.h5", "dataset": "exposure_two"},
                to="exposure",
                exposure={"path": "a.h5", "dataset": "exposure_one"},
            ),
        },
    ),
    **item(
        "normalise.exposure",
        file_of("normalise", "exposure", "exposure_one", "exposure_two", to="exposure"),
    ),
    **item(
        "pad",
        {
            "size": wider([20, 18]),
            "fill": wider("zero"),
            "value": wider(2.0, fill="constant", value=1.0),
            "percentile": wider(60.0, fill="exp"),
            "stored": wider(True, "memory"),
        },
    ),
    **item(
        "resample",
        {
            "factor": step("resample", factor=2)(1.5),
            "stored": step("resample", "memory", factor=2)(True),
        },
    ),
    **item("source_size", {"std": step("source_size", std=1.0)(1.1)}),
    **item("detector_blur", {"std": step("detector_blur", std=1.0)(1.1)}),
    **item(
        "poisson_noise",
        {
            "electrons_per_pattern": noise(2000),
            "electrons_per_A2": step("poisson_noise", electrons_per_A2=1000)(2000),
            "seed": noise(1),
        },
    ),
}
