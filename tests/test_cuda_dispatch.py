"""Which family of CUDA kernels serves which window on which GPU; needs no GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import torch

from fastpty.ops import native

_core = pytest.importorskip("fastpty._core", reason="the native core is not built")

# Capability, and the shared memory that one block can have.
A100 = (80, 166_912)
RTX_4090 = (89, 101_376)
H100 = (90, 232_448)
B200 = (100, 232_448)
RTX_5090 = (120, 101_376)
EVERY = [A100, RTX_4090, H100, B200, RTX_5090]
LARGE = [A100, H100, B200]
SMALL = [RTX_4090, RTX_5090]


def kernel(window: tuple[int, int], gpu: tuple[int, int]) -> str:
    return _core.cuda_kernel(window=window, capability=gpu[0], shared_bytes=gpu[1])


@pytest.mark.parametrize("gpu", EVERY)
@pytest.mark.parametrize("window", [(64, 64), (64, 128), (128, 64)])
def test_on_chip_where_the_wave_fits_everywhere(
    window: tuple[int, int], gpu: tuple[int, int]
) -> None:
    assert kernel(window, gpu) == "on_chip"


@pytest.mark.parametrize("gpu", LARGE)
def test_128_on_chip_where_a_block_has_the_memory(gpu: tuple[int, int]) -> None:
    assert kernel((128, 128), gpu) == "on_chip"


@pytest.mark.parametrize("gpu", SMALL)
def test_128_split_elsewhere(gpu: tuple[int, int]) -> None:
    assert kernel((128, 128), gpu) == "split"


def test_128_takes_all_that_an_a100_has() -> None:
    capability, shared_bytes = A100
    assert kernel((128, 128), (capability, shared_bytes - 1)) == "split"


@pytest.mark.parametrize("gpu", EVERY)
@pytest.mark.parametrize(
    "window", [(32, 32), (96, 96), (192, 192), (128, 256), (512, 512), (64, 96), (45, 500)]
)
def test_split_for_2_3_5(window: tuple[int, int], gpu: tuple[int, int]) -> None:
    assert kernel(window, gpu) == "split"


@pytest.mark.parametrize("gpu", EVERY)
@pytest.mark.parametrize(
    "window", [(30, 64), (64, 30), (64, 97), (98, 64), (128, 540), (1024, 1024), (0, 64), (-64, 64)]
)
def test_none_for_the_rest(window: tuple[int, int], gpu: tuple[int, int]) -> None:
    assert kernel(window, gpu) == "none"


@pytest.mark.parametrize("gpu", [H100, B200])
def test_256_on_a_cluster_of_blocks(gpu: tuple[int, int]) -> None:
    assert kernel((256, 256), gpu) == "cluster"


@pytest.mark.parametrize("gpu", [A100, RTX_4090, RTX_5090])
def test_256_split_without_clusters_or_their_memory(gpu: tuple[int, int]) -> None:
    assert kernel((256, 256), gpu) == "split"


class Core:
    """A core with CUDA kernels, on a machine with a GPU or, as with an old driver, without."""

    CudaMultislice = True
    cuda_kernel = staticmethod(_core.cuda_kernel)

    def __init__(self, *capabilities: int) -> None:
        self.capabilities = capabilities

    def build_info(self) -> dict[str, dict[str, object]]:
        archs = ["sm_80", "sm_86", "sm_90", "compute_90"]
        return {"cuda": {"nvcc": "13.0", "archs": archs}}

    def cuda_devices(self) -> list[dict[str, object]]:
        return [
            {"name": "a GPU", "capability": capability, "shared_bytes": 101_376}
            for capability in self.capabilities
        ]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def forget() -> None:
        native._family.cache_clear()
        native._why_not.cache_clear()

    def replace(*capabilities: int) -> None:
        monkeypatch.setattr(native, "_core", Core(*capabilities))
        forget()

    monkeypatch.setattr(native, "AVAILABLE", True)
    yield replace
    forget()


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize("capability", [80, 86, 87, 89, 90, 100, 120])
def test_kernels_run_where_there_is_code(machine: Callable[..., None], capability: int) -> None:
    machine(capability)
    assert native.runs_on(CUDA)
    assert native.cuda_kernel((64, 64), CUDA) == "on_chip"


@pytest.mark.parametrize(
    ("capabilities", "reason"), [((75,), "sm_75"), ((), "the driver is older than CUDA 13.0")]
)
def test_torch_does_the_work_elsewhere(
    machine: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    capabilities: tuple[int, ...],
    reason: str,
) -> None:
    machine(*capabilities)
    with caplog.at_level(logging.WARNING):
        assert not native.runs_on(CUDA)
        assert native.cuda_kernel((64, 64), CUDA) == "none"
    (record,) = caplog.records
    assert reason in record.getMessage()


def test_compiled_code_asks_once(machine: Callable[..., None]) -> None:
    machine(90)

    def chooses(x: torch.Tensor) -> torch.Tensor:
        served = native.cuda_kernel((x.shape[0], x.shape[1]), CUDA) != "none"
        return x + 1 if served else x

    compiled = torch.compile(chooses, backend="eager", fullgraph=True)
    assert compiled(torch.zeros(64, 64)).sum() == 64 * 64
