"""Peak memory of one side, in a process of its own: ``python -m bench.peak '["nothing"]'``.

Prints bytes. Nothing but the imports is the side "nothing": what the others need beyond it is
theirs.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cases import WAVE_BUDGET, Case, Inputs, backward_step
from bench.iteration.problem import one_step
from fastpty import ops, reference

__all__ = ["peak_of"]


def peak_of(*side: Any) -> int:
    """Bytes that a fresh process holds at most: ``peak_of("call", "stored", *case)``."""
    command = [sys.executable, "-m", "bench.peak", json.dumps(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench.peak {side} failed:\n{done.stderr}")
    return int(done.stdout)


def _call(side: str, *sizes: int) -> None:
    """Forward and backward, twice: the second may meet what the first left."""
    ops.set_wave_budget(WAVE_BUDGET.get(side))
    step = backward_step(reference if side == "reference" else ops, Inputs.of(Case(*sizes)))
    step()
    step()


def _step(side: str, slices: int, modes: int) -> None:
    """Two optimisation steps: the optimiser's moments come with the first."""
    with tempfile.TemporaryDirectory() as folder:
        run = one_step(Path(folder), slices, modes, plain=side == "plain torch")
    run(1)
    run(2)


def _own_peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: Linux lets a process begin with the peak of the one that started it.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """One side, named on the command line."""
    kind, *rest = json.loads(sys.argv[1])
    what: dict[str, Callable[..., None]] = {
        "nothing": lambda: None,
        "call": _call,
        "step": _step,
    }
    what[kind](*rest)
    print(_own_peak())


if __name__ == "__main__":
    main()
