"""Patterns that do not fit into memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.errors import DataError, OutputError
from fastpty.scratch import ScratchFile

__all__ = ["PatternFile"]


class PatternFile:
    """Patterns [N, Ny, Nx] in a scratch file, written once and read in any order.

    Nothing of them is kept in the process: what is read often the system keeps in memory by
    itself, for as long as nobody else wants that.

    Parameters
    ----------
    folder : of the scratch file; made if need be.
    dtype : in the machine's byte order.

    Raises
    ------
    OutputError : there is not enough room, or the folder cannot be written.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self.folder, self.shape, self.dtype = folder, shape, dtype
        self._bytes = shape[1] * shape[2] * dtype.itemsize
        self._sum = np.zeros(shape[1:])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = ScratchFile(folder, self.nbytes)
        except OSError as error:
            raise OutputError(
                "data.scratch",
                f"{folder} has no room for the {self.nbytes / 2**30:.3g} GiB of patterns that do "
                f"not fit into memory ({error}).",
                "Name a folder on a larger disk, or let memory be larger.",
            ) from error

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def bits(self) -> torch.dtype:
        """Of tensors that hold them: int16 for the bits of uint16."""
        signed = np.dtype(np.int16) if self.dtype == np.uint16 else self.dtype
        return torch.from_numpy(np.empty(0, signed)).dtype

    @property
    def nbytes(self) -> int:
        return len(self) * self._bytes

    def write(self, start: int, values: NDArray[Any]) -> None:
        """Patterns ``start`` and following; each once, and in their order."""
        kept = np.ascontiguousarray(values, self.dtype)
        for pattern in kept:  # in the order in which numpy sums an array of them
            self._sum += pattern
        try:
            self._file.write(start * self._bytes, kept.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise OutputError(
                "data.scratch", f"{self.folder} cannot be written ({error}).", "Make room."
            ) from error

    def read(self, index: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Patterns ``index`` into an array [B, Ny, Nx] of a type of the same size, in one piece."""
        rows = out.reshape(len(out), math.prod(self.shape[1:])).view(np.uint8)
        try:
            for row, number in zip(rows, index.tolist(), strict=True):
                self._file.read(number * self._bytes, row.data)
        except OSError as error:
            raise DataError(
                "data.scratch", f"the scratch file in {self.folder} cannot be read ({error})."
            ) from error

    def gather(self, index: torch.Tensor, out: torch.Tensor) -> None:
        """The same with tensors in the host's memory."""
        self.read(index.numpy(), out.numpy())

    def astype(self, dtype: np.dtype[Any], count: int) -> PatternFile:
        """A file of another type with the first ``count`` patterns, in the place of this one."""
        other = PatternFile(self.folder, self.shape, dtype)
        one = np.empty((1, *self.shape[1:]), self.dtype)
        for number in range(count):
            self.read(np.array([number]), one)
            other.write(number, one)
        self._file.close()
        return other

    def mean(self) -> NDArray[np.float64]:
        """Over all patterns."""
        return self._sum / len(self)
