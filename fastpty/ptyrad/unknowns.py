"""``init_params`` about object, probe and tilt: their size, and where they start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastpty.errors import ConfigError
from fastpty.ptyrad.experiment import Paths
from fastpty.ptyrad.native import Native
from fastpty.ptyrad.schema import FilePathWithKey, InitParams, TiltParams
from fastpty.ptyrad_model import tilt_count

__all__ = ["map_object", "map_probe", "map_start", "map_tilt"]


def map_object(init: InitParams, native: Native) -> None:
    """Slices and object modes, as PtyRAD's steps on the object leave them."""
    slices, thickness = init.obj_Nlayer, init.obj_slice_thickness
    if init.obj_z_crop is not None:
        slices = len(range(slices)[slice(*init.obj_z_crop)])
    if init.obj_z_pad is not None:
        slices += sum(layers or 0 for layers in init.obj_z_pad.pad_layers)
    if init.obj_z_resample is not None:
        whole = slices * thickness
        slices = _resampled(init.obj_z_resample.mode, init.obj_z_resample.value, slices, thickness)
        thickness = whole / slices
    native.put("object.slices", slices, "init_params.obj_Nlayer")
    native.put("object.thickness", thickness, "init_params.obj_slice_thickness")
    if isinstance(init.obj_params, list) and init.obj_source == "simu":
        native.note(
            "init_params.obj_params",
            "is not used: the object has the slices and modes of obj_Nlayer and obj_omode_max, and "
            "as much room as the scan needs.",
        )
    native.put("object.modes", init.obj_omode_max, "init_params.obj_omode_max")
    occupancy = init.obj_omode_init_occu
    if occupancy.occu_type == "custom":
        native.put("object.occupancy", occupancy.init_occu, "init_params.obj_omode_init_occu")


def _resampled(mode: str, value: float, slices: int, thickness: float) -> int:
    """PtyRAD rounds a number of slices down."""
    if mode == "target_Nlayer":
        return int(value)
    factor = {
        "scale_Nlayer": value,
        "scale_slice_thickness": 1 / value,
        "target_slice_thickness": thickness / value,
    }[mode]
    return max(1, int(slices * factor))


def map_probe(init: InitParams, native: Native, paths: Paths) -> None:
    """Probe modes and their start; one from the beam needs no more."""
    modes, origin = init.probe_pmode_max, "init_params.probe_pmode_init_pows"
    power = min(init.probe_pmode_init_pows)
    if modes > 1 and power == 0:
        native.note(origin, "is 0: modes without intensity stay without it, so there is one.")
        modes = 1
    native.put("probe.modes", modes, "init_params.probe_pmode_max")
    if modes > 1:
        # Each further mode is given this power beside a first one of 1, and all are scaled.
        native.put("probe.mode_power", power / (1 + power * (modes - 1)), origin)
    if len(set(init.probe_pmode_init_pows[1:])) > 1:
        native.note(origin, f"are unequal: as in PtyRAD the least, {power:g}, is that of each.")
    if init.probe_source == "py4DSTEM":
        path = paths.absolute("init_params.probe_params", str(init.probe_params))
        native.put("probe.start", {"path": path, "dataset": "probe"}, "init_params.probe_params")
    elif init.probe_source not in ("simu", "PtyRAD"):
        raise ConfigError(
            "init_params.probe_source",
            f"is {init.probe_source}, whose probe is not read.",
            "Save it as [modes, Ny, Nx] in an npy or HDF5 file, take probe_source: simu, and after "
            "fastpty convert name it in probe.start.",
        )
    if init.probe_z_shift and init.probe_source == "py4DSTEM":
        raise ConfigError(
            "init_params.probe_z_shift",
            f"is {init.probe_z_shift:g}, but a probe of py4DSTEM's is taken as it stands.",
            "Leave it out.",
        )
    if init.probe_permute is not None:
        native.note("init_params.probe_permute", "is ignored: the file's order is known.")
    if init.probe_normalization.mode != "mean_total_ints":
        native.note(
            "init_params.probe_normalization",
            f"is {init.probe_normalization.mode}: the probe has the intensity of the mean pattern.",
        )


