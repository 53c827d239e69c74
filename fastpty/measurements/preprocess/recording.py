"""A scan on its way through the steps: still in its file, with what is known of it by now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastpty.config.data import DataConfig, ScanConfig
from fastpty.config.preprocess import StepConfig
from fastpty.errors import DataError
from fastpty.io import RawScan
from fastpty.measurements.canvas import Canvas
from fastpty.measurements.detector import Detector

__all__ = [
    "Context",
    "Image",
    "Recording",
    "StepReport",
    "StepsInput",
    "Tally",
    "mapped",
    "selected",
    "unsigned",
    "working",
]

Image = NDArray[np.float64]
PieceFunction = Callable[[int, NDArray[Any]], NDArray[Any]]

# Values that are worked on at once; some copies of them in double precision exist then.
_VALUES = 2**22


class StepsInput(Protocol):
    """What the steps ask of a config, that of a reconstruction or of a calibration."""

    @property
    def units(self) -> str: ...
    @property
    def data(self) -> DataConfig: ...
    @property
    def scan(self) -> ScanConfig: ...
    @property
    def preprocess(self) -> list[StepConfig]: ...


@dataclass(frozen=True)
class Context:
    """What a step may want to know beside the data.

    Parameters
    ----------
    field : the step's place in the config, for messages.
    late : whether nothing follows that needs the patterns as the step leaves them, so that it can
        wait until a batch is used.
    """

    config: StepsInput
    folder: Path
    field: str
    late: bool = False


class Tally:
    """Values that a step had to set to zero, by pattern: a pattern may be read more than once."""

    def __init__(self, patterns: int, pixels: int) -> None:
        self._values = np.full(patterns, -1)  # of one that has not been read
        self._added = np.zeros(patterns)
        self._pixels = pixels

    def zeroed(self, start: int, values: NDArray[Any], low: float = 0.0) -> NDArray[Any]:
        """The patterns, changed in place, with zero where they were below ``low``; NaN stays."""
        here = slice(start, start + len(values))
        below = values < low
        self._values[here] = np.count_nonzero(below & (values != 0), axis=(1, 2))
        self._added[here] = -values.sum(axis=(1, 2), where=below, dtype=np.float64)
        values[below] = 0
        return values

    @property
    def text(self) -> str:
        read = self._values >= 0
        count = int(self._values[read].sum())
        if count == 0:
            return "no value was set to 0"
        share = 100 * count / (int(read.sum()) * self._pixels)
        added = float(self._added[read].mean())
        return f"{count} values ({share:.2g} %) set to 0, {added:+.3g} counts a pattern"


@dataclass(frozen=True)
class StepReport:
    """What a step did; ``tally`` is complete once every pattern has been read."""

    name: str
    done: str
    warning: str = ""
    tally: Tally | None = None

    @property
    def text(self) -> str:
        return self.done if self.tally is None else f"{self.done}; {self.tally.text}"


@dataclass(frozen=True)
class Recording:
    """Patterns that are read, changed and forgotten piece by piece.

    Parameters
    ----------
    scan : gives the patterns as the steps so far leave them, zero under bad pixels.
    index : [N], which pattern of the file each one is.
    kept : [N], which of the recorded positions belong to them.
    detector : what became of its pixels.
    canvas : what is left for when a batch is used.
    recorded : patterns of the file.
    reports : of the steps so far.
    statistics : what is known of the patterns without reading them once more.
    """

    scan: RawScan
    index: NDArray[np.int64]
    kept: NDArray[np.int64]
    detector: Detector
    recorded: int
    canvas: Canvas = field(default_factory=Canvas)
    reports: tuple[StepReport, ...] = ()
    statistics: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, scan: RawScan) -> Recording:
        """Before the first step."""
        every = np.arange(scan.shape[0])
        return cls(scan, every, every, Detector.of((scan.shape[1], scan.shape[2])), scan.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """(Ny, Nx) of the patterns in memory."""
        return self.scan.shape[1], self.scan.shape[2]

    @property
    def good(self) -> NDArray[np.bool_]:
        """[Ny, Nx] in memory."""
        return np.ones(self.shape, bool) if self.scan.mask is None else self.scan.mask

    @property
    def mean(self) -> Image:
        """[Ny, Nx] mean pattern, zero under bad pixels; this and the others may read the file.

        Raises
        ------
        DataError : NaN or infinite values in a good pixel.
        """
        mean = self.statistic("mean")
        if not np.isfinite(mean).all():
            y, x = (int(i) for i in np.argwhere(~np.isfinite(mean))[0])
            raise DataError(
                "data",
                f"{self.scan.source} has values that are NaN or infinite, the first in pixel "
                f"[{y}, {x}].",
                "Let the step hot_pixels come first, which masks such pixels, or name them in "
                "data.mask.",
            )
        return mean

    @property
    def minimum(self) -> float:
        """Lowest value of a good pixel."""
        return float(self.statistic("minimum"))

    @property
    def totals(self) -> Image:
        """[N] sums of the patterns."""
        return self.statistic("totals")

    def statistic(self, name: str) -> Image:
        """``mean``, ``maximum``, ``minimum`` or ``totals``, unchecked; one pass finds them all.

        ``gain`` is the median over the pixels of variance over mean: about 1 for counts, about the
        value of an electron for its multiples.
        """
        if name not in self.statistics:
            self.statistics.update(_survey(self.scan))
        return np.asarray(self.statistics[name])

    def known(self, name: str, function: Callable[[Image], Image]) -> dict[str, Any]:
        """A statistic, where it is known, of patterns that a function has been applied to."""
        return {name: function(self.statistics[name])} if name in self.statistics else {}

    def report(
        self, name: str, done: str, warning: str = "", tally: Tally | None = None
    ) -> Recording:
        """With one more line about a step."""
        return replace(self, reports=(*self.reports, StepReport(name, done, warning, tally)))

    def rearranged(
        self,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        detector: Detector,
        *,
        fresh: NDArray[np.bool_] | None = None,
    ) -> Recording:
        """Pixels of [..., Ny, Nx] moved or left out, none of them changed.

        ``fresh`` : [Ny', Nx'], true where a pixel comes from outside and is not measured.
        """
        mask = None if self.scan.mask is None else function(self.scan.mask)
        if fresh is not None and fresh.any():
            mask = ~fresh if mask is None else mask & ~fresh
        ny, nx = function(self.good).shape
        scan = mapped(self.scan, lambda _, piece: function(piece), shape=(ny, nx), mask=mask)
        known = self.known("mean", function) | self.known("maximum", function)
        return replace(self, scan=scan, detector=detector, statistics=known)

    def changed(
        self,
        function: PieceFunction,
        dtype: np.dtype[Any] | type[Any],
        mean: Callable[[Image], Image] | None = None,
    ) -> Recording:
        """Other values in the same pixels; bad ones stay zero.

        Parameters
        ----------
        function : of the first pattern's number and patterns [n, Ny, Nx].
        mean : what becomes of the mean pattern, where that follows from itself.
        """
        bad = None if self.scan.mask is None else ~self.scan.mask

        def change(start: int, piece: NDArray[Any]) -> NDArray[Any]:
            values = function(start, piece)
            return values if bad is None else np.where(bad, np.zeros((), values.dtype), values)

        known = {} if mean is None else self.known("mean", mean)
        known = {name: np.where(self.good, value, 0.0) for name, value in known.items()}
        return replace(self, scan=mapped(self.scan, change, dtype=dtype), statistics=known)

    def masked(self, bad: NDArray[np.bool_], field: str) -> Recording:
        """With more bad pixels [Ny, Nx], whose values become zero.

        Raises
        ------
        DataError : no pixel is left.
        """
        good = self.good & ~bad
        if not good.any():
            raise DataError(field, "leaves no good pixel.", "Mark fewer as bad.")
        scan = mapped(
            replace(self.scan, mask=good),
            lambda _, piece: np.where(good, piece, np.zeros((), piece.dtype)),
        )

        def cleared(image: Image) -> Image:
            return np.where(good, image, 0.0)

        known = self.known("mean", cleared) | self.known("maximum", cleared)
        return replace(self, scan=scan, statistics=known)

    def subset(
        self,
        places: NDArray[np.int64],
        kept: NDArray[np.int64],
        scan_shape: tuple[int, int] | None,
    ) -> Recording:
        """Some of the patterns, in the order of ``places`` [N'], at the positions ``kept``."""
        # A mean is that of the same patterns only, and a reversed order does not change it.
        same = len(places) == len(self.index)
        known = {k: v for k, v in self.statistics.items() if same and k != "totals"}
        scan = self.scan
        if not np.array_equal(places, np.arange(len(self.index))):
            scan = selected(scan, places)
        scan = replace(scan, scan_shape=scan_shape)
        return replace(self, scan=scan, index=self.index[places], kept=kept, statistics=known)

    def expanded(self, canvas: Canvas, late: bool) -> Recording:
        """As ``canvas`` says, now or when a batch is used."""
        if late:
            return replace(self, canvas=self.canvas.then(canvas))
        dtype = self.scan.dtype if canvas.keeps(self.scan.dtype) else np.dtype(np.float32)
        scan = mapped(
            self.scan,
            lambda _, piece: canvas.apply(piece).astype(dtype),
            shape=canvas.shape(self.shape),
            dtype=dtype,
            mask=canvas.good(self.scan.mask),
        )
        return replace(self, scan=scan, statistics=self.known("mean", canvas.apply))


def working(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """The precision that holds every value of a type, or as many digits."""
    return np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64


def unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of values of ``dtype`` that are not negative: unsigned for whole numbers, else
    float32."""
    if dtype.kind in "ui":
        return np.dtype(f"u{dtype.itemsize}")
    return np.dtype(np.float32)


def mapped(
    scan: RawScan,
    function: PieceFunction,
    *,
    shape: tuple[int, int] | None = None,
    dtype: np.dtype[Any] | type[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> RawScan:
    """The scan with a function of (number of the first, patterns) applied to what is read.

    However many patterns are asked for, few are worked on at once: a step may make them small.

    Parameters
    ----------
    shape, dtype, mask : of the result, where the function changes them.
    """
    count, ny, nx = scan.shape
    after = (ny, nx) if shape is None else shape
    kind = np.dtype(scan.dtype.newbyteorder("=") if dtype is None else dtype)
    step = max(1, _VALUES // (ny * nx))

    def read(start: int, stop: int) -> NDArray[Any]:
        result = np.empty((stop - start, *after), kind)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            result[first - start : last - start] = function(first, scan.read(first, last))
        return result

    mask = scan.mask if mask is None else mask
    return replace(scan, read=read, shape=(count, *after), dtype=kind, mask=mask)


def selected(scan: RawScan, places: NDArray[np.int64]) -> RawScan:
    """Patterns of the scan in the order of ``places``; what lies between them is not read."""

    def read(start: int, stop: int) -> NDArray[Any]:
        wanted = places[start:stop]
        order = np.argsort(wanted)
        ascending = wanted[order]
        result = np.empty((len(wanted), *scan.shape[1:]), scan.dtype)
        done = 0
        for run in np.split(ascending, np.flatnonzero(np.diff(ascending) != 1) + 1):
            into = order[done : done + len(run)]
            result[into] = scan.read(int(run[0]), int(run[-1]) + 1)
            done += len(run)
        return result

    return replace(scan, read=read, shape=(len(places), *scan.shape[1:]))


def _survey(scan: RawScan) -> dict[str, Any]:
    """One pass over all patterns."""
    count, ny, nx = scan.shape
    total, squares, maximum = np.zeros((ny, nx)), np.zeros((ny, nx)), np.full((ny, nx), -np.inf)
    totals, minimum = np.empty(count), np.inf
    for start, piece in scan.pieces(_VALUES * scan.dtype.itemsize / 2**20):
        total += piece.sum(axis=0, dtype=np.float64)
        # For a spread in single precision: it need not be exact, and this is the slowest part.
        flat = piece.reshape(len(piece), -1).astype(np.float32, copy=False)
        squares += np.einsum("np,np->p", flat, flat).reshape(ny, nx)
        maximum = np.maximum(maximum, piece.max(axis=0))
        totals[start : start + len(piece)] = piece.sum(axis=(1, 2), dtype=np.float64)
        good = piece if scan.mask is None else piece[:, scan.mask]
        minimum = min(minimum, float(good.min()))
    mean = total / count
    counted = mean > 0
    ratio = np.maximum(squares[counted] / count - mean[counted] ** 2, 0) / mean[counted]
    return {
        "mean": mean,
        "maximum": maximum,
        "totals": totals,
        "minimum": minimum,
        "gain": np.median(ratio) if ratio.size else 0.0,
    }
