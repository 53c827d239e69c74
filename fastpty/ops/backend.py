"""Which implementation the ops run: the one place where that is chosen.

A choice is made for the process, or for a ``with`` block. A block's choice belongs to its thread
(more exactly: its context, as :mod:`contextvars` has it) and hides that of the process; another
thread does not see it.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Literal, get_args

from fastpty.ops import native

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import torch

__all__ = ["Backend", "current_backend", "has_kernel", "use_backend"]

Backend = Literal["auto", "native", "reference"]

_lock = threading.Lock()
_of_process: Backend = "auto"
_of_block: ContextVar[Backend | None] = ContextVar("fastpty.ops.backend", default=None)
_open_blocks = 0  # in all threads


def current_backend() -> Backend:
    """The choice that holds here: that of the innermost block, else that of the process.

    torch.compile follows this, and compiles anew after another choice for the process. It cannot
    look into a context: with a block open anywhere, the graph is broken here.
    """
    return (_of_block.get() if _open_blocks else None) or _of_process


_ON_CUDA = frozenset({"adam_step", "multislice_intensity", "slice_transmit"})


def has_kernel(op: str, device: torch.device) -> bool:
    """Whether an op runs a native kernel on this device.

    Raises
    ------
    RuntimeError : the choice is "native", and there is no kernel.
    """
    choice = current_backend()
    if choice == "reference":
        return False
    on_cuda = device.type == "cuda" and op in _ON_CUDA and native.runs_on(device)
    found = on_cuda or (native.AVAILABLE and device.type == "cpu")
    if choice == "native" and not found:
        _refuse_without_core()
        raise RuntimeError(
            f"{op}: has no native kernel for {device.type}; use_backend('auto') runs the reference "
            f"there"
        )
    return found


def _refuse_without_core() -> None:
    if not native.AVAILABLE:
        raise RuntimeError(
            "use_backend('native'): needs the native core, fastpty._core, which could not be "
            "imported; installing fastpty builds it where there is a C++ compiler"
        )


class use_backend:
    """Choose the implementation of the ops.

    A call chooses for the process. Used in a ``with`` statement, it chooses for that block and
    this thread alone, and what held before holds again when the block ends; blocks nest, and a
    call inside a block is for the rest of the block::

        use_backend("reference")        # from here on

        with use_backend("reference"):  # in this block
            ...

    The choice is made when an op is called; its backward is of the same kind, whenever it runs.

    Parameters
    ----------
    name : "auto", the default: the fastest implementation that is installed and knows the device.
        "native": the same, but whatever would need :mod:`fastpty.reference` raises.
        "reference": :mod:`fastpty.reference`, with the ops' checks of their arguments.

    Raises
    ------
    ValueError : there is no such backend.
    RuntimeError : "native", and the native core could not be imported.
    """

    def __init__(self, name: Backend) -> None:
        if name not in get_args(Backend):
            names = ", ".join(get_args(Backend))
            raise ValueError(f"backend: must be one of {names}, found {name!r}")
        if name == "native":
            _refuse_without_core()
        self._name = name
        self._undo: Callable[[], None] | None = _choose(name)
        self._tokens: list[Token[Backend | None]] = []

    def __enter__(self) -> None:
        """Turn the call's choice into the block's."""
        global _open_blocks  # noqa: PLW0603
        if self._undo is not None:
            self._undo()
            self._undo = None
        self._tokens.append(_of_block.set(self._name))
        with _lock:
            _open_blocks += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let hold again what held before the block."""
        global _open_blocks  # noqa: PLW0603
        with _lock:
            _open_blocks -= 1
        _of_block.reset(self._tokens.pop())


def _choose(name: Backend) -> Callable[[], None]:
    """Choose for the block around the call, else for the process; return what undoes it."""
    if _of_block.get() is not None:
        token = _of_block.set(name)
        return lambda: _of_block.reset(token)
    before = _of_process
    _set_of_process(name)
    return lambda: _set_of_process(before)


def _set_of_process(name: Backend) -> None:
    global _of_process  # noqa: PLW0603
    _of_process = name
