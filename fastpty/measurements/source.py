"""The patterns of an iteration, batch by batch, where the model is."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.measurements.patterns import Patterns

__all__ = ["Batch", "CudaTransfers", "PatternSource", "Transfers"]

# Buffers on either side: one in use, one on its way, one being filled.
SLOTS = 3


@dataclass(frozen=True)
class Batch:
    """Scan positions [B], and their patterns [B, Ny, Nx] as :meth:`Patterns.scaled` takes them.

    All hold until the next batch is asked for. Of several processes these are the positions whose
    patterns this one has, maybe none; ``whole`` are those of the batch in all of them.
    """

    index: torch.Tensor
    recorded: torch.Tensor
    whole: torch.Tensor


class Transfers(Protocol):
    """Copies to the device, in an order of their own beside the device's work."""

    def buffers(self, patterns: Patterns, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(host, device) memory for so many patterns."""

    def event(self) -> Any:
        """A point in either order, which others can wait for; at first one that is passed."""

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Next among the copies: from the host to the device."""

    def mark_copies(self, event: Any) -> None:
        """The event is when the copies so far are done."""

    def mark_work(self, event: Any) -> None:
        """The event is when the device's work so far is done."""

    def hold_copies(self, event: Any) -> None:
        """Later copies wait for the event."""

    def hold_work(self, event: Any) -> None:
        """The device's later work waits for the event."""

    def hold_host(self, event: Any) -> None:
        """The caller waits for the event."""


class CudaTransfers:
    """A stream for the copies; the device's work is in the stream that is current."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies = torch.cuda.Stream(device)

    def buffers(self, patterns: Patterns, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Page-locked on the host's side, or copies would wait for each other."""
        host = patterns.recorded_buffer(count, pin_memory=True, device="cpu")
        device = patterns.recorded_buffer(count, device=self._device)
        # Work that was given this memory before may still be under way; and the other way round,
        # when it is given to others later.
        self._copies.wait_stream(self._work)
        device.record_stream(self._copies)
        return host, device

    @property
    def _work(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self._device)

    def event(self) -> torch.cuda.Event:
        return torch.cuda.Event()

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        with torch.cuda.stream(self._copies):
            target.copy_(source, non_blocking=True)

    def mark_copies(self, event: torch.cuda.Event) -> None:
        event.record(self._copies)

    def mark_work(self, event: torch.cuda.Event) -> None:
        event.record(self._work)

    def hold_copies(self, event: torch.cuda.Event) -> None:
        self._copies.wait_event(event)

    def hold_work(self, event: torch.cuda.Event) -> None:
        self._work.wait_event(event)

    def hold_host(self, event: torch.cuda.Event) -> None:
        event.synchronize()


@dataclass
class _Slot:
    host: torch.Tensor
    device: torch.Tensor
    sent: Any
    used: Any


class PatternSource:
    """Batches on the patterns' device.

    Patterns that lie there are gathered there. From the host's memory, or from the disk, they are
    gathered into page-locked buffers and copied while the device works on the batches before; the
    host waits only where it is more than ``SLOTS`` batches ahead of the device. Where the host is
    the device, they are read from the disk one batch ahead.

    Parameters
    ----------
    patterns : told by :meth:`Patterns.to` where batches are wanted.
    transfers : how to copy, of patterns that lie elsewhere; None: for CUDA.
    """

    def __init__(self, patterns: Patterns, transfers: Transfers | None = None) -> None:
        self._patterns = patterns
        self._transfers = transfers
        self._slots: list[_Slot] = []

    def batches(self, order: NDArray[np.int64], size: int) -> Iterator[Batch]:
        """The patterns ``order``, ``size`` at a time; the last batch may be smaller."""
        share = self._patterns.share
        here = share.here(order)
        sizes = [int(part.sum()) for part in np.split(here, range(size, len(order), size))]
        own, places = order[here], share.rows(order[here])
        index = self._where_wanted(own).split(sizes)
        whole = index if share.processes.alone else self._where_wanted(order).split(size)
        if self._patterns.on_device:
            found = self._gathered(self._where_wanted(places).split(sizes))
        elif self._patterns.device.type == "cpu" and self._transfers is None:
            found = self._read(torch.from_numpy(places).split(sizes))
        else:
            found = self._copied(torch.from_numpy(places).split(sizes))
        with closing(found):  # also when the loop over the batches is broken off
            for part, recorded, batch in zip(index, found, whole, strict=True):
                yield Batch(part, recorded, batch)

    def _gathered(self, rows: Sequence[torch.Tensor]) -> Generator[torch.Tensor]:
        yield from map(self._patterns.recorded, rows)

    def _where_wanted(self, index: NDArray[np.int64]) -> torch.Tensor:
        """Where the patterns are wanted, too."""
        on_host = torch.from_numpy(index)
        if self._patterns.device.type != "cuda":
            return on_host
        # From page-locked memory, or the host would wait for the copy.
        return on_host.pin_memory().to(self._patterns.device, non_blocking=True)

    def _read(self, rows: Sequence[torch.Tensor]) -> Generator[torch.Tensor]:
        """From the disk, each batch while the one before is worked on."""
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._patterns.recorded, rows[0])
            for number in range(1, len(rows) + 1):
                recorded = coming.result()
                if number < len(rows):
                    coming = reader.submit(self._patterns.recorded, rows[number])
                yield recorded

    def _copied(self, rows: Sequence[torch.Tensor]) -> Generator[torch.Tensor]:
        transfers = self._transfers = self._transfers or CudaTransfers(self._patterns.device)
        self._make_slots(transfers, max(map(len, rows)))

        def send(number: int) -> None:
            if number >= len(rows):
                return
            slot, index = self._slots[number % SLOTS], rows[number]
            transfers.hold_host(slot.sent)  # before its host side is overwritten
            self._patterns.gather(index, slot.host[: len(index)])
            transfers.hold_copies(slot.used)  # before its device side is overwritten
            transfers.copy(slot.device[: len(index)], slot.host[: len(index)])
            transfers.mark_copies(slot.sent)

        for number in range(SLOTS - 1):
            send(number)
        for number, index in enumerate(rows):
            slot = self._slots[number % SLOTS]
            transfers.hold_work(slot.sent)
            try:
                yield slot.device[: len(index)]
            finally:  # also when the loop over the batches is broken off
                transfers.mark_work(slot.used)
            send(number + SLOTS - 1)

    def _make_slots(self, transfers: Transfers, count: int) -> None:
        if not self._slots or len(self._slots[0].host) < count:
            self._slots = [
                _Slot(
                    *transfers.buffers(self._patterns, count), transfers.event(), transfers.event()
                )
                for _ in range(SLOTS)
            ]
