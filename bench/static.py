"""What the compiler made of the CUDA kernels, without a GPU: ``python -m bench.static``.

Every ``csrc/**/*.cu`` is compiled for sm_80, sm_90 and sm_120. Of each kernel: registers, shared
memory, spills, instructions by kind, and for the kernels that keep a wave on chip the instructions
that a thread executes per element and slice. It goes to ``bench/results/static-sm_<arch>.json``.
Nothing is timed: these are counts of instructions, not of cycles.

Fails, listing the kernels, where one spills registers, has a stack frame, or executes more than its
limit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import setup_cuda
from bench.sass import Kernel, Work, loop_turn, read_sass

RESULTS = Path(__file__).resolve().parent / "results"
ARCHS = (80, 90, 120)

KINDS = ("FFMA", "FMUL", "FADD", "MUFU", "LDS", "STS", "LDG", "STG", "RED", "LDL", "STL", "BAR")
# Names that differ from architecture to architecture.
ALSO = {"REDG": "RED", "FFMA2": "FFMA", "FMUL2": "FMUL", "FADD2": "FADD"}

# The on-chip kernels: 32 elements of 8 bytes for each thread, which go through shared memory four
# times in each slice. The forward loads the object and stores psi; the backward loads psi and the
# object and adds to the object's gradient.
ELEMENTS = 32
PASS = 8 * ELEMENTS
ON_CHIP = {
    "on_chip_forward_kernel": Work(loaded=PASS, stored=PASS, shared=4 * PASS),
    "on_chip_backward_kernel": Work(loaded=2 * PASS, added=PASS, shared=4 * PASS),
}
# Instructions per element and slice, at most: 128 x 128 pixels, complex object, no moments.
LIMITS = {
    ("sm_90", "on_chip_forward_kernel<128, 128, false>"): 105,
    ("sm_90", "on_chip_backward_kernel<128, 128, false, false>"): 112,
}

Row = dict[str, Any]


def main() -> None:
    """Compile, count, write, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.static", description=__doc__)
    parser.add_argument("--archs", type=int, nargs="+", default=ARCHS, help="80 90 120")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="for the results")
    options = parser.parse_args()
    try:
        toolkit = setup_cuda.find_toolkit(os.environ)
        nvdisasm = find_nvdisasm(toolkit.nvcc)
    except setup_cuda.CudaError as missing:
        print(f"static report skipped: {missing}")
        return

    archs = [f"sm_{number}" for number in options.archs]
    findings = []
    for arch, rows in report(toolkit, nvdisasm, archs).items():
        options.folder.mkdir(parents=True, exist_ok=True)
        path = options.folder / f"static-{arch}.json"
        lines = ",\n".join(json.dumps(row) for row in rows)  # one for each kernel, for its history
        head = json.dumps({"arch": arch, "nvcc": toolkit.release})[:-1]
        path.write_text(f'{head}, "kernels": [\n{lines}\n]}}\n', encoding="utf-8")
        print(f"{arch}: {len(rows)} kernels, {path}")
        findings += judge(arch, rows)
    if findings:
        print("\n".join(["", *findings]))
        sys.exit(1)


def find_nvdisasm(nvcc: str) -> str:
    """The disassembler: on the path, beside nvcc, or in the package nvidia-cuda-nvdisasm."""
    spec = find_spec("nvidia")
    packages = spec.submodule_search_locations if spec is not None else None
    beside = [
        Path(nvcc).resolve().parent,
        Path("/usr/local/cuda/bin"),
        *(path for root in packages or [] for path in sorted(Path(root).glob("cu*/bin"))),
    ]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, beside)])
    found = shutil.which("nvdisasm", path=path)
    if found is None:
        raise setup_cuda.CudaError("nvdisasm was not found (PyPI: nvidia-cuda-nvdisasm)")
    return found


