"""The native module apart from its kernels: what it tells, its threads, what it refuses."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastpty

_core = pytest.importorskip("fastpty._core", reason="the native core is not built")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def arguments(window: tuple[int, int] = (40, 40)) -> dict[str, object]:
    """Arguments of slice_transmit_forward, with the arrays that keep their memory alive."""
    generator = np.random.default_rng(0)
    wave = generator.standard_normal((20, 1, *window, 2)).astype(np.float32)
    obj = generator.standard_normal((1, 64, 64, 2)).astype(np.float32)
    corner = generator.integers(0, 24, (20, 2))
    out = np.zeros_like(wave)
    return {
        "arrays": (wave, obj, corner, out),
        "dtype": "complex64",
        "positions": 20,
        "wave_modes": 1,
        "object_modes": 1,
        "window": window,
        "extent": (64, 64),
        "object_strides": (64 * 64, 64),
        "wave_has_object_axis": False,
        "wave": wave.ctypes.data,
        "object": obj.ctypes.data,
        "corner": corner.ctypes.data,
        "out": out.ctypes.data,
    }


def transmit(**changed: object) -> np.ndarray:
    given = arguments() | changed
    arrays = given.pop("arrays")
    _core.slice_transmit_forward(**given)
    return arrays[-1]


@pytest.fixture(autouse=True)
def threads_as_before() -> object:
    before = _core.get_num_threads()
    yield
    _core.set_num_threads(before)


def test_build_info() -> None:
    info = _core.build_info()
    assert info["version"] == fastpty.__version__
    assert info["cxx_standard"] >= 201703
    assert info["simd_variants"][0] == "portable"
    assert info["compiler"]
    assert "-ffast-math" not in info["flags"]


def test_cuda_build() -> None:
    info = _core.build_info()
    if info["cuda"] is None:
        assert info["cuda_note"].startswith("built without CUDA kernels: ")
        assert not hasattr(_core, "CudaMultislice")
    else:
        assert info["cuda_note"].startswith("built with CUDA kernels by nvcc ")
        assert any(arch.startswith("sm_") for arch in info["cuda"]["archs"])
        assert any(arch.startswith("compute_") for arch in info["cuda"]["archs"])
        assert hasattr(_core, "CudaMultislice")


def test_cuda_devices_are_none_without_a_driver() -> None:
    """In a process of its own: a driver, once loaded, does not survive a fork."""
    done = run_python(
        "from fastpty import _core; print(_core.cuda_devices())", CUDA_VISIBLE_DEVICES=""
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_available_variants_were_compiled() -> None:
    assert set(_core.available_simd()) <= set(_core.build_info()["simd_variants"])
    assert _core.simd() in _core.available_simd()


@pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64",
    reason="compares with what Linux says of an x86 processor",
)
def test_cpu_features_are_those_of_the_system() -> None:
    flags = Path("/proc/cpuinfo").read_text().split("flags")[1].split("\n")[0].split()
    for name, present in _core.cpu_features().items():
        assert present == (name in flags), name


def test_set_simd() -> None:
    before = _core.simd()
    _core.set_simd("portable")
    assert _core.simd() == "portable"
    _core.set_simd(None)
    assert _core.simd() == before
    with pytest.raises(ValueError, match="simd: must be portable, avx2 or avx512, found 'mmx'"):
        _core.set_simd("mmx")


@pytest.mark.parametrize("variant", _core.available_simd())
def test_environment_chooses_the_variant(variant: str) -> None:
    done = run_python("from fastpty import _core; print(_core.simd())", FASTPTY_SIMD=variant)
    assert done.stdout.strip() == variant


def test_environment_is_refused_where_it_makes_no_sense() -> None:
    """At the first use, not at the import, where it would pass for a missing module."""
    done = run_python("from fastpty import _core; print('in'); _core.simd()", FASTPTY_SIMD="mmx")
    assert done.stdout.strip() == "in"
    assert "ValueError: FASTPTY_SIMD: must be portable, avx2 or avx512" in done.stderr


def test_threads() -> None:
    _core.set_num_threads(3)
    assert _core.get_num_threads() == 3
    with pytest.raises(ValueError, match="threads: must be at least 1, found 0"):
        _core.set_num_threads(0)


def test_calls_from_several_python_threads() -> None:
    """One call has the pool, the others run beside it; every result is the same."""
    expected = transmit()
    _core.set_num_threads(4)
    with ThreadPoolExecutor(8) as executor:
        for result in executor.map(lambda _: transmit(), range(200)):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_fork() -> None:
    """A child has none of its parent's threads, and must neither wait for them nor miss them."""
    code = """
import os
import numpy as np
from fastpty import _core
from tests.test_core import transmit

_core.set_num_threads(4)
expected = transmit()
child = os.fork()
same = all(np.array_equal(transmit(), expected) for _ in range(50))
if child == 0:
    os._exit(0 if same else 1)
assert same
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("both done")
"""
    done = run_python(code, PYTHONPATH=os.pathsep.join(sys.path))
    assert done.stdout.strip() == "both done", done.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dtype": "float32"}, "dtype: must be complex64 or complex128, found 'float32'"),
        ({"positions": -1}, "positions: must be at least 0, found -1"),
        ({"object_modes": 0}, "object_modes: must be at least 1, found 0"),
        ({"window": (-1, 4)}, r"window: must not be negative, found \(-1, 4\)"),
        ({"object_strides": (0, -64)}, r"object_strides: must not be negative, found \(0, -64\)"),
        ({"wave": 0}, "wave: must point to an array, found a null pointer"),
        ({"out": 0}, "out: must point to an array, found a null pointer"),
        ({"object": 4097}, "object: must be aligned to 8 bytes, found the address 4097"),
        ({"extent": (64, 8)}, r"corner\[0\]: the window of \(40, 40\) pixels must lie inside"),
    ],
)
def test_refusals(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transmit(**changed)
