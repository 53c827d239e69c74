"""What a run takes from an earlier one: the object in its frame, and the numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config import ReconConfig, resolve_path
from fastpty.errors import ConfigError, DataError
from fastpty.measurements import Measurements
from fastpty.results import Results
from fastpty.start.depth import changed_in_depth
from fastpty.start_file import read_start

__all__ = ["Earlier", "load_earlier", "resampled"]

# Two lists of positions are of one scan if they agree up to this after a common shift, px RMS: far
# below a step, far above what a refinement moves most of them.
_SAME_SCAN = 1.0
# Relative, between pixel sizes that count as one: 1e-3 is half a pixel over a window of 512.
_SAME_PIXEL = 1e-3
# An amplitude below it counts as this in a product, which it would bring to nothing.
_FAINTEST = 1e-3


@dataclass(frozen=True)
class Earlier:
    """An earlier reconstruction, and what is taken of it.

    Parameters
    ----------
    take : of object, probe, positions, tilt, thickness, occupancy.
    """

    results: Results
    take: frozenset[str]
    resample_z: bool

    def taken(self, name: str) -> Results | None:
        """The results, if this is taken of them."""
        return self.results if name in self.take else None

    def positions(
        self, nominal: NDArray[np.float64], window: tuple[int, int]
    ) -> NDArray[np.float64]:
        """[N, 2] px, the top-left corners of the run's windows in the earlier object's frame.

        The earlier ones where positions are taken; else the nominal ones, shifted so that their
        mean is that of the earlier run's nominal ones. Windows of another size keep their centres.

        Raises
        ------
        ConfigError : the file is of another scan.
        """
        results = self.results
        aside = np.array(results.probe.shape[-2:]) // 2 - np.array(window) // 2
        if len(results.positions) != len(nominal):
            raise ConfigError(
                "start.take",
                f"includes {' and '.join(sorted(self.take & {'object', 'positions'}))}, but the "
                f"file has {len(results.positions)} positions, the data {len(nominal)}.",
                "Name a reconstruction of the same scan.",
            )
        if "positions" in self.take:
            return np.asarray(results.positions + aside)
        start = results.positions_start + aside
        shift = (start - nominal).mean(axis=0)
        apart = float(np.sqrt(np.square(start - nominal - shift).sum(axis=1).mean()))
        if apart > _SAME_SCAN:
            raise ConfigError(
                "start.take",
                f"includes object, but the file's scan and this one differ by {apart:.3g} px RMS "
                "after a common shift, so the object has no place in it.",
                "Make the scan sections agree, or take the positions too.",
            )
        return np.asarray(nominal + shift)

    def object(
        self, slices: int, modes: int, thickness: Sequence[float] | float | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(amplitude, phase) [No, Nz, Y, X], No at most ``modes``.

        Parameters
        ----------
        thickness : of the run's gaps, for an object that is resampled.

        Raises
        ------
        ConfigError : more modes than the run has, or another number of slices that may not be
            resampled.
        """
        amplitude, phase = self.results.amplitude, self.results.phase
        if len(phase) > modes:
            raise ConfigError(
                "object.modes",
                f"is {modes}, but the object in start.file has {len(phase)} modes.",
                f"Set object.modes to at least {len(phase)}.",
            )
        found = phase.shape[1]
        if found == slices:
            return amplitude, phase
        if not self.resample_z:
            raise ConfigError(
                "object.slices",
                f"is {slices}, but the object in start.file has {found}.",
                "Set start.resample_z to true to distribute it anew along the beam, or "
                f"object.slices to {found}.",
            )
        own = 1.0 if "thickness" in self.take else thickness
        return resampled(
            amplitude, phase, _layers(self.results.thickness, found), _layers(own, slices)
        )

    def thickness(self, slices: int) -> NDArray[np.float32]:
        """Angstrom, [] or [gaps]; of another number of slices such that the whole stays as thick.

        Raises
        ------
        ConfigError : the file has none, or one for each gap of another number of slices.
        """
        thickness = self.results.thickness
        found = self.results.phase.shape[1]
        if thickness is None:
            raise ConfigError(
                "start.take",
                "includes thickness, but the file's object is a single slice.",
                "Leave thickness out.",
            )
        if thickness.ndim and found != slices:
            raise ConfigError(
                "start.take",
                f"includes thickness, of which the file has one for each of {found - 1} gaps; this "
                f"run has {slices} slices.",
                "Leave thickness out and set object.thickness.",
            )
        return np.asarray(thickness * (found / slices), np.float32)

    def tilt(self, positions: int, each: bool) -> NDArray[np.float32]:
        """[1, 2] mrad, or [N, 2] for one at ``each`` position.

        Raises
        ------
        ConfigError : the file has one for each position where a single one is wanted, or for
            another number of positions.
        """
        tilt = self.results.tilt
        if len(tilt) == 1:
            return np.repeat(tilt, positions if each else 1, axis=0)
        if not each or len(tilt) != positions:
            wanted = f"one for each of {positions} positions" if each else "one for the scan"
            raise ConfigError(
                "start.take",
                f"includes tilt, of which the file has {len(tilt)}; this run has {wanted}.",
                "Set object.tilt_per to position for a file of the same scan, or leave tilt out.",
            )
        return tilt

    def occupancy(self, modes: int) -> NDArray[np.float32]:
        """[No], of sum 1.

        Raises
        ------
        ConfigError : the file has another number of object modes.
        """
        found = len(self.results.phase)
        if found != modes:
            raise ConfigError(
                "start.take",
                f"includes occupancy, of {found} object modes; object.modes is {modes}.",
                "Leave occupancy out, or make the numbers agree.",
            )
        if self.results.occupancy is None:
            return np.full(modes, 1 / modes, np.float32)
        return np.asarray(self.results.occupancy / self.results.occupancy.sum())


