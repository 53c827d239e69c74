"""Several processes at one reconstruction: who holds which patterns, and sums over all of them.

Every process has all unknowns and knows the order of batches; patterns are divided among them. What
a batch comes to is a sum over its patterns, so that of the parts is the same in every process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from fastpty.errors import ConfigError, FastptyError
from fastpty.info import why_no_cuda

__all__ = ["ALONE", "LostProcessError", "Processes", "choose_device", "joined", "launched"]

Result = TypeVar("Result")

# For which a process waits for the others: longer than any of them reads data or iterates, when
# the others have long done the same.
PATIENCE = timedelta(minutes=30)

# What torchrun tells a process.
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class LostProcessError(FastptyError):
    """One of several processes has ended, or does not answer."""


class Pending(Protocol):
    """A sum that is under way."""

    def wait(self) -> Any:
        """Until it is there; on a device later work waits, not the host."""


@dataclass(frozen=True)
class Processes:
    """One of ``count`` processes, and its way to the others; tensors are on the host, or on the
    device of each.

    Parameters
    ----------
    rank : number of this one, from 0.
    place, here : its number on its machine, from 0, and how many are there.
    """

    rank: int = 0
    count: int = 1
    place: int = 0
    here: int = 1

    @property
    def alone(self) -> bool:
        """True for one process, which has nobody to ask."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """True for the one process that prints and writes."""
        return self.rank == 0

    def owners(self, patterns: int) -> NDArray[np.int64]:
        """[N] the rank that holds each pattern.

        Of any ``count`` patterns in a row each process has one, in random order: so each has as
        much of a batch of neighbours, and none has a lattice to itself.
        """
        rows = np.tile(np.arange(self.count), (-(-patterns // self.count), 1))
        return np.random.default_rng(0).permuted(rows, axis=1).ravel()[:patterns]

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, the same bits in each; alone, the tensor itself. What a
        tensor held may be lost.

        Raises
        ------
        LostProcessError : another process has ended.
        """
        if self.alone:
            return tensor
        tensor = tensor.contiguous()
        with self._heard():
            dist.all_reduce(tensor)
        return tensor

    def begin_adding(self, tensor: torch.Tensor) -> Pending:
        """As :meth:`add` of several, in a contiguous tensor's place and beside other work; each
        process begins its sums in the same order."""
        with self._heard():
            pending: Pending = dist.all_reduce(tensor, async_op=True)
        return pending

    def end_adding(self, pending: Pending) -> None:
        """Wait for a sum."""
        with self._heard():
            pending.wait()

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        if self.alone:
            return flag
        return bool(self.add(torch.tensor(float(flag))) > 0)

    def check_same(self, tensors: Sequence[torch.Tensor], iteration: int) -> None:
        """All processes have the same bits in these tensors after so many iterations.

        Raises
        ------
        FastptyError : in all of them, if they have not.
        """
        if self.alone:
            return
        found = torch.stack([_bits(tensor) for tensor in tensors]).cpu()
        largest, smallest = found.clone(), found
        with self._heard():
            dist.all_reduce(largest, op=dist.ReduceOp.MAX)
            dist.all_reduce(smallest, op=dist.ReduceOp.MIN)
        if not torch.equal(largest, smallest):
            raise FastptyError(
                f"process {self.rank} of {self.count}",
                f"has other unknowns than the others after iteration {iteration}.",
                "Give all of them the same files, the same fastpty and torch, the same kind of "
                "processor and the same OMP_NUM_THREADS; go on with --resume.",
            )

    def together(self, action: Callable[[], Result]) -> Result:
        """What an action gives in which no process waits for another; its errors are those of all.

        Raises
        ------
        FastptyError : its own, or else that another process had one.
        """
        if self.alone:
            return action()
        found: Result | None = None
        own: Exception | None = None
        try:
            found = action()
        except Exception as error:
            own = error
        messages: list[str | None] = [None] * self.count
        with self._heard():
            dist.all_gather_object(messages, None if own is None else _in_words(own))
        if own is not None:
            raise own
        broken = [rank for rank, message in enumerate(messages) if message is not None]
        if broken:
            raise FastptyError(f"process {broken[0]} of {self.count}", str(messages[broken[0]]))
        return found  # type: ignore[return-value]

    @contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise LostProcessError(
                f"process {self.rank} of {self.count}",
                f"has lost another one ({reason}).",
                "Go on from the last checkpoint with --resume, with any number of processes.",
            ) from error


ALONE = Processes()
"""The only process of a run."""


def launched() -> int:
    """How many processes torchrun, or whatever sets its variables, has started; 1 without it."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isdecimal() else 1


@contextmanager
def joined() -> Iterator[Processes]:
    """This process among those that torchrun has started; alone without it.

    Raises
    ------
    ConfigError : variables of torchrun's are missing, or this torch has no way to the others.
    LostProcessError : not all of them have come.
    """
    if launched() == 1:
        yield ALONE
        return
    missing = [name for name in _VARIABLES if name not in os.environ]
    if missing:
        raise ConfigError(
            "WORLD_SIZE",
            f"is {launched()} in the environment, but {', '.join(missing)} is not set.",
            "Start with torchrun, or unset WORLD_SIZE.",
        )
    if not (dist.is_available() and dist.is_gloo_available()):
        raise ConfigError("torchrun", "needs a torch with torch.distributed and gloo.")
    processes = Processes(*(int(os.environ[name]) for name in _VARIABLES[:4]))
    backend = "gloo"
    if why_no_cuda() is None and dist.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
    with processes._heard():
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield processes
    finally:
        dist.destroy_process_group()


def choose_device(name: str, processes: Processes = ALONE) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as the device of a process: of several each has its own GPU.

    Raises
    ------
    ConfigError : CUDA is asked for and not to be had, or not for each process.
    """
    if name == "cpu":
        return torch.device("cpu")
    missing = why_no_cuda()
    if name == "cuda" and missing is not None:
        raise ConfigError(
            "device",
            f"is cuda, but {missing}.",
            "Use --device cpu, or install a CUDA build of torch beside an NVIDIA driver.",
        )
    if missing is not None:
        return torch.device("cpu")
    if processes.alone:
        return torch.device("cuda")
    gpus = torch.cuda.device_count()
    if processes.place >= gpus:
        raise ConfigError(
            "device",
            f"is {name}, but {processes.here} processes on this machine have {gpus} "
            f"GPU{'s' * (gpus != 1)}.",
            f"Start with --nproc-per-node {gpus}, or use --device cpu.",
        )
    torch.cuda.set_device(processes.place)
    return torch.device("cuda", processes.place)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor's bits as whole numbers, which has no rounding, and so no order."""
    plain = tensor.detach()
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    whole = {4: torch.int32, 8: torch.int64}[plain.element_size()]
    return plain.contiguous().view(whole).sum(dtype=torch.int64)


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, FastptyError) else f"{type(error).__name__}: {error}"
