"""Ctrl-C in a study: every trial ends after its iteration; a second one ends it at once."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console

__all__ = ["Stopper"]


class Stopper:
    """Within its block signals that ask the process to end set ``requested``."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, console: Console) -> None:
        self.requested = False
        self._console = console
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():  # others are given no signals
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            sys.exit(128 + number)
        self.requested = True
        self._console.print("Stopping after this iteration; once more stops at once.")