def report(toolkit: setup_cuda.Toolkit, nvdisasm: str, archs: list[str]) -> dict[str, list[Row]]:
    """Compile everything; return what is to be said of each kernel, for each architecture."""

    def of_job(job: tuple[str, str]) -> list[Row]:
        arch, source = job
        target = f"build/static/{arch}/{source}.cubin"
        options = ["-cubin", f"-arch={arch}", "-Xptxas=-v"]
        said = setup_cuda.compile_where_changed(toolkit, options, source, target, os.environ)
        sass = _output([nvdisasm, "-c", str(setup_cuda.ROOT / target)])
        return describe(source, resource_usage(said), read_sass(sass))

    jobs = [(arch, source) for source in setup_cuda.cuda_sources() for arch in archs]
    found: dict[str, list[Row]] = {arch: [] for arch in archs}
    with ThreadPoolExecutor(os.cpu_count() or 1) as executor:
        for (arch, _), rows in zip(jobs, executor.map(of_job, jobs), strict=True):
            found[arch] += sorted(rows, key=lambda row: str(row["kernel"]))
    return found


_FUNCTION = re.compile(r"(?:Compiling entry function '|Function properties for )([\w$]+)")
_NUMBERS = {
    "registers": re.compile(r"Used (\d+) registers"),
    "stack_bytes": re.compile(r"(\d+) bytes stack frame"),
    "spill_store_bytes": re.compile(r"(\d+) bytes spill stores"),
    "spill_load_bytes": re.compile(r"(\d+) bytes spill loads"),
    "static_shared_bytes": re.compile(r"(\d+) bytes smem"),
}


def resource_usage(said: str) -> dict[str, dict[str, int]]:
    """Read what ``ptxas -v`` prints, function by function."""
    usage: dict[str, dict[str, int]] = {}
    name = ""
    for line in said.splitlines():
        if found := _FUNCTION.search(line):
            name = found[1]
            usage.setdefault(name, dict.fromkeys(_NUMBERS, 0))
        for what, pattern in _NUMBERS.items():
            if name and (found := pattern.search(line)):
                usage[name][what] = int(found[1])
    return usage


def describe(
    source: str, usage: dict[str, dict[str, int]], kernels: dict[str, Kernel]
) -> list[Row]:
    """One row for each kernel, and for each function that was not inlined into one."""
    mangled = sorted({*usage, *kernels})
    readable = _output(["c++filt", *mangled]).splitlines() if mangled else []
    rows = []
    for name, full in zip(mangled, readable, strict=True):
        row: Row = {"kernel": plain_name(full), "source": source, **usage.get(name, {})}
        if name in kernels:
            kinds = kernels[name].kinds()
            for kind, standard in ALSO.items():
                kinds[standard] += kinds.pop(kind, 0)
            row["instructions"] = kinds.total()
            row["kinds"] = {kind: kinds[kind] for kind in KINDS if kinds[kind] > 0}
            family = row["kernel"].partition("<")[0]
            if family in ON_CHIP:
                turn = loop_turn(kernels[name], ON_CHIP[family], PASS)
                row["per_element_and_slice"] = None if turn is None else round(turn / ELEMENTS, 2)
        rows.append(row)
    return rows


def plain_name(full: str) -> str:
    """``void fastpty::cuda::kernel<128, false>(Arguments)`` without all but the kernel's name."""
    name = full.replace("(anonymous namespace)::", "")
    depth = 0
    for at, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            name = name[:at]
            break
    return name.removeprefix("void ").replace("fastpty::", "").replace("cuda::", "")


def judge(arch: str, rows: list[Row]) -> list[str]:
    """What must not be, a line each."""
    findings = []
    for row in rows:
        where = f"{arch} {row['source']} {row['kernel']}"
        spilled = row.get("spill_store_bytes", 0) + row.get("spill_load_bytes", 0)
        local = sum(row.get("kinds", {}).get(kind, 0) for kind in ("LDL", "STL"))
        if row.get("stack_bytes", 0) or spilled or local:
            findings.append(
                f"{where}: {row.get('stack_bytes', 0)} bytes stack frame, {spilled} bytes spilled, "
                f"{local} accesses to local memory"
            )
        if "per_element_and_slice" in row and row["per_element_and_slice"] is None:
            findings.append(f"{where}: found no loop that does a slice's work")
    counts = {row["kernel"]: row.get("per_element_and_slice") for row in rows}
    for (on, kernel), limit in LIMITS.items():
        if on != arch:
            continue
        if kernel not in counts:
            findings.append(f"{arch}: no kernel {kernel}, which has a limit")
        elif (count := counts[kernel]) is not None and count > limit:
            findings.append(
                f"{arch} {kernel}: {count} instructions per element and slice, the limit is {limit}"
            )
    return findings


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
