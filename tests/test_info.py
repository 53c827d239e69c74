"""What the installation says about itself."""

from __future__ import annotations

import json
import sys

import pytest
import torch

import fastpty
from fastpty.info import installation, why_no_cuda


def test_versions_and_threads() -> None:
    content = installation()
    assert content["fastpty"] == fastpty.__version__
    assert content["packages"]["torch"] == torch.__version__
    assert content["threads"] == torch.get_num_threads()
    assert len(content["cuda"]["devices"]) == torch.cuda.device_count()
    assert json.loads(json.dumps(content)) == content


def test_the_native_core_speaks_for_itself() -> None:
    core = pytest.importorskip("fastpty._core", reason="the native core is not built")
    assert installation()["native core"]["cpu features"] == core.cpu_features()


def test_without_the_native_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fastpty, "_core", raising=False)
    monkeypatch.setitem(sys.modules, "fastpty._core", None)
    content = installation()
    assert content["native core"] is None
    assert content["cuda"]["fastpty"] == "the native core is not built"


class Core:
    """A native core with CUDA kernels, on a machine with the GPUs that are given."""

    def __init__(self, *devices: dict[str, object]) -> None:
        self.devices = devices

    def build_info(self) -> dict[str, object]:
        return {"cuda": {"nvcc": "13.0"}, "cuda_note": "built with CUDA kernels by nvcc 13.0"}

    def cpu_features(self) -> dict[str, bool]:
        return {}

    def cuda_devices(self) -> list[dict[str, object]]:
        return list(self.devices)

    def cuda_kernel(self, *, window: tuple[int, int], capability: int, shared_bytes: int) -> str:
        return "none" if window[0] > 256 else f"{capability} {shared_bytes}"


def kernels_of(monkeypatch: pytest.MonkeyPatch, core: Core) -> dict[str, list[str]]:
    monkeypatch.setattr(fastpty, "_core", core, raising=False)
    monkeypatch.setitem(sys.modules, "fastpty._core", core)
    content = installation()["cuda"]
    assert content["fastpty"] == "built with CUDA kernels by nvcc 13.0"
    return content["kernels of multislice_intensity"]


def test_the_kernels_for_the_gpus_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core({"name": "NVIDIA H100", "capability": 90, "shared_bytes": 232448})
    (found,) = kernels_of(monkeypatch, core).items()
    assert found[0] == "NVIDIA H100 (sm_90)"
    assert found[1][0] == "64 x 64 90 232448"
    assert found[1][-1] == "512 x 512 torch"


def test_without_a_gpu_the_kernels_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kernels_of(monkeypatch, Core())
    assert found["A100 (sm_80)"][1] == "128 x 128 80 166912"
    assert "RTX 50 (sm_120)" in found


def test_torch_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert why_no_cuda() == f"torch {torch.__version__} is built without CUDA"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    expected = "torch finds no CUDA device: Found no NVIDIA driver on your system"
    assert why_no_cuda() == expected


def test_cuda_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_no_cuda() is None


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import fastpty.info as module

    def missing(name: str) -> str:
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", missing)
    assert set(installation()["packages"].values()) == {None}
