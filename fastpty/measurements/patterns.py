"""The diffraction patterns, kept as they were recorded and scaled batch by batch."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.distributed import ALONE, Processes
from fastpty.errors import DataError
from fastpty.io import RawScan
from fastpty.measurements.canvas import Canvas
from fastpty.measurements.on_disk import PatternFile

__all__ = ["Patterns", "Share", "check_counts"]


class Share:
    """Which of ``count`` patterns are those of this process.

    Parameters
    ----------
    count : of all processes together.
    """

    def __init__(self, count: int, processes: Processes = ALONE) -> None:
        self.processes = processes
        self._owner = processes.owners(count)
        self.own: NDArray[np.int64] = np.flatnonzero(self._owner == processes.rank)
        """[K] numbers of those that are here, in the order in which they lie in memory."""
        self._row = np.cumsum(self._owner == processes.rank) - 1

    def __len__(self) -> int:
        return len(self._owner)

    def here(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[B] whether each pattern is here."""
        return np.asarray(self._owner[index] == self.processes.rank)

    def before(self, number: int) -> int:
        """How many are here of those before a pattern."""
        return int(np.searchsorted(self.own, number))

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """[B] where patterns that are here lie in memory."""
        return np.asarray(self._row[index])


class Patterns:
    """All patterns of a scan, corner order, in their recorded precision; of several processes each
    has its share of them, and knows whose the others are.

    They lie in the device's memory, in the host's, or in a scratch file.

    uint8, uint16 and float16 stay so (a batch is converted when it is used); anything else becomes
    float32. The model works in scaled intensities, whose mean pattern has maximum 1:
    ``scaled = counts * scale``. A canvas makes larger or finer patterns of those in memory when a
    batch is used; ``shape``, ``mean`` and ``mask`` are of these.

    Parameters
    ----------
    data : [N, Ny, Nx] uint8, uint16, float16 or float32, corner order; an array or on the disk.
        Those of this process.
    mask : [Ny, Nx], true where a pixel is good, corner order; None: all are.
    canvas : in centred order, as all of :class:`Canvas`; None: patterns are used as they are.
    share : which these are among all; None: they are all.
    mean : [Ny, Nx] of all patterns as they are in memory; None: of these.

    Raises
    ------
    DataError : the patterns hold no counts at all.
    """

    def __init__(
        self,
        data: NDArray[Any] | PatternFile,
        mask: NDArray[np.bool_] | None = None,
        canvas: Canvas | None = None,
        share: Share | None = None,
        mean: NDArray[np.float64] | None = None,
    ) -> None:
        self.share = Share(len(data)) if share is None else share
        if mean is None:
            mean = data.mean() if isinstance(data, PatternFile) else _mean(data)
        self._canvas = _CornerCanvas(canvas) if canvas is not None and canvas.changes else None
        if canvas is not None and self._canvas is not None:
            mean = np.fft.ifftshift(canvas.apply(np.fft.fftshift(mean)))
            mask = _in_corner_order(canvas.good, mask)
        self.mean: NDArray[np.float64] = mean
        self.shape: tuple[int, int, int] = (len(self.share), mean.shape[0], mean.shape[1])
        good = np.ones(self.shape[1:], bool) if mask is None else mask
        peak = float(self.mean[good].max(initial=0.0))
        if peak <= 0:
            raise DataError("data", "the patterns are zero in every good pixel.")
        self.scale = 1.0 / peak
        self.mask = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
        self.dtype: np.dtype[Any] = data.dtype
        self._unsigned16 = data.dtype == np.uint16
        # torch computes little with uint16: its bits travel as int16, set right in counts_of.
        bits = np.dtype(np.int16) if self._unsigned16 else data.dtype
        self._data = data if isinstance(data, PatternFile) else torch.from_numpy(data.view(bits))
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Memory, or room on the disk, that the patterns of this process hold."""
        return self._data.nbytes

    @property
    def on_disk(self) -> Path | None:
        """The folder of the scratch file in which they lie; None: they are in memory."""
        return self._data.folder if isinstance(self._data, PatternFile) else None

    @property
    def centred_mask(self) -> NDArray[np.bool_] | None:
        """The mask as files and figures have it, zero frequency at N//2."""
        return None if self.mask is None else np.fft.fftshift(self.mask.cpu().numpy())

    @property
    def on_device(self) -> bool:
        """Whether the recorded values lie where they are used."""
        return isinstance(self._data, torch.Tensor) and self._data.device == self.device

    def to(self, device: torch.device, limit: int | None = None) -> Patterns:
        """Have batches come on a device from now on, in place.

        The recorded values move there if they take no more than half of its free memory, and of
        ``limit`` bytes. Else they stay where they are, and every batch is copied.
        """
        fits = _fits(self.nbytes, device) and (limit is None or 2 * self.nbytes <= limit)
        if isinstance(self._data, torch.Tensor) and fits:
            self._data = self._data.to(device)
            device = self._data.device  # with its number
        self.device = device
        if self.mask is not None:
            self.mask = self.mask.to(device)
        if self._canvas is not None:
            self._canvas.to(device)
        return self

    def recorded(self, row: torch.Tensor) -> torch.Tensor:
        """Patterns as they are kept, with their recorded bits, for :meth:`counts_of`.

        Parameters
        ----------
        row : [B] their places there: their numbers, or of several processes
            :meth:`Share.rows` of those that are here.
        """
        if isinstance(self._data, PatternFile):
            found = self.recorded_buffer(len(row))
            self._data.gather(row.cpu(), found)
            return found.to(self.device)
        return self._data[row.to(self._data.device)].to(self.device)

    def gather(self, row: torch.Tensor, out: torch.Tensor) -> None:
        """Write what :meth:`recorded` gives into memory where the recorded values lie, or, where
        they lie on the disk, into the host's."""
        if isinstance(self._data, PatternFile):
            self._data.gather(row, out)
            return
        torch.index_select(self._data, 0, row, out=out)

    def recorded_buffer(self, count: int, **where: Any) -> torch.Tensor:
        """Memory for so many recorded patterns, not initialised; ``where`` as in torch.empty."""
        data = self._data
        kind = data.bits if isinstance(data, PatternFile) else data.dtype
        return torch.empty((count, *data.shape[1:]), dtype=kind, **where)

    def counts_of(self, recorded: torch.Tensor) -> torch.Tensor:
        """Recorded patterns in counts, float32."""
        values = recorded.to(torch.float32)
        if self._unsigned16:
            values += (values < 0) * 65536.0
        return values if self._canvas is None else self._canvas.apply(values)

    def scaled(self, recorded: torch.Tensor) -> torch.Tensor:
        """Recorded patterns in scaled intensity, float32."""
        return self.counts_of(recorded) * self.scale

    def counts(self, index: torch.Tensor) -> torch.Tensor:
        """Patterns [B, Ny, Nx] in counts, float32; those of other processes come from there, so
        that each has to ask for the same ones."""
        if self.share.processes.alone:
            return self.counts_of(self.recorded(index))
        wanted = index.cpu().numpy()
        here = torch.from_numpy(self.share.here(wanted))
        rows = torch.from_numpy(self.share.rows(wanted[here.numpy()]))
        found = torch.zeros((len(index), *self.shape[1:]), device=self.device)
        found[here.to(self.device)] = self.counts_of(self.recorded(rows))
        return self.share.processes.add(found)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """Patterns [B, Ny, Nx] in scaled intensity, float32, as :meth:`counts`."""
        return self.counts(index) * self.scale

    @classmethod
    def load(
        cls,
        scan: RawScan,
        *,
        zero_frequency: str = "centre",
        negative: str = "refuse",
        mask: NDArray[np.bool_] | None = None,
        canvas: Canvas | None = None,
        room: int | None = None,
        scratch: Path | None = None,
        processes: Processes = ALONE,
    ) -> Patterns:
        """Read a scan once, check every value, and move the zero frequency to index 0. Each of
        several processes reads all, for the mean, and keeps its share.

        ``mask`` is in the order of the file. Values under a bad pixel are set to zero unchecked.
        ``negative`` values, as dark-subtracted detectors give them, are refused or set to zero
        ("clip"). Counts recorded in 32 and more bits without sign take 16 for as long as they fit.
        Patterns that need more than ``room`` bytes go to a file in the folder ``scratch``.

        Raises
        ------
        DataError : NaN, infinite or negative counts in a good pixel.
        OutputError : there is no room for a scratch file.
        """
        kept = np.dtype(scan.dtype).newbyteorder("=")
        if kept.kind == "u" and kept.itemsize > 2:
            kept = np.dtype(np.uint16)
        elif kept not in (np.uint8, np.uint16, np.float16):
            kept = np.dtype(np.float32)
        share = Share(scan.shape[0], processes)
        total = np.zeros(scan.shape[1:])
        folder = scratch or Path(tempfile.gettempdir())
        shape = (len(share.own), scan.shape[1], scan.shape[2])
        data = _room_for(shape, kept, room, folder)
        # An odd N is no involution: the inverse shift takes N//2 to 0.
        offset = [-(n // 2) if zero_frequency == "centre" else 0 for n in scan.shape[1:]]
        for start, piece in scan.pieces():
            good = piece if mask is None else np.where(mask, piece, np.zeros((), piece.dtype))
            if kept.kind == "u" and good.max() > np.iinfo(kept).max:
                kept = np.dtype(np.float32)
                data = _as_single(data, start, room, folder)
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
                values = good.astype(kept, copy=False)
            if negative == "clip" and kept.kind == "f":
                values = np.maximum(values, 0)  # keeps NaN, which is refused below
            check_counts(scan, start, values)
            if not processes.alone:
                total += values.sum(axis=0, dtype=np.float64)
            numbers = np.arange(start, start + len(values))
            values = np.roll(values[share.here(numbers)], offset, axis=(1, 2))
            first = share.before(start)
            if isinstance(data, PatternFile):
                data.write(first, values)
            else:
                data[first : first + len(values)] = values
        corner_mask = None if mask is None else np.roll(mask, offset, axis=(0, 1))
        mean = None if processes.alone else np.roll(total / scan.shape[0], offset, axis=(0, 1))
        return cls(data, corner_mask, canvas, share, mean)


def _room_for(
    shape: tuple[int, int, int], dtype: np.dtype[Any], room: int | None, folder: Path
) -> NDArray[Any] | PatternFile:
    """For patterns that are to be written: in memory, if they fit."""
    if room is not None and math.prod(shape) * dtype.itemsize > room:
        return PatternFile(folder, shape, dtype)
    return np.empty(shape, dtype)


def _as_single(
    data: NDArray[Any] | PatternFile, count: int, room: int | None, folder: Path
) -> NDArray[Any] | PatternFile:
    """The first ``count`` patterns as float32, and room for the others."""
    single = np.dtype(np.float32)
    if isinstance(data, PatternFile):
        return data.astype(single, count)
    found = _room_for((len(data), data.shape[1], data.shape[2]), single, room, folder)
    if isinstance(found, PatternFile):
        found.write(0, data[:count])
        return found
    found[:count] = data[:count]
    return found


class _CornerCanvas:
    """A canvas for batches on a device, in corner order."""

    def __init__(self, canvas: Canvas) -> None:
        self._factor = canvas.factor
        parts = {"rows": canvas.rows, "columns": canvas.columns, "fill": canvas.fill}
        self._parts = {
            name: torch.from_numpy(np.fft.ifftshift(array).astype(np.float32))
            for name, array in parts.items()
            if array is not None
        }

    def to(self, device: torch.device) -> None:
        self._parts = {name: tensor.to(device) for name, tensor in self._parts.items()}

    def apply(self, patterns: torch.Tensor) -> torch.Tensor:
        """[B, Ny, Nx] float32 -> [B, Ny', Nx']."""
        if self._factor != 1:
            patterns = patterns * self._factor
        if "rows" in self._parts:
            patterns = self._parts["rows"] @ patterns @ self._parts["columns"].T
        return patterns + self._parts["fill"] if "fill" in self._parts else patterns


def _in_corner_order(
    function: Callable[[NDArray[np.bool_] | None], NDArray[np.bool_] | None],
    mask: NDArray[np.bool_] | None,
) -> NDArray[np.bool_] | None:
    """A function of a centred mask, on one that is not."""
    result = function(None if mask is None else np.fft.fftshift(mask))
    return None if result is None else np.fft.ifftshift(result)


def _fits(nbytes: int, device: torch.device) -> bool:
    """Half of what is free: object, moments and waves need the rest."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return 2 * nbytes <= free


def _mean(data: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(data.mean(axis=0, dtype=np.float64))


def check_counts(scan: RawScan, start: int, piece: NDArray[Any]) -> None:
    """Refuse counts that are negative, infinite or NaN; ``start`` is the first one's pattern."""
    if piece.dtype.kind == "u":
        return
    bad = ~np.isfinite(piece)
    what = "NaN or infinite"
    fix = "Name the bad pixels in data.mask, or repair the file."
    if not bad.any():
        bad = piece < 0
        what = "negative"
        fix = (
            "Counts are at least zero. Where the detector subtracts its dark level, set "
            "data.negative to clip; else mask the pixels or repair the file."
        )
    if bad.any():
        n, y, x = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            "data",
            f"{scan.source} has {what} values, the first {piece[n, y, x]} in pattern "
            f"{start + n}, pixel [{y}, {x}].",
            fix,
        )
