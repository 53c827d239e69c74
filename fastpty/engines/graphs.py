"""A step that runs as a CUDA graph: recorded once, then replayed with one launch.

A step launches some hundred small kernels beside the large ones. Where the large ones are done
sooner than the host can launch the small ones, the device waits for the host; a graph removes that.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

__all__ = ["CudaRecorder", "GraphedStep", "Recorder", "pays"]

_log = logging.getLogger(__name__)

# Steps of a kind that run as they are before one is recorded: they make the optimiser's moments,
# the transforms' plans and the tables of the kernels, which a graph cannot.
WARM_UP = 3

# Pixels of waves times slices in a batch up to which graphs are used: about three times those of
# 32 positions, 6 modes, 32 slices and 128 x 128 pixels, for which launching takes, by estimate,
# about as long as computing. Larger batches gain nothing from a graph, and its memory is its own.
SMALL = 3e8

Step = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]
Recorder = Callable[[Callable[[], torch.Tensor]], tuple[Callable[[], None], torch.Tensor]]


def pays(probe: torch.Tensor, copies: int, slices: int, positions: int) -> bool:
    """Whether batches of this size gain from graphs.

    Parameters
    ----------
    probe : [M, Ny, Nx], on the model's device.
    copies : waves that each probe mode makes: object modes times points of the source.
    """
    # Deterministic algorithms of torch look at indices on the host, which a graph cannot.
    possible = probe.is_cuda and not torch.are_deterministic_algorithms_enabled()
    return possible and probe.numel() * copies * slices * positions <= SMALL


class CudaRecorder:
    """Records what a function does on a device; every graph draws on one pool of memory.

    Graphs that share memory may only be replayed one after the other, and what one has returned
    is lost with the next.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool: Any = torch.cuda.graph_pool_handle()
        # Also one whose recording failed: torch's allocator goes on asking it.
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def __call__(
        self, function: Callable[[], torch.Tensor]
    ) -> tuple[Callable[[], None], torch.Tensor]:
        """(what replays it, where its result is then)."""
        graph = torch.cuda.CUDAGraph()
        self._graphs.append(graph)
        # The outer stream context: torch's own does not come back from a recording that fails.
        here = torch.cuda.stream(torch.cuda.current_stream(self._device))
        recording = torch.cuda.graph(graph, pool=self._pool, stream=self._stream)
        with torch.cuda.device(self._device), here, recording:
            result = function()
        return graph.replay, result


@dataclass(frozen=True)
class _Recorded:
    index: torch.Tensor
    recorded: torch.Tensor
    replay: Callable[[], None]
    result: torch.Tensor


class GraphedStep:
    """A step on a batch, replayed wherever one of its kind was recorded.

    The first steps of a kind run as they are, so nothing is computed twice. If a recording fails,
    everything runs as it is from then on, and a warning says so, once.

    Parameters
    ----------
    step : takes a kind, and scan positions and recorded patterns of a batch; all else that it uses
        stays where it is in memory, and nothing in it waits for the device. Numbers that it
        reads on the host are those of the recording: what they depend on belongs into the kind.
    recorder : makes a graph.
    """

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self._seen: Counter[Any] = Counter()
        self._graphs: dict[Any, _Recorded] = {}
        self._failed = False

    def __call__(self, kind: Any, index: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
        """The step's result, in memory that the next call may overwrite.

        Parameters
        ----------
        kind : what a graph is valid for, beside the shapes of the batch.
        """
        key = (kind, recorded.shape)
        graph = self._graphs.get(key)
        if graph is None and not self._failed:
            self._seen[key] += 1
            if self._seen[key] > WARM_UP:
                graph = self._record(key, index, recorded)
        if graph is None:
            return self._step(kind, index, recorded)
        graph.index.copy_(index)
        graph.recorded.copy_(recorded)
        graph.replay()
        return graph.result

    def _record(
        self, key: tuple[Any, torch.Size], index: torch.Tensor, recorded: torch.Tensor
    ) -> _Recorded | None:
        index, recorded = index.clone(), recorded.clone()
        try:
            replay, result = self._recorder(partial(self._step, key[0], index, recorded))
        except RuntimeError as error:
            self._failed = True
            reason = str(error).strip().splitlines()
            _log.warning(
                "A step could not be recorded as a CUDA graph, so every step is launched kernel by "
                "kernel: right, but slower for small batches (%s).",
                reason[0] if reason else type(error).__name__,
            )
            return None
        graph = self._graphs[key] = _Recorded(index, recorded, replay, result)
        return graph
