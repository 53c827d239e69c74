"""Which family of CUDA kernels serves which window on which GPU; needs no GPU."""

from __future__ import annotations

import pytest

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
