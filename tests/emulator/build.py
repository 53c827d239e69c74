"""Compiles CUDA sources as C++ for the emulator: into programs, and into the module ``_emulated``.

The flavours: FAST, for the tests; QUICK, not optimised; SANITIZED, by AddressSanitizer and
UndefinedBehaviorSanitizer; RACES, which reports every access to the emulator (races.h).

Everything that was built is kept under ``build/emulator``, by a hash of what it was made from: the
source, the headers it includes, the flags, the compiler. So a second run finds it, and
workers of pytest-xdist wait for one another's build instead of each doing its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = [
    "CSRC",
    "FAST",
    "FLAVOURS",
    "MISSING",
    "QUICK",
    "RACES",
    "ROOT",
    "SANITIZED",
    "Flavour",
    "load",
    "module",
    "program",
]

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
EMULATOR = ROOT / "tests" / "emulator"
CACHE = ROOT / "build" / "emulator"
KEPT_BYTES = 1 << 30
KEPT_SECONDS = 1800  # whatever the size, since a test may be at work with it

COMMON = ["-std=c++17", "-DFASTPTY_EMULATOR", "-pthread", "-fPIC"]
WARNINGS = ["-Wall", "-Wextra", "-Wno-unknown-pragmas"]
# A kernel may multiply and add as one operation where nvcc may, by its default -fmad=true. GCC 12
# forgets the rounding of a double to float and back where it makes straight code into vectors.
ARITHMETIC = [
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    "-fno-tree-slp-vectorize",
]


@dataclass(frozen=True)
class Flavour:
    """Flags of one kind of build, and what a process that loads it needs in its environment."""

    compile: tuple[str, ...]
    kernels: tuple[str, ...] = ()  # for .cu alone
    link: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """Variables for a Python that loads a module of this flavour."""
        if not self.preload:
            return {}
        libraries = [_output("g++", f"-print-file-name={name}").strip() for name in self.preload]
        # Python itself leaks at exit, by its own choice.
        return {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}


FAST = Flavour(("-O2", "-g0", *ARITHMETIC))
SANITIZED = Flavour(
    ("-O1", "-g1", *ARITHMETIC, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    link=("-fsanitize=address,undefined",),
    preload=("libasan.so", "libstdc++.so"),
)
# Not at the link: the library that takes the reports is races.h.
RACES = Flavour(
    ("-O1", "-g1", *ARITHMETIC, "-DFASTPTY_EMULATOR_RACES"), kernels=("-fsanitize=thread",)
)
# Compiled in a fraction of the time, for what runs once.
QUICK = Flavour(("-O0", "-g0", *ARITHMETIC))
FLAVOURS = {"fast": FAST, "sanitized": SANITIZED, "races": RACES}

JOBS = 2


def _what_is_missing() -> str | None:
    if shutil.which("g++") is None:
        return "needs g++"
    if not CSRC.is_dir():
        return "needs the sources"
    if importlib.util.find_spec("pybind11") is None:
        return "needs pybind11"
    return None


MISSING = _what_is_missing()
"""Why nothing can be built here, or None."""


@functools.cache
def processor_flags() -> list[str]:
    """Fused multiply-adds in hardware, where there are any: in software each is a function call.

    Not ``-march=native``, whose code would depend on more of the machine than that.
    """
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return []
    has_them = platform.machine() == "x86_64" and {"fma", "avx2"} <= set(processor)
    return ["-mavx2", "-mfma"] if has_them else []


@functools.cache
def compiler_version() -> str:
    return _output("g++", "--version")


def program(
    source: Path,
    *,
    csrc: Path = CSRC,
    more: Sequence[Path] = (),
    flavour: Flavour = FAST,
    flags: Sequence[str] = (),
) -> Path:
    """Build one program and return its path.

    Parameters
    ----------
    source : the .cu file with ``main``.
    csrc : the kernels' sources, or a changed copy of them.
    more : further sources.
    flavour : one of those above.
    flags : beside its own.
    """
    sources = [(path, csrc) for path in (source, *more)]
    return _linked(source.stem, sources, flavour, flags, [])


def module(
    *, csrc: Path = CSRC, flavour: Flavour = FAST, changed: Mapping[str, Path] | None = None
) -> Path:
    """Build the Python module ``_emulated`` and return its path.

    Parameters
    ----------
    csrc : the kernels' sources, or a changed copy of them.
    flavour : one of those above.
    changed : operations whose .cu comes from another csrc, with that one's headers.
    """
    import pybind11

    # devices.cu asks the driver, and there is none to emulate.
    kernels = sorted(path for path in csrc.glob("*/*.cu") if path.name != "devices.cu")
    others = [
        csrc / "common" / "fft_plan.cpp",
        csrc / "multislice_intensity" / "dispatch.cpp",
        *sorted(csrc.glob("bindings_cuda*.cpp")),
        EMULATOR / "module.cpp",
    ]
    homes = [(changed or {}).get(path.parent.name, csrc) for path in kernels]
    sources = [
        *((home / path.relative_to(csrc), home) for path, home in zip(kernels, homes, strict=True)),
        *((path, csrc) for path in others),
    ]
    flags = ["-fvisibility=hidden", "-ftls-model=initial-exec"]
    flags += [f"-I{path}" for path in (pybind11.get_include(), sysconfig.get_paths()["include"])]
    return _linked("_emulated.so", sources, flavour, flags, ["-shared"])


def load(path: Path) -> ModuleType:
    """Import the module that ``module()`` has built.

    Each build has a package's name of its own: pybind11 would give back the first module of a name.
    """
    spec = importlib.util.spec_from_file_location(f"{path.stem}._emulated", path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _linked(
    name: str,
    sources: Sequence[tuple[Path, Path]],
    flavour: Flavour,
    flags: Sequence[str],
    link: Sequence[str],
) -> Path:
    compile_flags = [*COMMON, *WARNINGS, *processor_flags(), *flavour.compile, *flags]

    def compile_one(source_and_csrc: tuple[Path, Path]) -> Path:
        source, csrc = source_and_csrc
        flags = [*compile_flags, *(flavour.kernels if source.suffix == ".cu" else ())]
        command = ["g++", *flags, f"-I{csrc}", f"-I{EMULATOR}", "-x", "c++", str(source)]
        key = _hash(compiler_version(), *flags, _digest(_includes(command)))
        return _once(f"{source.stem}-{key}.o", lambda out: _run([*command, "-c", "-o", str(out)]))

    with ThreadPoolExecutor(JOBS) as pool:
        objects = list(pool.map(compile_one, sources))
    link_flags = [*flavour.link, *link, "-pthread", "-ldl"]
    key = _hash(*(path.name for path in objects), *link_flags)
    stem, dot, suffix = name.partition(".")
    command = ["g++", *map(str, objects), *link_flags]
    return _once(f"{stem}-{key}{dot}{suffix}", lambda out: _run([*command, "-o", str(out)]))


def _includes(command: list[str]) -> list[Path]:
    """What a compilation reads: the source, and every header but those of the system."""
    rule = _output(*command, "-MM", "-MT", "it")
    words = rule.replace("\\\n", " ").split()
    return [Path(word) for word in words[1:]]


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """The file of this name in the cache, made if it is not there, by one process."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / name
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            partial = CACHE / f"{name}.{os.getpid()}"
            make(partial)
            partial.replace(path)
            _forget()
        os.utime(path)
    return path


def _forget() -> None:
    """Remove what nobody has asked for of late, the oldest first, until the rest is small."""
    found = []
    for path in CACHE.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process forgets, too
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for used, size, path in sorted(found):
        if total <= KEPT_BYTES or used > time.time() - KEPT_SECONDS:
            return
        total -= size
        path.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.stdout.write(f"{module(flavour=FLAVOURS[sys.argv[1] if sys.argv[1:] else 'fast'])}\n")
