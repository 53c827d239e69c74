"""``init_params`` about the experiment: data, calibration, beam, scan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastpty.errors import ConfigError
from fastpty.ptyrad.aberrations import krivanek
from fastpty.ptyrad.native import Native
from fastpty.ptyrad.schema import FilePathWithKey, InitParams

__all__ = ["Paths", "map_beam", "map_calibration", "map_data", "map_scan"]

# Bytes between frames in an EMPAD file, PtyRAD's default for every raw file.
_GAP = 1024


class Paths:
    """Files that a PtyRAD file names, as absolute paths.

    PtyRAD looks from the current folder. A file that is not there but beside the parameter file is
    taken from there.
    """

    def __init__(self, native: Native, folder: Path) -> None:
        self._native = native
        self._folder = folder

    def absolute(self, origin: str, path: str) -> str:
        """The path of a file to be read."""
        here, beside = os.path.abspath(path), os.path.abspath(self._folder / path)
        if os.path.exists(here) or not os.path.exists(beside):
            return here
        self._native.note(origin, f"is taken from the parameter file's folder: {beside}.")
        return beside


def map_data(init: InitParams, native: Native, paths: Paths) -> None:
    """The ``data`` section.

    Raises
    ------
    ConfigError : patterns that are in no file, or an order of axes that is none.
    """
    section, origin = init.meas_params, "init_params.meas_params"
    if init.meas_source == "custom":
        raise ConfigError(
            "init_params.meas_source",
            "is custom: an array in memory, which a parameter file cannot name.",
            "Save it as npy or HDF5 and name the file in meas_params.",
        )
    native.put("data.path", paths.absolute(f"{origin}.path", section.path), f"{origin}.path")
    suffix = Path(section.path).suffix.lower()
    if section.key and suffix not in (".raw", ".tif", ".tiff", ".npy"):
        # PtyRAD's keys have dots between their parts, but in zarr stores.
        key = section.key if suffix == ".zarr" else section.key.replace(".", "/")
        native.put("data.dataset", key.strip("/"), f"{origin}.key")
    if suffix == ".raw":
        _raw(section, init, native)
    elif suffix == ".mat":
        _matlab(Path(native.content["data"]["path"]), native)
    if section.selection is None:  # else the file's own is another
        scan = [init.pos_N_scan_slow, init.pos_N_scan_fast]
        native.put("data.scan_shape", scan, "init_params.pos_N_scan_slow")
    native.put("data.negative", "clip", "init_params.meas_remove_neg_values")
    _axes(init, native)
    for name in section.model_extra or {}:
        native.note(f"{origin}.{name}", "is no field of PtyRAD's; it is ignored.")
    if section.zarr_kwargs:
        native.note(f"{origin}.zarr_kwargs", "is ignored: the reader finds out itself.")


def _raw(section: FilePathWithKey, init: InitParams, native: Native) -> None:
    origin = "init_params.meas_params"
    window = [init.meas_Npix, init.meas_Npix]
    if section.shape is not None:
        if len(section.shape) != 3:
            raise ConfigError(f"{origin}.shape", f"must be [N, Ny, Nx]; found {section.shape}.")
        window = section.shape[1:]
    native.put("data.format", "raw", f"{origin}.path")
    native.put("data.pattern_shape", window, f"{origin}.shape")
    native.put("data.dtype", "float32", f"{origin}.path")
    native.put("data.offset", section.offset or 0, f"{origin}.offset")
    native.put("data.gap", _GAP if section.gap is None else section.gap, f"{origin}.gap")


def _matlab(path: Path, native: Native) -> None:
    """Version 7.3 is HDF5, whose axes PtyRAD takes as they stand; MATLAB counts the other way."""
    origin = "init_params.meas_params.path"
    if not path.is_file():
        native.note(
            origin,
            f"is {path}, which is not there. If it is of version 7.3, set data.format to hdf5: "
            "PtyRAD does not turn its axes round.",
        )
    elif h5py.is_hdf5(path):
        native.put("data.format", "hdf5", origin)


def _axes(init: InitParams, native: Native) -> None:
    order = init.meas_permute
    if order is not None and order != list(range(len(order))):
        names = {3: ("n", "y", "x"), 4: ("slow", "fast", "y", "x")}.get(len(order))
        if names is None or sorted(order) != list(range(len(order))):
            raise ConfigError(
                "init_params.meas_permute",
                f"must be an order of 3 or 4 axes, each once; found {order}.",
            )
        axes = [names[order.index(axis)] for axis in range(len(order))]
        native.put("data.axes", axes, "init_params.meas_permute")
    shape = init.meas_reshape
    if shape is not None and shape[1:] != [init.meas_Npix, init.meas_Npix]:
        raise ConfigError(
            "init_params.meas_reshape",
            f"must end in meas_Npix, meas_Npix = {init.meas_Npix}, {init.meas_Npix}; "
            f"found {shape}.",
        )


def map_calibration(init: InitParams, native: Native) -> None:
    """The ``calibration`` section: PtyRAD's scales are those of the recorded patterns."""
    mode, value = init.meas_calibration.mode, init.meas_calibration.value or 0.0
    pixels = init.meas_Npix
    if mode == "dx" and init.meas_params.selection is not None:
        mode, value = "dk", 1 / (pixels * value)  # the file's own patterns may be larger
    fields: dict[str, tuple[str, Any]] = {
        "dx": ("pixel_size", value),
        "dk": ("dk", value),
        "kMax": ("dk", 2 * value / pixels),
        "da": ("mrad_per_pixel", value),
        "angleMax": ("mrad_per_pixel", 2 * value / pixels),
        "n_alpha": ("mrad_per_pixel", 2 * value * (init.probe_conv_angle or 0.0) / pixels),
        "RBF": ("disc_radius_px", value),
        "fitRBF": ("disc_radius_px", "fit"),
    }
    field, chosen = fields[mode]
    native.put(f"calibration.{field}", chosen, "init_params.meas_calibration")


