"""What setup.py needs to build the CUDA kernels: the toolkit, the architectures, nvcc's flags.

``FASTPTY_CUDA`` decides: ``auto`` (the default) builds ``csrc/**/*.cu`` where there is a toolkit,
``1`` insists on it, ``0`` never does. ``FASTPTY_CUDA_ARCHS`` names the architectures.

Each .cu becomes one object that knows neither Python nor torch. Objects are kept in ``build/cuda``
and made anew when their source, one of its headers or nvcc's command line has changed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent

OLDEST = (12, 4)

# What fastpty ships for, as far as nvcc has them: 100 and 120 come with nvcc 12.8.
ARCHS = (80, 86, 89, 90, 100, 120)
# PTX of this one goes along, for the driver to translate on GPUs that none of ARCHS fits.
PTX_ARCH = 90

RUNTIME = "libcudart_static.a"

# No --use_fast_math: it would replace sine, cosine and division by approximations, wrong by more
# than the kernels' tolerances once a phase is many turns, and flush denormals to zero.
FLAGS = ("-std=c++17", "-O3", "-Xcompiler", "-fPIC,-fvisibility=hidden", "-Icsrc")


class CudaError(Exception):
    """CUDA kernels cannot be built; the message says why, as a clause on one line."""


@dataclass(frozen=True)
class Toolkit:
    """An nvcc that compiles, and what goes with it."""

    nvcc: str
    version: tuple[int, int]
    archs: tuple[int, ...]  # all that it knows
    runtime: str  # the path of libcudart_static.a

    @property
    def release(self) -> str:
        """The version as people write it."""
        return f"{self.version[0]}.{self.version[1]}"


# ------------------------------------------------------------------------------------ the toolkit


def choose_toolkit(environment: Mapping[str, str]) -> tuple[Toolkit | None, str]:
    """The toolkit to build with, and the line that says what was decided.

    Raises
    ------
    SystemExit : ``FASTPTY_CUDA=1``, and something is missing.
    """
    choice = environment.get("FASTPTY_CUDA") or "auto"
    if choice not in {"auto", "0", "1"}:
        raise SystemExit(f"FASTPTY_CUDA: must be auto, 0 or 1, found '{choice}'")
    if choice == "0":
        return None, "built without CUDA kernels: FASTPTY_CUDA=0"
    try:
        toolkit = find_toolkit(environment)
    except CudaError as missing:
        if choice == "1":
            raise SystemExit(
                f"FASTPTY_CUDA=1 asks for CUDA kernels, but {missing}. "
                "FASTPTY_CUDA=0 builds fastpty for the CPU alone."
            ) from missing
        return None, f"built without CUDA kernels: {missing}"
    return toolkit, f"built with CUDA kernels by nvcc {toolkit.release}"


def find_nvcc(environment: Mapping[str, str]) -> str:
    """The path of nvcc: a toolkit that is named goes before one that lies about."""
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if home := environment.get(name):
            nvcc = Path(home, "bin", "nvcc")
            if not nvcc.is_file():
                raise CudaError(f"{name} is '{home}', and there is no '{nvcc}'")
            return str(nvcc)
    usual = "/usr/local/cuda/bin/nvcc"
    found = shutil.which("nvcc", path=environment.get("PATH")) or shutil.which(usual)
    if found is None:
        raise CudaError(
            "nvcc was not found (looked in CUDA_HOME, CUDA_PATH, PATH and /usr/local/cuda)"
        )
    return found


def find_toolkit(environment: Mapping[str, str]) -> Toolkit:
    """Everything that a build takes, found and tried.

    Raises
    ------
    CudaError : something is missing, or does not fit together.
    """
    nvcc = find_nvcc(environment)
    version = nvcc_version(_ask(environment, nvcc, "--version"))
    if version < OLDEST:
        raise CudaError(
            f"'{nvcc}' is version {version[0]}.{version[1]}, and {OLDEST[0]}.{OLDEST[1]} "
            "or newer is needed"
        )
    known = re.findall(r"compute_(\d+)\b", _ask(environment, nvcc, "--list-gpu-arch"))
    folders = library_folders(_ask(environment, nvcc, "--dryrun", "-c", "none.cu"))
    runtimes = [folder / RUNTIME for folder in folders if (folder / RUNTIME).is_file()]
    if not runtimes:
        raise CudaError(
            f"the toolkit of '{nvcc}' has no {RUNTIME} (conda: cuda-cudart-static; "
            "PyPI: nvidia-cuda-runtime)"
        )
    # This header includes what the kernels need of the toolkit's. Compiled, it shows what nothing
    # else does: a host compiler that is too new, parts of the toolkit that do not fit together.
    with tempfile.TemporaryDirectory() as folder:
        probe = ["-x", "cu", "-c", "csrc/cuda/platform.cuh", "-o", f"{folder}/probe.o"]
        _ask(environment, nvcc, *FLAGS, *host_compiler(environment), *probe)
    return Toolkit(nvcc, version, tuple(sorted(map(int, known))), str(runtimes[0]))


def nvcc_version(text: str) -> tuple[int, int]:
    """Major and minor version, from what ``nvcc --version`` prints."""
    found = re.search(r"release (\d+)\.(\d+)", text)
    if found is None:
        raise CudaError(f"`nvcc --version` printed no release, but: {_one_line(text)}")
    return int(found[1]), int(found[2])


def library_folders(plan: str) -> list[Path]:
    """Where nvcc looks for libraries, from what ``nvcc --dryrun`` prints.

    It knows, through wrappers and links and in every layout, but for one: the Python packages have
    a ``lib`` where it says ``lib64``.
    """
    found = re.search(r"^#\$ LIBRARIES=(.*)$", plan, re.MULTILINE)
    words = shlex.split(found[1]) if found is not None else []
    folders = [Path(word[2:]) for word in words if word.startswith("-L")]
    return [*folders, *(folder.with_name("lib") for folder in folders if folder.name == "lib64")]


def host_compiler(environment: Mapping[str, str]) -> list[str]:
    """nvcc's own choice of a host compiler, unless CXX names one (NVCC_CCBIN goes first)."""
    words = [word for word in shlex.split(environment.get("CXX", "")) if not word.startswith("-")]
    if not words or environment.get("NVCC_CCBIN"):
        return []
    return ["-ccbin", words[-1]]  # the last word: a cache such as ccache may stand before it


