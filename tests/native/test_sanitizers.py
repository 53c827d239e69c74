"""CPU kernels under the compiler's sanitizers, which see what no result shows.

One build for memory and undefined behaviour, one for data races, of a driver for each kernel beside
this file. Without _core: the sources are compiled as they are.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ["adam_step", "multislice_intensity", "step_overlaps"]
# Not optimised: it compiles in half the time.
FLAGS = ["-std=c++17", "-O0", "-g1", "-pthread", "-ffp-contract=fast", "-DFASTPTY_SIMD=portable"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
    pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="needs the sources"),
]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_kernel_under(sanitizers: str, kernel: str, tmp_path: Path) -> None:
    flags = [*FLAGS, f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-Icsrc"]
    empty = tmp_path / "empty.cpp"
    empty.write_text("int main() {}\n")
    program = str(tmp_path / "program")
    if run("g++", *flags, str(empty), "-o", program).returncode or run(program).returncode:
        pytest.skip(f"this compiler or machine has no sanitizers for {sanitizers}")
    sources = [
        str(path)
        for folder in ("common", kernel)
        for path in sorted((ROOT / "csrc" / folder).glob("*.cpp"))
    ]
    driver = f"tests/native/{kernel}.cpp"
    built = run("g++", *flags, *sources, driver, "-o", program)
    assert built.returncode == 0, built.stderr
    found = run(program, "3")  # threads
    assert found.returncode == 0, found.stdout + found.stderr
