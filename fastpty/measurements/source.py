"""The patterns of an iteration, batch by batch, where the model is."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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

    Both hold until the next batch is asked for.
    """

    index: torch.Tensor
    recorded: torch.Tensor


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
        on_host = torch.from_numpy(order)
        device = self._patterns.device
        index = on_host
        if device.type == "cuda":  # from page-locked memory, or the host would wait for the copy
            index = on_host.pin_memory().to(device, non_blocking=True)
        if self._patterns.on_device:
            for part in index.split(size):
                yield Batch(part, self._patterns.recorded(part))
        elif device.type == "cpu" and self._transfers is None:
            yield from self._read(index.split(size))
        else:
            yield from self._copied(on_host.split(size), index.split(size))

    def _read(self, index: tuple[torch.Tensor, ...]) -> Iterator[Batch]:
        """From the disk, each batch while the one before is worked on."""
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._patterns.recorded, index[0])
            for number, part in enumerate(index, 1):
                recorded = coming.result()
                if number < len(index):
                    coming = reader.submit(self._patterns.recorded, index[number])
                yield Batch(part, recorded)

    def _copied(
        self, on_host: tuple[torch.Tensor, ...], on_device: tuple[torch.Tensor, ...]
    ) -> Iterator[Batch]:
        transfers = self._transfers = self._transfers or CudaTransfers(self._patterns.device)
        self._make_slots(transfers, max(map(len, on_host)))

        def send(number: int) -> None:
            if number >= len(on_host):
                return
            slot, index = self._slots[number % SLOTS], on_host[number]
            transfers.hold_host(slot.sent)  # before its host side is overwritten
            self._patterns.gather(index, slot.host[: len(index)])
            transfers.hold_copies(slot.used)  # before its device side is overwritten
            transfers.copy(slot.device[: len(index)], slot.host[: len(index)])
            transfers.mark_copies(slot.sent)

        for number in range(SLOTS - 1):
            send(number)
        for number, index in enumerate(on_device):
            slot = self._slots[number % SLOTS]
            transfers.hold_work(slot.sent)
            try:
                yield Batch(index, slot.device[: len(index)])
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