def _ask(environment: Mapping[str, str], nvcc: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [nvcc, *arguments],
            cwd=ROOT,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except OSError as error:
        raise CudaError(f"'{nvcc}' cannot be run ({error})") from error
    said = done.stdout + done.stderr
    if done.returncode != 0:
        errors = [line for line in said.splitlines() if re.search("error|fatal", line)]
        raise CudaError(f"'{nvcc}' fails: {_one_line(errors[0] if errors else said)}")
    return said


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


# ---------------------------------------------------------------------------------- architectures


def choose_archs(environment: Mapping[str, str], known: tuple[int, ...]) -> tuple[int, ...]:
    """The architectures to compile for, ascending.

    Parameters
    ----------
    environment : ``FASTPTY_CUDA_ARCHS="80 90 120"`` replaces the default.
    known : those that nvcc has.
    """
    text = environment.get("FASTPTY_CUDA_ARCHS", "").strip()
    if not text:
        return tuple(arch for arch in ARCHS if arch in known)
    chosen = set()
    for word in re.split(r"[\s,;]+", text):
        if not word.isdecimal():
            raise SystemExit(
                "FASTPTY_CUDA_ARCHS: must be architecture numbers, such as '80 90 120', "
                f"found '{word}'"
            )
        if int(word) not in known:
            raise SystemExit(
                f"FASTPTY_CUDA_ARCHS: this nvcc has {', '.join(map(str, known))}, found {word}"
            )
        chosen.add(int(word))
    return tuple(sorted(chosen))


def ptx_arch(archs: tuple[int, ...]) -> int:
    """The one whose PTX goes along: every newer GPU can run it, an older one cannot."""
    return PTX_ARCH if PTX_ARCH in archs else max(archs)


def targets(archs: tuple[int, ...]) -> list[str]:
    """What the objects hold, in NVIDIA's names."""
    return [*(f"sm_{arch}" for arch in archs), f"compute_{ptx_arch(archs)}"]


# -------------------------------------------------------------------------------------- compiling


def cuda_sources() -> list[str]:
    """The files for nvcc, relative to the root."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/**/*.cu"))


def compile_objects(
    toolkit: Toolkit, archs: tuple[int, ...], environment: Mapping[str, str]
) -> list[str]:
    """Compile every .cu for all architectures; return the objects, relative to the root."""
    code = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    ptx = ptx_arch(archs)
    code.append(f"-gencode=arch=compute_{ptx},code=compute_{ptx}")
    cores = os.cpu_count() or 1
    threads = min(len(archs), cores)
    options = [*code, f"--threads={threads}", "-c"]
    sources = cuda_sources()
    objects = [Path("build", "cuda", source).with_suffix(".o").as_posix() for source in sources]

    def compile_one(source: str, target: str) -> str:
        return compile_where_changed(toolkit, options, source, target, environment)

    # nvcc's own threads are for the architectures; the other cores take other files.
    with ThreadPoolExecutor(max(1, cores // threads)) as pool:
        for said in pool.map(compile_one, sources, objects):
            if said.strip():
                print(said, flush=True)
    return objects


def compile_where_changed(
    toolkit: Toolkit,
    options: list[str],
    source: str,
    target: str,
    environment: Mapping[str, str],
) -> str:
    """Compile one file, unless nothing that it was made from has changed; return nvcc's output.

    Parameters
    ----------
    toolkit : whose nvcc.
    options : what to make of the source, beside the flags that all share.
    source, target : relative to the root.
    environment : names the host compiler, and is nvcc's environment.
    """
    out = ROOT / target
    record = Path(f"{out}.txt")  # the command, then what nvcc printed
    depends = Path(f"{out}.d")
    line = [toolkit.nvcc, *FLAGS, *host_compiler(environment), *options, source]
    # nvcc takes options from these, too.
    added = [environment.get(f"NVCC_{place}_FLAGS", "") for place in ("PREPEND", "APPEND")]
    command = f"{shlex.join([toolkit.release, *added, *line])}\n"
    if _is_current(out, record, depends, command):
        return record.read_text(encoding="utf-8").removeprefix(command)

    print(f"nvcc {source}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{os.getpid()}.{out.name}")
    start = time.time()
    try:
        done = subprocess.run(
            [*line, "-MMD", "-MF", str(depends), "-o", str(partial)],
            cwd=ROOT,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode != 0:
            raise SystemExit(
                f"{said}\nnvcc could not compile {source}, see above. The command was:\n"
                f"  {shlex.join(line)}\nFASTPTY_CUDA=0 builds fastpty for the CPU alone."
            )
        os.utime(partial, (start, start))  # older than what was edited meanwhile
        record.unlink(missing_ok=True)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    record.write_text(command + said, encoding="utf-8")
    return said


def _is_current(out: Path, record: Path, depends: Path, command: str) -> bool:
    if not (out.is_file() and record.is_file() and depends.is_file()):
        return False
    if not record.read_text(encoding="utf-8").startswith(command):
        return False
    _, _, names = depends.read_text(encoding="utf-8").replace("\\\n", " ").partition(": ")
    made = out.stat().st_mtime
    return all(
        (ROOT / name).is_file() and (ROOT / name).stat().st_mtime <= made
        for name in shlex.split(names)
    )