def map_tilt(init: InitParams, native: Native, paths: Paths) -> None:
    """Tilt of the scan or of each position.

    Raises
    ------
    ConfigError : tilts in an array that a parameter file cannot name.
    """
    given, origin = init.tilt_params, "init_params.tilt_params"
    if init.tilt_source == "custom":
        raise ConfigError(
            "init_params.tilt_source",
            "is custom: an array in memory, which a parameter file cannot name.",
            "Save it and take tilt_source: file.",
        )
    if isinstance(given, TiltParams):
        tilts = given.init_tilts
        count = len(tilts)
        mean = [sum(tilt[axis] for tilt in tilts) / count for axis in (0, 1)]
        if count > 1:
            native.note(f"{origin}.init_tilts", f"are {count}: every position starts at the mean.")
        native.put("object.tilt_mrad", mean, f"{origin}.init_tilts")
        each = "position" if given.tilt_type == "each" else "scan"
        native.put("object.tilt_per", each, f"{origin}.tilt_type")
    elif isinstance(given, FilePathWithKey):
        tilts_file: dict[str, Any] = {"path": paths.absolute(f"{origin}.path", given.path)}
        if given.key:
            tilts_file["dataset"] = given.key.replace(".", "/")
        native.put("object.tilts", tilts_file, f"{origin}.path")
        native.put("object.tilt_per", "position", origin)


def map_start(init: InitParams, native: Native, paths: Paths) -> None:
    """What is taken from an earlier reconstruction: the ``start`` section.

    Raises
    ------
    ConfigError : unknowns from different files, or from another program's.
    """
    if init.obj_source not in ("simu", "PtyRAD"):
        raise ConfigError(
            "init_params.obj_source",
            f"is {init.obj_source}, whose object is not read.",
            "Take obj_source: simu, or a reconstruction of fastpty or PtyRAD.",
        )
    sources = {
        "object": ("obj", init.obj_source, init.obj_params),
        "probe": ("probe", init.probe_source, init.probe_params),
        "positions": ("pos", init.pos_source, init.pos_params),
        "tilt": ("tilt", init.tilt_source, init.tilt_params),
    }
    files = {
        name: (f"init_params.{key}_params", str(path))
        for name, (key, source, path) in sources.items()
        if source == "PtyRAD"
    }
    if not files:
        return
    (first, path), *others = files.values()
    for origin, other in others:
        if other != path:
            raise ConfigError(
                origin,
                f"is {other}, but {first} is {path}; a run starts from one file.",
                "Name one file for all that is loaded.",
            )
    native.put("start.file", paths.absolute(first, path), first)
    native.put("start.take", list(files), first)
    if "object" in files:
        _start_depth(init, native)
    if "probe" in files and init.probe_z_shift:
        native.put("start.move_probe", init.probe_z_shift, "init_params.probe_z_shift")
    if "tilt" in files:
        each = tilt_count(Path(native.content["start"]["file"])) != 1
        native.put("object.tilt_per", "position" if each else "scan", "init_params.tilt_source")


def _start_depth(init: InitParams, native: Native) -> None:
    if init.obj_z_crop is not None:
        first, end, _ = slice(*init.obj_z_crop).indices(init.obj_Nlayer)
        native.put("start.crop_z", [first, end], "init_params.obj_z_crop")
    if init.obj_z_pad is not None:
        layers = [count or 0 for count in init.obj_z_pad.pad_layers]
        native.put("start.pad_z", layers, "init_params.obj_z_pad.pad_layers")
        native.put("start.pad_with", init.obj_z_pad.pad_types, "init_params.obj_z_pad.pad_types")
    if init.obj_z_resample is not None:
        native.put("start.resample_z", True, "init_params.obj_z_resample")