def map_beam(init: InitParams, native: Native) -> None:
    """The ``beam`` section.

    Raises
    ------
    ConfigError : X-rays, or an aberration that is given twice.
    """
    if init.probe_illum_type == "xray":
        raise ConfigError(
            "init_params.probe_illum_type",
            "is xray, but the beam of angstrom units here is one of electrons.",
            "For X-rays write a config with units: pixel and a start probe from a file.",
        )
    native.put("beam.energy_kv", init.probe_kv, "init_params.probe_kv")
    native.put("beam.semiangle_mrad", init.probe_conv_angle, "init_params.probe_conv_angle")
    origin = "init_params.probe_aberrations"
    try:
        terms = krivanek(init.probe_aberrations)
    except ValueError as error:
        raise ConfigError(origin, f"{error}.") from error
    shift = init.probe_z_shift
    if shift and init.probe_source == "simu":
        terms["C10"] = terms.get("C10", 0.0) + shift
        native.note(
            "init_params.probe_z_shift", "becomes a part of the defocus: C10 grows by as much."
        )
    native.put("beam.aberrations", terms, origin)


def map_scan(init: InitParams, native: Native, paths: Paths) -> None:
    """The ``scan`` section.

    Raises
    ------
    ConfigError : positions that cannot be had from the file that is named.
    """
    origin = "init_params.pos_source"
    if init.pos_source == "py4DSTEM":
        path = paths.absolute("init_params.pos_params", str(init.pos_params))
        section = {"path": path, "dataset": "positions_px", "unit": "pixel"}
        native.put("scan.positions", section, "init_params.pos_params")
    elif init.pos_source in ("simu", "PtyRAD"):
        native.put("scan.step", init.pos_scan_step_size, "init_params.pos_scan_step_size")
    else:
        raise ConfigError(
            origin,
            f"is {init.pos_source}, whose positions are not read.",
            "Save them as [N, 2] (y, x) in an npy or HDF5 file, take pos_source: simu, and after "
            "fastpty convert put scan.positions in the place of scan.step.",
        )
    _transform(init, native)
    if init.pos_scan_rand_std and init.pos_source != "PtyRAD":
        native.put("scan.jitter_px", init.pos_scan_rand_std, "init_params.pos_scan_rand_std")


def _transform(init: InitParams, native: Native) -> None:
    flips, values = init.pos_scan_flipT or [0, 0, 0], init.pos_scan_affine
    if init.pos_source == "PtyRAD":
        for name, given in (("flipT", any(flips)), ("affine", values is not None)):
            if given:
                native.note(
                    f"init_params.pos_scan_{name}",
                    "is not applied again to positions of a reconstruction, as PtyRAD would.",
                )
        return
    if init.pos_source != "simu" and any(flips[:2]):
        raise ConfigError(
            "init_params.pos_scan_flipT",
            f"is {flips}, which reorders positions from a file; only a raster can be flipped.",
            "Flip the list in the file.",
        )
    if any(flips):
        native.put("scan.affine", _flip(flips), "init_params.pos_scan_flipT")
    if values is not None:
        names = ("scale", "asymmetry", "rotation_deg", "shear_deg")
        parts = dict(zip(names, values, strict=True))
        native.put("scan.affine_parts", parts, "init_params.pos_scan_affine")


def _flip(flips: list[int]) -> list[list[float]]:
    """What PtyRAD's flips do to the raster, as a matrix on columns (y, x).

    PtyRAD multiplies rows, so the transposition comes first. Reversing an axis of a raster that is
    centred at 0 is a change of sign.
    """
    up_down, left_right, transpose = flips
    flip = np.diag([1.0 - 2 * up_down, 1.0 - 2 * left_right])
    if transpose:
        flip = flip @ np.array([[0.0, 1.0], [1.0, 0.0]])
    rows: list[list[float]] = flip.T.tolist()
    return rows
