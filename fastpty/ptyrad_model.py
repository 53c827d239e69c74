"""PtyRAD's model files, ``model_iterNNNN.hdf5``, to and from :class:`fastpty.results.Results`.

Both name the top-left corner of the window in object pixels, keep amplitude and phase apart, tilts
in mrad (y, x) and lengths in Angstrom, with the same signs: only names differ. The scale of the
probe does too; on either side a start probe is given the intensity of the patterns.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import fastpty
from fastpty.atomic import atomic_hdf5
from fastpty.errors import DataError, FastptyError
from fastpty.results import History, Results

__all__ = ["is_model", "read_model", "tilt_count", "write_model"]

#: Whose loader the layout is for.
VERSION = "1.0.0"

_NONE = "__NONE__"
_TENSORS, _ATTRIBUTES = "optimizable_tensors", "model_attributes"
# X-ray files have metres; no electron is as short.
_SHORTEST = 1e-6
# PtyRAD knows one distance for all slices: relative difference that counts as none.
_SAME = 1e-5
# It refuses a thickness of zero, also where nothing is propagated.
_SINGLE_SLICE = 1.0


def is_model(path: Path) -> bool:
    """Whether a file is a PtyRAD model, by its content."""
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return _TENSORS in file and _ATTRIBUTES in file


def tilt_count(path: Path) -> int | None:
    """How many tilts a model file has; None if that cannot be said."""
    try:
        with h5py.File(path, "r") as file:
            return int(file[f"{_TENSORS}/obj_tilts"].shape[0])
    except (OSError, KeyError, AttributeError, IndexError):
        return None


def read_model(path: Path) -> Results:
    """The unknowns of a PtyRAD reconstruction, and its losses.

    ``positions_start`` are the whole pixels to which PtyRAD rounded its start; the probe's scale is
    PtyRAD's.

    Raises
    ------
    DataError : the file is damaged, of X-rays, or its arrays do not belong together.
    """
    try:
        with h5py.File(path, "r") as file:
            tensors, attributes = file[_TENSORS], file[_ATTRIBUTES]
            results = _results(tensors, attributes, _history(file))
    except (OSError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        # h5py's own words for what is missing, a group in a dataset's place, or damaged.
        raise DataError(
            str(path), f"cannot be read as a PtyRAD model ({error}).", "Is the file complete?"
        ) from error
    _check(results, path)
    return results


def _results(tensors: h5py.Group, attributes: h5py.Group, history: History) -> Results:
    phase = tensors["objp"][()].astype(np.float32)
    corner = attributes["crop_pos"][()].astype(np.float64)
    shifts = tensors["probe_pos_shifts"][()].astype(np.float64)
    pixel = float(attributes["dx"][()])
    slow, fast = (int(attributes[f"N_scan_{name}"][()]) for name in ("slow", "fast"))
    single, modes = phase.shape[1] == 1, phase.shape[0]
    return Results(
        amplitude=tensors["obja"][()].astype(np.float32),
        phase=phase,
        probe=tensors["probe"][()].astype(np.complex64),
        positions=corner + shifts,
        positions_start=corner,
        scan_shape=(slow, fast) if slow * fast == len(corner) else None,
        pixel_size=(pixel, pixel),
        wavelength=float(attributes["lambd"][()]),
        thickness=None if single else tensors["slice_thickness"][()].astype(np.float32),
        tilt=tensors["obj_tilts"][()].astype(np.float32),
        occupancy=None if modes == 1 else attributes["omode_occu"][()].astype(np.float32),
        history=history,
    )


def _history(file: h5py.File) -> History:
    losses = np.asarray(file["loss_iters"][()], np.float64).reshape(-1, 2)[:, 1]
    seconds = np.asarray(file["iter_times"][()], np.float64).ravel()
    return History(loss=losses.tolist(), seconds=seconds.tolist())


def _check(results: Results, path: Path) -> None:
    shape, count = results.phase.shape, len(results.positions)
    wrong = [
        f"{name} is {list(found)}"
        for name, found, right in (
            ("obja", results.amplitude.shape, len(shape) == 4 and results.amplitude.shape == shape),
            ("probe", results.probe.shape, results.probe.ndim == 3),
            ("probe_pos_shifts", results.positions.shape, results.positions.shape == (count, 2)),
            ("obj_tilts", results.tilt.shape, results.tilt.shape in ((1, 2), (count, 2))),
        )
        if not right
    ]
    if wrong:
        raise DataError(
            str(path),
            f"holds arrays that do not belong together: {'; '.join(wrong)}, objp {list(shape)}.",
            "Is it PtyRAD's own file?",
        )
    if results.wavelength is not None and results.wavelength < _SHORTEST:
        raise DataError(
            str(path),
            f"is an X-ray reconstruction (wavelength {results.wavelength:.3g} m).",
            "Only those with electrons can be taken.",
        )


def write_model(results: Results, path: str | os.PathLike[str]) -> None:
    """Write a file from which PtyRAD starts, and which its Analyzer reads.

    Raises
    ------
    FastptyError : a reconstruction that PtyRAD's format cannot hold, or another extension.
    OSError : the file cannot be written; an earlier one stays.
    """
    if Path(path).suffix not in (".h5", ".hdf5"):
        raise FastptyError(str(path), "must end in .h5 or .hdf5: PtyRAD goes by it.")
    pixel, wavelength = results.pixel_size, results.wavelength
    if pixel is None or wavelength is None:
        raise FastptyError("units", "is pixel, but PtyRAD's files have lengths.")
    window = results.probe.shape[-2:]
    if window[0] != window[1] or not math.isclose(*pixel, rel_tol=_SAME):
        raise FastptyError(
            "probe",
            f"has {window[0]} x {window[1]} px of {pixel[0]:.5g} x {pixel[1]:.5g} Angstrom; "
            "PtyRAD knows square windows and pixels only.",
        )
    content = _content(results, pixel[0], wavelength)
    with atomic_hdf5(path) as (file, _):
        file.attrs["written_by"] = f"fastpty {fastpty.__version__}"
        _write(file, content)


def _content(results: Results, pixel: float, wavelength: float) -> dict[str, Any]:
    positions, window = results.positions, results.probe.shape[-2:]
    corner = np.rint(positions)
    thickness = _one_thickness(results)
    slow, fast = results.scan_shape or (len(positions), 1)
    count = len(results.history.loss)
    number = np.arange(1, count + 1)
    tensors = {
        "obja": results.amplitude.astype(np.float32),
        "objp": results.phase.astype(np.float32),
        "obj_tilts": results.tilt.astype(np.float32),
        "slice_thickness": np.float32(thickness),
        "probe": results.probe.astype(np.complex64),
        "probe_pos_shifts": (positions - corner).astype(np.float32),
    }
    modes = len(results.phase)
    occupancy = results.occupancy
    if occupancy is None:
        occupancy = np.full(modes, 1 / modes, np.float32)
    attributes = {
        "detector_blur_std": results.config.get("detector", {}).get("blur") or None,
        "omode_occu": occupancy.astype(np.float32),
        "H": _propagator(window, pixel, wavelength, thickness),
        "N_scan_slow": np.int32(slow),
        "N_scan_fast": np.int32(fast),
        "crop_pos": corner.astype(np.int32),
        "slice_thickness": np.float32(thickness),
        "dx": np.float32(pixel),
        "dk": np.float32(1 / (pixel * window[0])),
        "lambd": np.float32(wavelength),
        "meas_Npix": window[0],
        "simu_Npix": window[0],
        "simu_match_mode": None,
        "scan_affine": None,
        "tilt_obj": bool(results.tilt.any()),
        "probe_int_sum": np.float32((np.abs(results.probe) ** 2).sum()),
    }
    return {
        "ptyrad_version": VERSION,
        _TENSORS: tensors,
        _ATTRIBUTES: attributes,
        "optim_state_dict": None,
        "scheduler_state_dict": None,
        "random_seed": None,
        "loss_iters": np.column_stack([number, results.history.loss]),
        "iter_times": np.asarray(results.history.seconds, np.float64),
        "niter": count,
    }


def _one_thickness(results: Results) -> float:
    """Of all gaps.

    Raises
    ------
    FastptyError : they differ.
    """
    if results.thickness is None:
        return _SINGLE_SLICE
    mean = float(np.mean(results.thickness))
    if np.ptp(results.thickness) > _SAME * mean:
        low, high = float(np.min(results.thickness)), float(np.max(results.thickness))
        raise FastptyError(
            "thickness",
            f"goes from {low:.4g} to {high:.4g} Angstrom; PtyRAD knows one for all gaps.",
        )
    return mean


def _propagator(
    window: tuple[int, ...], pixel: float, wavelength: float, thickness: float
) -> NDArray[np.complex64]:
    """``exp(i dz sqrt(k^2 - K^2))`` in corner order; PtyRAD keeps the constant phase."""
    y, x = (np.fft.fftfreq(n, pixel) for n in window)
    along = np.sqrt(np.maximum(wavelength**-2 - y[:, None] ** 2 - x**2, 0.0))
    return np.exp(2j * np.pi * thickness * along).astype(np.complex64)


def _write(group: h5py.Group, content: dict[str, Any]) -> None:
    for key, value in content.items():
        if isinstance(value, dict):
            _write(group.create_group(key), value)
        else:
            group[key] = _NONE if value is None else value
