"""setup.py: what it compiles how, and what it says where a build cannot succeed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

import fastpty

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").is_file(), reason="needs a source checkout, not an installation"
)


@pytest.fixture(scope="module")
def setup_py() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fastpty_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_version_is_read_without_the_package(setup_py: ModuleType) -> None:
    assert setup_py.package_version() == fastpty.__version__


def test_kernels_are_apart_from_what_is_compiled_once(setup_py: ModuleType) -> None:
    once, kernels, cuda = setup_py.sources()
    assert "csrc/bindings.cpp" in once
    assert "csrc/slice_transmit/slice_transmit_cpu.cpp" in kernels
    assert "csrc/bindings_cuda.cpp" in cuda
    assert len({*once, *kernels, *cuda}) == len(once) + len(kernels) + len(cuda)


def test_nothing_is_missing_here(setup_py: ModuleType) -> None:
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").is_file():
        pytest.skip("this Python has no header files")
    assert setup_py.what_is_missing(sys.executable, include) is None  # any program that exists


def test_a_missing_compiler_is_named(setup_py: ModuleType) -> None:
    message = setup_py.what_is_missing("/nonexistent/g++", "")
    assert "C++17 compiler" in message
    assert "'/nonexistent/g++' was not found" in message
    assert "apt install g++" in message
    assert "xcode-select --install" in message


def test_missing_headers_are_named(setup_py: ModuleType, tmp_path: Path) -> None:
    message = setup_py.what_is_missing(sys.executable, str(tmp_path))
    assert f"no Python.h in '{tmp_path}'" in message
    assert f"python{sys.version_info.major}.{sys.version_info.minor}-dev" in message


@pytest.mark.slow
def test_pip_shows_the_message(setup_py: ModuleType, tmp_path: Path) -> None:
    """The whole way through pip's build isolation, on a copy: a build leaves files behind."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "csrc", source / "csrc")
    (source / "fastpty").mkdir()
    for name in (
        *("pyproject.toml", "setup.py", "setup_cuda.py", "LICENSE", "README.md"),
        "fastpty/__init__.py",
    ):
        shutil.copy(ROOT / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(tmp_path), str(source)],
        env={**os.environ, "CXX": "/nonexistent/g++"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert setup_py.NEEDS_COMPILER.format(compiler="/nonexistent/g++") in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