def load_earlier(config: ReconConfig, measurements: Measurements, folder: Path) -> Earlier | None:
    """The reconstruction that ``start`` names, with pixels of the same size.

    Raises
    ------
    ConfigError, DataError : naming the field, what was found and what to do.
    """
    section = config.start
    if section is None:
        return None
    results = read_start(resolve_path("start.file", section.file, folder))
    sampled = {"object", "probe", "positions"} & set(section.take)
    here, there = measurements.pixel_size, results.pixel_size
    same = here is None and there is None
    if here is not None and there is not None:
        same = np.allclose(here, there, rtol=_SAME_PIXEL, atol=0)
    if sampled and not same:
        raise DataError(
            "start.file",
            f"has a pixel of {_shown(there)}, this run of {_shown(here)}.",
            "Take only what does not depend on it, such as tilt or thickness, or make the "
            "calibrations agree.",
        )
    results = changed_in_depth(results, section)
    return Earlier(results, frozenset(section.take), section.resample_z)


def _shown(pixel_size: tuple[float, float] | None) -> str:
    return "no known size" if pixel_size is None else f"{pixel_size[0]:.5g} x {pixel_size[1]:.5g} A"


def _layers(thickness: Any, slices: int) -> NDArray[np.float64]:
    """[Nz] how thick each slice is, of one number or [Nz - 1] gaps; the last as the mean of them.

    Only their ratios count.
    """
    gaps = np.asarray(thickness, np.float64)
    if thickness is None or gaps.ndim == 0 or slices == 1:
        return np.ones(slices)
    return np.append(gaps, gaps.mean())


def resampled(
    amplitude: NDArray[np.float32],
    phase: NDArray[np.float32],
    old: NDArray[np.float64],
    new: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same object in another number of slices.

    Each old slice is a layer, and gives to every new one the share of its phase, and of the
    logarithm of its amplitude, with which their layers overlap. So at every pixel the sum of the
    phases and the product of the amplitudes stay what they were.

    Parameters
    ----------
    amplitude, phase : [No, Nz, Y, X].
    old, new : [Nz] how thick each slice is, before and after; both objects are as thick as each
        other, whatever the sums.
    """
    ends, new_ends = (np.cumsum(layers) / layers.sum() for layers in (old, new))
    begins, new_begins = ends - old / old.sum(), new_ends - new / new.sum()
    below = np.minimum(ends, new_ends[:, None])
    overlap = np.maximum(below - np.maximum(begins, new_begins[:, None]), 0)  # [new, old]
    share = overlap / overlap.sum(axis=0)
    moved = np.einsum("wz,nzyx->nwyx", share, phase)
    log = np.einsum("wz,nzyx->nwyx", share, np.log(np.maximum(amplitude, _FAINTEST)))
    return np.exp(log).astype(np.float32), moved.astype(np.float32)
