"""Peak memory of one whole iteration on a 48 x 48 scan: ``python -m bench.iteration.memory``."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from bench.iteration.problem import config_for, write_patterns
from fastpty.recon import Reconstruction


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        write_patterns(path, (48, 48))
        run = Reconstruction.from_config(config_for(path), Path(folder))
        before = time.perf_counter()
        run.run()
        seconds = time.perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scale = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    print(f"48 x 48 scan, 128 px, 10 slices, 4 modes, batch 32: peak {peak / scale:.2f} GiB, ")
    print(f"{seconds:.1f} s for the iteration, {48 * 48 / seconds:.1f} patterns/s")


if __name__ == "__main__":
    main()
