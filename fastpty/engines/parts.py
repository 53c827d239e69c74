"""How many patterns of a batch go through at once, and what to do when memory runs out."""

from __future__ import annotations

import logging

import torch

from fastpty.ops.waves import free_idle_waves

__all__ = ["Parts", "free_memory", "is_out_of_memory"]

_log = logging.getLogger(__name__)

# What torch and the system say where they raise no error of a type of its own.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


class Parts:
    """Parts that a batch goes through in: one for all engines of a run.

    Parameters
    ----------
    largest : patterns in a part; None: a batch goes through whole.
    waves : bytes that a part may keep from its forward to its backward; None: as
        :func:`fastpty.ops.set_wave_budget` has it.
    """

    def __init__(self, largest: int | None = None, waves: int | None = None) -> None:
        self.largest = largest
        self.waves = waves
        self.iteration = 0
        """The one under way, counted from 1, for messages."""
        self.shortages: list[str] = []
        """Where memory ran out, and what followed from it."""

    def of(self, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A batch [B] in its parts."""
        parts: tuple[torch.Tensor, ...] = index.split(self.largest or len(index))
        return parts

    def at_most(self, largest: int | None) -> None:
        """Parts of that size, if they are not smaller already."""
        self.largest = min((n for n in (largest, self.largest) if n is not None), default=None)

    def halve(self, size: int, batch: int, batches: int) -> bool:
        """After memory ran out in a batch of ``size`` patterns: smaller parts from now on.

        Parameters
        ----------
        batch, batches : its number from 1, and how many there are.

        Returns
        -------
        done : False where a part is a single pattern already.
        """
        present = min(size, self.largest or size)
        if present <= 1:
            return False
        self.largest = (present + 1) // 2
        text = (
            f"Out of memory in batch {batch} of {batches} of iteration {self.iteration}: patterns "
            f"go through in parts of {self.largest} from now on. The steps stay those of whole "
            "batches; a smaller optimise.batch_size would be faster."
        )
        self.shortages.append(text)
        _log.warning(text)
        return True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was missing: the host's, for torch or numpy or the native core
    (``std::bad_alloc``, which Python sees as MemoryError), or a device's."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def free_memory() -> None:
    """Give back what is kept for later, on the host and on all devices."""
    free_idle_waves()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
