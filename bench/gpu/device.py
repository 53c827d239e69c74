"""What a result was measured on: GPU, driver, clocks; and how a step says that it was skipped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any, NoReturn

import torch

from bench.machine import machine

__all__ = ["SKIPPED", "clocks", "describe", "skip"]

# The exit code of a step that cannot run here; its last line says why.
SKIPPED = 77

_CLOCKS = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "utilization.gpu")


def skip(reason: str) -> NoReturn:
    """End the process as skipped."""
    print(reason, flush=True)
    sys.exit(SKIPPED)


def describe(device: torch.device) -> dict[str, Any]:
    """Plain data, ready for JSON."""
    found = machine()
    if device.type != "cuda":
        return found | {"device": found["cpu"]}
    properties = torch.cuda.get_device_properties(device)
    return found | {
        "device": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "l2_bytes": getattr(properties, "L2_cache_size", None),
        "cuda_of_torch": torch.version.cuda,
        "driver": _query("driver_version"),
        "kernels": _kernels(),
        "clocks": clocks(device),
    }


def clocks(device: torch.device) -> dict[str, str] | None:
    """What nvidia-smi says now, in its units: MHz, degrees, W, per cent."""
    if device.type != "cuda":
        return None
    values = _query(",".join(_CLOCKS))
    return None if values is None else dict(zip(_CLOCKS, values.split(", "), strict=False))


def _query(fields: str) -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    index = torch.cuda.current_device()
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits", f"--id={index}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout else None


def _kernels() -> str:
    """What the core says of its own build."""
    try:
        from fastpty import _core
    except ImportError as error:
        return f"no core: {error}"
    return str(_core.build_info())
