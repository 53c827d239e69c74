"""What the device can do at the most, measured: ``python -m bench.gpu.ceilings -o part.json``.

Bytes per second of a copy within its memory, read and written bytes both counted; and fused
multiply-adds per second in single precision, by ceilings.cu.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench.gpu.device import clocks
from bench.gpu.timing import in_turn

SOURCE = Path(__file__).with_name("ceilings.cu")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.ceilings", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    found: dict[str, Any] = {"copy_bytes_per_s": copy_rate(device)}
    options.out.write_text(json.dumps({"ceilings": found}))  # the other one may fail
    if device.type == "cuda":
        found["multiply_adds_per_s"] = multiply_add_rate(device)
    found["clocks_after"] = clocks(device)
    options.out.write_text(json.dumps({"ceilings": found}, indent=1) + "\n")
    for name, value in found.items():
        print(name, f"{value:.4g}" if isinstance(value, float) else value)


def copy_rate(device: torch.device) -> float:
    """Bytes per second: far more of them than the caches hold."""
    floats = 1 << (28 if device.type == "cuda" else 22)
    source, target = (torch.ones(floats, device=device) for _ in range(2))
    seconds = in_turn({"copy": lambda _: target.copy_(source)}, 15, device)["copy"]
    return 2 * source.nbytes / seconds.median


def multiply_add_rate(device: torch.device) -> float:
    """Multiply-adds per second."""
    with tempfile.TemporaryDirectory() as folder:
        library = ctypes.CDLL(str(compiled(Path(folder), device)))
    launch = library.launch_multiply_add
    launch.restype = ctypes.c_longlong
    launch.argtypes = [ctypes.c_int] * 3 + [ctypes.c_void_p] * 2
    out = torch.zeros(1, device=device)
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    shape = 8 * multiprocessors, 256, 4096

    def run(_: int) -> int:
        count = int(launch(*shape, out.data_ptr(), torch.cuda.current_stream(device).cuda_stream))
        if count <= 0:
            raise RuntimeError(f"ceilings.cu: CUDA error {-count}")
        return count

    count = run(0)
    return count / in_turn({"multiply-adds": run}, 9, device)["multiply-adds"].median


def compiled(folder: Path, device: torch.device) -> Path:
    """The shared library, for this device alone."""
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        raise SystemExit("bench.gpu.ceilings: found no nvcc")
    major, minor = torch.cuda.get_device_capability(device)
    return compile_for(nvcc, f"sm_{major}{minor}", folder)


def compile_for(nvcc: str, arch: str, folder: Path) -> Path:
    """Compile ceilings.cu into a folder."""
    library = folder / "libceilings.so"
    flags = ["-O3", f"-arch={arch}", "-shared", "-Xcompiler", "-fPIC"]
    subprocess.run([nvcc, *flags, "-o", str(library), str(SOURCE)], check=True, timeout=120)
    return library


if __name__ == "__main__":
    main()
