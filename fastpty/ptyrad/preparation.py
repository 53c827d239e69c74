"""``init_params.meas_*``: what is done to the recorded patterns, as steps of ``preprocess``."""

from __future__ import annotations

from typing import Any

from fastpty.errors import ConfigError
from fastpty.ptyrad.native import Native
from fastpty.ptyrad.schema import InitParams

__all__ = ["Shape", "map_preparation"]

Step = dict[str, Any]

_NEGATIVE = {
    "subtract_min": "subtract_min",
    "subtract_value": "subtract",
    "clip_value": "clip_below",
}


class Shape:
    """Scan and window as the steps leave them: ``slow``, ``fast``, ``pixels``."""

    def __init__(self, init: InitParams) -> None:
        self.slow, self.fast = init.pos_N_scan_slow, init.pos_N_scan_fast
        self.pixels = init.meas_Npix


def map_preparation(init: InitParams, native: Native) -> Shape:
    """The ``preprocess`` section, in PtyRAD's order.

    Raises
    ------
    ConfigError : a selection that no step expresses, or a window that shrinks while it is padded.
    """
    shape = Shape(init)
    steps = {
        "meas_params.selection": _selection(init),
        "meas_flipT": _flip(init),
        "meas_crop": _crop(init, shape),
        "meas_remove_neg_values": _negative(init),
        "meas_pad": _pad(init, native, shape),
        "meas_resample": _resample(init, native, shape),
        "meas_add_source_size": _source_size(init),
        "meas_add_detector_blur": _detector_blur(init),
        "meas_add_poisson_noise": _poisson_noise(init),
        "simu_Npix": _simulated_window(init, native, shape),
    }
    given = [(origin, step) for origin, step in steps.items() if step is not None]
    if given:
        native.content["preprocess"] = [step for _, step in given]
    for index, (origin, _) in enumerate(given):
        native.origins[f"preprocess.{index}"] = f"init_params.{origin}"
    if init.meas_normalization.mode != "max_at_one":
        native.note(
            "init_params.meas_normalization",
            f"is {init.meas_normalization.mode}: patterns are always scaled so that the brightest "
            "pixel of their mean is 1, to which the probe's learning rate belongs.",
        )
    if init.meas_export:
        native.note("init_params.meas_export", "is not written.")
    return shape


def _selection(init: InitParams) -> Step | None:
    """Of a raster of patterns; another kind of file would have to be read another way."""
    selection = init.meas_params.selection
    if selection is None:
        return None
    ranges = selection if isinstance(selection, list) else [selection]
    plain = all(
        part is None
        or (isinstance(part, list) and len(part) == 2 and all(type(n) is int for n in part))
        for part in ranges
    )
    if len(ranges) != 4 or not plain or init.meas_permute is not None:
        raise ConfigError(
            "init_params.meas_params.selection",
            f"is {selection!r}; what can be read is a part of [slow, fast, ky, kx], each of the "
            "four null or [start, stop], without meas_permute.",
            "Write the selected patterns to a file of their own.",
        )
    return _cut(ranges)


def _cut(ranges: list[list[int] | None]) -> Step | None:
    names = ("rows", "columns", "y", "x")
    given = {name: part for name, part in zip(names, ranges, strict=True) if part is not None}
    return {"step": "crop", **given} if given else None


def _flip(init: InitParams) -> Step | None:
    up_down, left_right, transpose = map(bool, init.meas_flipT or [0, 0, 0])
    if not (up_down or left_right or transpose):
        return None
    return {
        "step": "flip",
        "of": "pattern",
        "flip_y": up_down,
        "flip_x": left_right,
        "transpose": transpose,
    }


def _crop(init: InitParams, shape: Shape) -> Step | None:
    ranges = init.meas_crop
    if ranges is None:
        return None
    sizes = (shape.slow, shape.fast, shape.pixels, shape.pixels)
    # As Python cuts: beyond the end, or counted from it.
    cut = [
        None if part is None else list(slice(*part).indices(size)[:2])
        for part, size in zip(ranges, sizes, strict=True)
    ]
    shape.slow, shape.fast, _, shape.pixels = (
        size if part is None else part[1] - part[0] for part, size in zip(cut, sizes, strict=True)
    )
    return _cut(cut)


def _negative(init: InitParams) -> Step | None:
    section = init.meas_remove_neg_values
    if section.mode == "clip_neg":
        return None  # data.negative: clip
    step = {
        "step": "remove_negative",
        "mode": _NEGATIVE[section.mode],
        "only_if_negative": not section.force,
    }
    if section.mode != "subtract_min":
        step["value"] = section.value
    return step


def _pad(init: InitParams, native: Native, shape: Shape) -> Step | None:
    section, origin = init.meas_pad, "init_params.meas_pad"
    if section is None or section.mode is None:
        return None
    if section.target_Npix < shape.pixels:
        raise ConfigError(
            f"{origin}.target_Npix",
            f"is {section.target_Npix}, less than the {shape.pixels} px that the patterns have.",
            "Set it to at least that, or set mode to null.",
        )
    if section.target_Npix == shape.pixels:
        return None
    fill, shape.pixels = section.padding_type, section.target_Npix
    if fill in ("constant", "linear_ramp") and section.value:
        native.note(
            f"{origin}.value",
            f"is {section.value:g}, in PtyRAD's scale; outside the detector it is zero here.",
        )
    step = {
        "step": "pad",
        "size": shape.pixels,
        "fill": "zero" if fill == "constant" else fill,
        "stored": section.mode == "precompute",
    }
    if fill in ("exp", "power") and section.threshold is not None:
        step["percentile"] = section.threshold
    return step


def _resample(init: InitParams, native: Native, shape: Shape) -> Step | None:
    section = init.meas_resample
    if section is None or section.mode is None:
        return None
    factor = min(section.scale_factors)
    if factor != max(section.scale_factors):
        native.note(
            "init_params.meas_resample.scale_factors", f"differ: {factor:g} is used for both."
        )
    if factor == 1:
        return None
    shape.pixels = int(shape.pixels * factor)
    return {"step": "resample", "factor": factor, "stored": section.mode == "precompute"}


def _simulated_window(init: InitParams, native: Native, shape: Shape) -> Step | None:
    """Patterns simulated to wider angles and cropped for the loss: what is padded unmeasured."""
    size = init.simu_Npix
    if size is None or size == shape.pixels:
        return None
    if init.simu_match_mode != "crop" or size < shape.pixels:
        native.note(
            "init_params.simu_Npix",
            f"= {size} with simu_match_mode = {init.simu_match_mode} is not honoured: patterns are "
            f"simulated on the {shape.pixels} px of the measured ones.",
        )
        return None
    shape.pixels = size
    return {"step": "pad", "size": size, "fill": "masked"}


def _source_size(init: InitParams) -> Step | None:
    std = init.meas_add_source_size
    return None if std is None else {"step": "source_size", "std": std}


def _detector_blur(init: InitParams) -> Step | None:
    std = init.meas_add_detector_blur
    return None if std is None else {"step": "detector_blur", "std": std}


def _poisson_noise(init: InitParams) -> Step | None:
    noise = init.meas_add_poisson_noise
    if noise is None:
        return None
    per_pattern = noise.unit == "total_e_per_pattern"
    dose = "electrons_per_pattern" if per_pattern else "electrons_per_A2"
    return {"step": "poisson_noise", dose: noise.value, "seed": init.random_seed or 0}
