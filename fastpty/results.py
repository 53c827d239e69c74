"""What a reconstruction leaves behind, and its file ``reconstruction.h5``.

The layout is documented in docs/file-formats.md. Everything is numpy: reading a result needs no
torch.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import fastpty
from fastpty.atomic import atomic_hdf5
from fastpty.errors import DataError

__all__ = [
    "FORMAT",
    "RESULT_NAME",
    "History",
    "Results",
    "Snapshot",
    "is_reconstruction",
    "read_results",
    "read_versions",
    "write_results",
]

RESULT_NAME = "reconstruction.h5"
"""In the folder of a run."""

#: Of what ``History.unknowns`` holds.
UNITS = {
    "tilt": "mrad",
    "tilt_spread": "mrad",
    "thickness": "Angstrom",
    "occupancy": "1",
    "aberrations": "Angstrom",
}

FORMAT = "fastpty-reconstruction"
FORMAT_VERSION = 2


@dataclass
class History:
    """One entry per finished iteration.

    ``loss`` is the weighted sum; ``terms`` holds each weighted loss term by name; ``seconds`` is
    the wall time of the iteration; ``displacement`` is the mean distance of the positions from
    their start, in pixels, and ``positions`` holds the ``rms`` and the ``max`` of these distances;
    ``leakage`` holds what of the object belongs to the probe or to the
    scan, by name (docs/constraints.md); ``lr`` is the learning rate with which each unknown moved,
    0 where it did not. ``terms`` are 0 where the loss of a stage has no such term.

    ``stage`` is the number of the iteration's stage, from 0 as in the config; ``passes`` is how
    often its patterns were passed over; ``change`` is by how much each unknown has changed,
    ``|x' - x| / |x'|`` with 2-norms; of positions, tilt and aberrations the root mean square of
    the change, in pixels, mrad, and rad at the aperture's edge.

    ``unknowns`` holds the few numbers that sum up each of these unknowns if it is free at any
    time: ``tilt`` (y, x) in mrad, the mean over the positions; ``tilt_spread``, their standard
    deviation where each position has its own; ``thickness`` in Angstrom, of all gaps or of each;
    ``occupancy`` of each object mode; ``aberrations`` in Angstrom, in the order of
    ``Results.aberrations``.

    ``constraints`` holds, as ``<constraint>/<unknown>``, by how much an application changed what
    the constraint acts on: ``|x' - x| / |x|`` with 2-norms, NaN in iterations without one.
    """

    loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    displacement: list[float] = field(default_factory=list)
    leakage: dict[str, list[float]] = field(default_factory=dict)
    lr: dict[str, list[float]] = field(default_factory=dict)
    unknowns: dict[str, list[list[float]]] = field(default_factory=dict)
    constraints: dict[str, list[float]] = field(default_factory=dict)
    stage: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    change: dict[str, list[float]] = field(default_factory=dict)
    positions: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Snapshot:
    """Some patterns as measured and as simulated after ``iteration`` (0 = before the first).

    ``index`` [K] names the scan positions; ``measured`` and ``simulated`` [K, Ny, Nx] are in
    counts, zero frequency at N//2; ``r_factor`` is
    ``sum |sqrt(I_measured) - sqrt(I_simulated)| / sum sqrt(I_measured)`` over these patterns.
    ``mask`` [Ny, Nx] is True where a pixel is good.
    """

    iteration: int
    index: NDArray[np.int64]
    measured: NDArray[np.float32]
    simulated: NDArray[np.float32]
    r_factor: float
    mask: NDArray[np.bool_] | None = None


@dataclass
class Results:
    """A reconstruction.

    Parameters
    ----------
    amplitude, phase : [No, Nz, Y, X]; phase in rad.
    probe : [M, Ny, Nx] complex, natural order, centre at N//2; ``sum |probe|^2`` is the counts
        of an average pattern.
    positions, positions_start : [N, 2] px, the window's top-left corner.
    scan_shape : (slow, fast) of a raster, else None.
    pixel_size : (dy, dx) in Angstrom; None in pixel units.
    wavelength : Angstrom; None in pixel units.
    thickness : float32 Angstrom from slice to slice, [] or one for each gap [Nz - 1]; None for a
        single slice.
    tilt : [1, 2] or, one for each position, [N, 2] float32 (y, x) in mrad.
    occupancy : [No] float32 weight of each object mode, of sum 1; None for one mode.
    aberrations : coefficients of the probe that were fitted, in Angstrom by the names that
        ``beam.aberrations`` takes; counted from the start probe where its own are not known.
    config : the full configuration as plain data.
    r_factor : over the patterns that the last stage fitted, None if it was not computed.
    agreement : of those patterns (``fitted``), and of those of the same area that were left out of
        the fit (``left_out``, if there are any): ``patterns``, their number, ``r_factor``,
        ``poisson_nll`` and ``chi_square``, as in docs/metrics.md.
    seed, device : of the run; None if not known.
    """

    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]
    probe: NDArray[np.complex64]
    positions: NDArray[np.float64]
    positions_start: NDArray[np.float64]
    scan_shape: tuple[int, int] | None = None
    pixel_size: tuple[float, float] | None = None
    wavelength: float | None = None
    thickness: NDArray[np.float32] | None = None
    tilt: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, 2), np.float32))
    occupancy: NDArray[np.float32] | None = None
    aberrations: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)
    snapshots: list[Snapshot] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    r_factor: float | None = None
    agreement: dict[str, dict[str, float]] = field(default_factory=dict)
    seed: int | None = None
    device: str | None = None

    def mean_over_modes(self, volume: NDArray[np.floating]) -> NDArray[np.float64]:
        """[...] of what is made of amplitude or phase, [No, ...]: the mean over the object modes,
        weighted with their occupancy."""
        return np.average(volume.astype(np.float64), axis=0, weights=self.occupancy)

    @property
    def gaps(self) -> NDArray[np.float64] | None:
        """[Nz - 1] Angstrom from slice to slice; None where no lengths are known."""
        if self.thickness is None:
            return None
        return np.broadcast_to(self.thickness, self.phase.shape[1] - 1).astype(np.float64)


def write_results(results: Results, path: str | os.PathLike[str], *, compress: bool = True) -> None:
    """Write ``reconstruction.h5``, whole or not at all.

    Parameters
    ----------
    compress : the object; without, it is written many times as fast.

    Raises
    ------
    OSError : the disk is full or the folder cannot be written; an earlier file stays.
    """
    with atomic_hdf5(path) as (file, _):
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["fastpty_version"] = fastpty.__version__
        file.attrs["versions"] = json.dumps(_versions())
        file.attrs["config"] = json.dumps(results.config)
        _write_optional(file, results)
        pixel = results.pixel_size
        for name, array, unit, axes in (
            ("object/amplitude", results.amplitude, "1", "object mode, slice, y, x"),
            ("object/phase", results.phase, "rad", "object mode, slice, y, x"),
            ("probe", results.probe, "sqrt(counts)", "probe mode, y, x"),
            ("positions", results.positions, "px", "position, (y, x) of the top-left corner"),
            ("positions_start", results.positions_start, "px", "position, (y, x)"),
        ):
            large = compress and array.ndim == 4
            item = file.create_dataset(
                name, data=array, compression="gzip" if large else None, shuffle=large or None
            )
            item.attrs["units"] = unit
            item.attrs["axes"] = axes
            if pixel is not None:
                item.attrs["pixel_size_A"] = pixel
        for name, values, unit, axes in (
            ("tilt", results.tilt, "mrad", "scan or position, (y, x)"),
            ("thickness", results.thickness, "Angstrom", "gap, or none for one value"),
            ("occupancy", results.occupancy, "1", "object mode"),
        ):
            if values is not None:
                file[name] = values
                file[name].attrs.update(units=unit, axes=axes)
        _write_history(file.create_group("history"), results.history)
        for snapshot in results.snapshots:
            _write_snapshot(file.create_group(f"snapshots/{snapshot.iteration:04d}"), snapshot)


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read ``reconstruction.h5``.

    Raises
    ------
    DataError : the file is missing, damaged, or no reconstruction.
    """
    name = Path(path).name
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise DataError(name, "is no fastpty reconstruction.", "Is it a data file?")
            _check_version(name, int(file.attrs["format_version"]))
            attrs = file.attrs
            first = int(attrs["format_version"]) == 1
            return Results(
                amplitude=file["object/amplitude"][()],
                phase=file["object/phase"][()],
                probe=file["probe"][()],
                positions=file["positions"][()],
                positions_start=file["positions_start"][()],
                scan_shape=_integers(attrs.get("scan_shape")),
                pixel_size=_floats(attrs.get("pixel_size_A")),
                wavelength=_float(attrs.get("wavelength_A")),
                thickness=_single(file.get("thickness", attrs.get("slice_thickness_A"))),
                tilt=_tilt(attrs["tilt_mrad"] if first else file["tilt"]),
                occupancy=_single(file.get("occupancy")),
                aberrations=json.loads(attrs.get("aberrations_A", "{}")),
                history=_read_history(file["history"]),
                snapshots=_read_snapshots(file),
                config=json.loads(attrs["config"]),
                r_factor=_float(attrs.get("r_factor")),
                agreement=json.loads(attrs.get("agreement", "{}")),
                seed=None if "seed" not in attrs else int(attrs["seed"]),
                device=attrs.get("device"),
            )
    except FileNotFoundError as error:
        raise DataError(str(path), "does not exist.", "Check the path.") from error
    except (OSError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        # h5py's own words for what is missing, a group in a dataset's place, or damaged.
        raise DataError(
            str(path), f"cannot be read as a reconstruction ({error}).", "Is the file complete?"
        ) from error


def read_versions(path: str | os.PathLike[str]) -> dict[str, str]:
    """Of the packages that wrote a reconstruction, by name.

    Raises
    ------
    DataError : the file is missing, damaged, or no reconstruction.
    """
    try:
        with h5py.File(path, "r") as file:
            versions: dict[str, str] = json.loads(file.attrs.get("versions", "{}"))
            return versions
    except (OSError, TypeError, ValueError) as error:
        raise DataError(
            str(path), f"cannot be read as a reconstruction ({error}).", "Is the file complete?"
        ) from error


def is_reconstruction(path: Path) -> bool:
    """Whether a file is ``reconstruction.h5``, of whatever version."""
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return bool(file.attrs.get("format") == FORMAT)


def _check_version(name: str, found: int) -> None:
    if found > FORMAT_VERSION:
        raise DataError(
            name,
            f"has format version {found}; this fastpty reads up to {FORMAT_VERSION}.",
            "Update fastpty.",
        )


def _versions() -> dict[str, str]:
    """Of the packages that take part. Where results are only copied, torch may be missing."""
    versions = {"fastpty": fastpty.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "h5py"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _write_optional(file: h5py.File, results: Results) -> None:
    """Attributes that a result may lack: absent means None."""
    if results.aberrations:
        file.attrs["aberrations_A"] = json.dumps(results.aberrations)
    if results.agreement:
        file.attrs["agreement"] = json.dumps(results.agreement)
    for key, value in (
        ("scan_shape", results.scan_shape),
        ("pixel_size_A", results.pixel_size),
        ("wavelength_A", results.wavelength),
        ("r_factor", results.r_factor),
        ("seed", results.seed),
        ("device", results.device),
    ):
        if value is not None:
            file.attrs[key] = value


def _write_history(group: h5py.Group, history: History) -> None:
    for name, values, unit in (
        ("loss", history.loss, "1"),
        ("seconds", history.seconds, "s"),
        ("displacement", history.displacement, "px"),
    ):
        group.create_dataset(name, data=np.asarray(values, np.float64)).attrs["units"] = unit
    for name, numbers in (("stage", history.stage), ("passes", history.passes)):
        group.create_dataset(name, data=np.asarray(numbers, np.int64))
    for kind in ("terms", "leakage", "lr", "change", "unknowns", "constraints", "positions"):
        for name, values in getattr(history, kind).items():
            item = group.create_dataset(f"{kind}/{name}", data=np.asarray(values, np.float64))
            if kind == "unknowns":
                item.attrs["units"] = UNITS[name]
            elif kind == "positions":
                item.attrs["units"] = "px"


def _read_history(group: h5py.Group) -> History:
    def by_name(name: str) -> dict[str, list[Any]]:
        return {key: item[()].tolist() for key, item in group.get(name, {}).items()}

    loss = group["loss"][()].tolist()

    def numbers(name: str, before: int) -> list[int]:
        """What files that were written before there were stages do not say."""
        found: list[int] = group[name][()].tolist() if name in group else [before] * len(loss)
        return found

    changes = {
        f"{constraint}/{unknown}": item[()].tolist()
        for constraint, unknowns in group.get("constraints", {}).items()
        for unknown, item in unknowns.items()
    }

    return History(
        loss,
        group["seconds"][()].tolist(),
        by_name("terms"),
        group["displacement"][()].tolist(),
        by_name("leakage"),
        by_name("lr"),
        by_name("unknowns"),
        changes,
        numbers("stage", 0),
        numbers("passes", 1),
        by_name("change"),
        by_name("positions"),
    )


def _write_snapshot(group: h5py.Group, snapshot: Snapshot) -> None:
    group.attrs["iteration"] = snapshot.iteration
    group.attrs["r_factor"] = snapshot.r_factor
    group["index"] = snapshot.index
    for name in ("measured", "simulated"):
        patterns = getattr(snapshot, name)
        item = group.create_dataset(name, data=patterns, compression="gzip", shuffle=True)
        item.attrs["units"] = "counts"
        item.attrs["axes"] = "pattern, ky, kx; zero frequency at N//2"
    if snapshot.mask is not None:
        group["mask"] = snapshot.mask


def _read_snapshots(file: h5py.File) -> list[Snapshot]:
    snapshots = [_read_snapshot(group) for group in file.get("snapshots", {}).values()]
    # HDF5 lists its groups by name, where 10000 comes before 9999.
    return sorted(snapshots, key=lambda snapshot: snapshot.iteration)


def _read_snapshot(group: h5py.Group) -> Snapshot:
    return Snapshot(
        int(group.attrs["iteration"]),
        group["index"][()],
        group["measured"][()],
        group["simulated"][()],
        float(group.attrs["r_factor"]),
        group["mask"][()] if "mask" in group else None,
    )


def _single(value: Any) -> NDArray[np.float32] | None:
    """A dataset, an attribute or None."""
    return None if value is None else np.asarray(value, np.float32)


def _tilt(value: Any) -> NDArray[np.float32]:
    return np.asarray(value, np.float32).reshape(-1, 2)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _floats(value: Any) -> tuple[float, float] | None:
    return None if value is None else (float(value[0]), float(value[1]))


def _integers(value: Any) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))
