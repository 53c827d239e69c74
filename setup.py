"""Builds the native core, ``fastpty._core``; everything else is in pyproject.toml.

The core is plain C++17 and knows no torch, so it builds in seconds under pip's
build isolation and works with every torch version.

Which file is compiled how:

- ``csrc/**/*_cpu.cpp``, the numerical kernels: once for the processor's baseline
  and, on x86-64, once more for each entry of ``X86_VARIANTS``. Each copy lives in
  a namespace of its own, and ``csrc/common/simd.h`` picks one at run time.
- ``csrc/**/*.cu``, by nvcc, where CUDA kernels are built (setup_cuda.py), and with them
  ``csrc/bindings_cuda*.cpp``: once.
- every other ``csrc/**/*.cpp``: once.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # pip's build isolation leaves this folder out

import setup_cuda  # noqa: E402

NEEDS_COMPILER = (
    "fastpty builds a small native module and needs a C++17 compiler (GCC 9 or Clang 10, "
    "or newer), but '{compiler}' was not found. Install one and try again: "
    "Debian or Ubuntu: `apt install g++`; Fedora: `dnf install gcc-c++`; "
    "macOS: `xcode-select --install`; conda: `conda install cxx-compiler`; "
    "If a compiler is installed under another name, put that name into the variable CXX."
)
NEEDS_UNIX = (
    "fastpty builds on Linux and macOS, with GCC or Clang, and this Python compiles with another "
    "compiler. On Windows use fastpty in the Windows Subsystem for Linux (WSL)."
)
NEEDS_HEADERS = (
    "fastpty builds a small native module and needs the header files of Python {version}, "
    "but there is no Python.h in '{include}'. Install them and try again: "
    "Debian or Ubuntu: `apt install python{version}-dev`; "
    "Fedora: `dnf install python{version}-devel`. Pythons from python.org, conda, pyenv and uv "
    "carry them."
)

# -ffp-contract=fast lets the compiler use fused multiply-adds where the variant has them;
# -fno-math-errno and -fno-trapping-math remove side effects that would forbid vector code.
# Nothing here reorders sums or assumes that NaN cannot occur.
FLAGS = [
    *("-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-pthread"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"),
]
X86_VARIANTS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"),
        *("-mfma", "-mprefer-vector-width=512"),
    ],
}


def what_is_missing(compiler: str, include: str) -> str | None:
    """Say in one paragraph what a build lacks, or return None when it has all it needs.

    Parameters
    ----------
    compiler : the C++ compiler to be run.
    include : the folder that should hold Python.h.
    """
    if shutil.which(compiler) is None:
        return NEEDS_COMPILER.format(compiler=compiler)
    if not Path(include, "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return NEEDS_HEADERS.format(version=version, include=include)
    return None


def package_version() -> str:
    """The literal ``__version__`` of fastpty/__init__.py, without importing the package."""
    for node in ast.parse((ROOT / "fastpty" / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise SystemExit("fastpty/__init__.py: found no line `__version__ = ...`")


def sources() -> tuple[list[str], list[str], list[str]]:
    """The files compiled once, once per variant, and once with CUDA, relative to the root."""
    every = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/**/*.cpp"))
    kernels = [path for path in every if path.endswith("_cpu.cpp")]
    cuda = [path for path in every if path.startswith("csrc/bindings_cuda")]
    return [path for path in every if path not in {*kernels, *cuda}], kernels, cuda


class BuildCore(build_ext):
    """``build_ext`` that compiles the kernels once per instruction set, and those for CUDA."""

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "unix":
            raise SystemExit(NEEDS_UNIX)
        if message := what_is_missing(
            self.compiler.compiler_cxx[0], sysconfig.get_paths()["include"]
        ):
            raise SystemExit(message)

        # The last part of linux-x86_64, macosx-11.0-universal2, ...: the target, which a
        # universal2 Python shows to be two. Those get the baseline only.
        on_x86 = self.plat_name.rsplit("-", 1)[-1] == "x86_64"
        variants = X86_VARIANTS if on_x86 else {}

        ext.extra_compile_args = FLAGS
        ext.extra_link_args = ["-pthread"]
        ext.define_macros += [("FASTPTY_X86_VARIANTS", "1")] if on_x86 else []

        toolkit, note = setup_cuda.choose_toolkit(os.environ)
        _, kernels, _ = sources()
        for name, extra in {"portable": [], **variants}.items():
            ext.extra_objects += self.compiler.compile(
                kernels,
                output_dir=str(Path(self.build_temp, name)),
                macros=[*ext.define_macros, ("FASTPTY_SIMD", name)],
                include_dirs=ext.include_dirs,
                extra_postargs=[*FLAGS, *extra],
                depends=ext.depends,
            )

        if toolkit is not None:
            note += f" for {self.add_cuda(ext, toolkit)}"
        build_flags = " ".join(FLAGS)
        ext.define_macros += [
            ("FASTPTY_VERSION", f'"{package_version()}"'),
            ("FASTPTY_BUILD_FLAGS", f'"{build_flags}"'),
            ("FASTPTY_CUDA_NOTE", json.dumps(note)),
        ]
        ext.depends += ext.extra_objects
        super().build_extension(ext)
        print(f"fastpty: {note}", flush=True)

    @staticmethod
    def add_cuda(ext: Extension, toolkit: setup_cuda.Toolkit) -> str:
        """Compile the CUDA kernels into the extension; return for what, in NVIDIA's names."""
        archs = setup_cuda.choose_archs(os.environ, toolkit.archs)
        targets = " ".join(setup_cuda.targets(archs))
        ext.sources += sources()[2]
        ext.extra_objects += setup_cuda.compile_objects(toolkit, archs, os.environ)
        # The CUDA runtime comes with the module and stays its own, beside that of torch.
        ext.extra_link_args += [toolkit.runtime, f"-Wl,--exclude-libs,{setup_cuda.RUNTIME}"]
        ext.extra_link_args += ["-ldl", "-lrt"]
        ext.define_macros += [
            ("FASTPTY_WITH_CUDA", "1"),
            ("FASTPTY_NVCC", f'"{toolkit.release}"'),
            ("FASTPTY_CUDA_TARGETS", f'"{targets}"'),
        ]
        return targets


def core() -> Extension:
    import pybind11  # a build requirement: absent where only the helpers above are tested

    once, kernels, cuda = sources()
    headers = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/**/*.h")]
    return Extension(
        "fastpty._core",
        sources=once,
        include_dirs=[pybind11.get_include(), "csrc"],
        depends=[*kernels, *cuda, *headers, "setup.py", "setup_cuda.py"],
        language="c++",
    )


if __name__ == "__main__":
    setup(ext_modules=[core()], cmdclass={"build_ext": BuildCore})
