"""Patterns: every recorded type, corner order, scale, mask, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.errors import DataError
from fastpty.io import RawScan
from fastpty.measurements import Patterns
from fastpty.measurements import patterns as patterns_module
from fastpty.measurements.patterns import _fits
from tests.tolerances import tolerance

TYPES = ["u1", "<u2", ">u2", "<i2", ">i4", "<u4", "<f2", ">f2", "<f4", ">f4", "<f8"]


def scan_of(data: np.ndarray[Any, Any]) -> RawScan:
    return RawScan("scan.h5:/data", data.shape, data.dtype, lambda a, b: data[a:b])


def counts(kind: str, shape: tuple[int, int, int] = (5, 4, 6), seed: int = 0) -> np.ndarray:
    """Counts up to the largest of the type (or of uint16), the largest included."""
    dtype = np.dtype(kind)
    largest = min(np.iinfo(dtype).max, 65535) if dtype.kind in "ui" else 65535
    if dtype.itemsize == 2 and dtype.kind == "f":
        largest = 2048  # up to there it holds every whole number
    data = np.random.default_rng(seed).integers(0, largest + 1, shape)
    data.flat[0] = largest
    return data.astype(dtype)


def everything(patterns: Patterns) -> torch.Tensor:
    return torch.arange(len(patterns))


@pytest.mark.parametrize("kind", TYPES)
def test_counts_come_back(kind: str) -> None:
    """Nothing is lost: also uint16 above 32767, and either byte order."""
    data = counts(kind)
    patterns = Patterns.load(scan_of(data), zero_frequency="corner")
    found = patterns.counts(everything(patterns))
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), data.astype(np.float64))


@pytest.mark.parametrize("kind", TYPES)
def test_no_pixel_takes_more_memory_than_recorded(kind: str) -> None:
    data = counts(kind)
    patterns = Patterns.load(scan_of(data))
    bytes_per_pixel = {"u1": 1, "u2": 2, "u4": 2, "f2": 2}.get(np.dtype(kind).str[1:], 4)
    assert patterns.nbytes == bytes_per_pixel * data.size


@pytest.mark.parametrize("kind", ["<u4", ">u8"])
def test_wide_counts_take_what_they_need(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 bits for as long as they fit; a pattern that does not makes room for itself."""
    data = counts(kind, (7, 4, 6))
    assert Patterns.load(scan_of(data)).dtype == np.uint16
    data[5, 1, 2] = 65536
    whole = RawScan.pieces
    monkeypatch.setattr(RawScan, "pieces", lambda self: whole(self, megabytes=400 / 2**20))
    patterns = Patterns.load(scan_of(data), zero_frequency="corner")
    assert patterns.dtype == np.float32
    np.testing.assert_array_equal(patterns.counts(everything(patterns)).numpy(), data)


@settings(derandomize=True, max_examples=30)
@given(ny=st.integers(2, 9), nx=st.integers(2, 9), order=st.sampled_from(["centre", "corner"]))
def test_the_zero_frequency_moves_to_the_corner(ny: int, nx: int, order: str) -> None:
    """Index by index: f at N//2 + f in the file (or at f mod N) lies at f mod N."""
    data = np.arange(1, ny * nx + 1, dtype=np.uint16).reshape(1, ny, nx)
    patterns = Patterns.load(scan_of(data), zero_frequency=order)
    found = patterns.counts(torch.tensor([0]))[0]
    for fy in range(-(ny // 2), ny - ny // 2):
        for fx in range(-(nx // 2), nx - nx // 2):
            at = (ny // 2 + fy, nx // 2 + fx) if order == "centre" else (fy % ny, fx % nx)
            assert found[fy % ny, fx % nx] == data[0][at]


def test_the_mask_moves_with_the_patterns() -> None:
    data = np.ones((2, 3, 4), np.uint8)
    mask = np.ones((3, 4), bool)
    mask[1, 2] = False  # the zero frequency of a 3 x 4 pattern
    patterns = Patterns.load(scan_of(data), mask=mask)
    expected = torch.ones(3, 4, dtype=torch.bool)
    expected[0, 0] = False
    assert torch.equal(patterns.mask, expected)
    assert torch.equal(patterns.counts(everything(patterns)) > 0, expected.expand(2, 3, 4))


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_the_brightest_pixel_of_the_mean_is_one(kind: str) -> None:
    data = counts(kind)
    patterns = Patterns.load(scan_of(data), zero_frequency="corner")
    np.testing.assert_allclose(patterns.mean, data.astype(np.float64).mean(0), rtol=1e-12)
    assert patterns.scale == 1 / patterns.mean.max()
    expected = torch.from_numpy(data.astype(np.float64) * patterns.scale).float()
    batch = patterns.batch(everything(patterns))
    torch.testing.assert_close(batch, expected, **tolerance("product", torch.float32))


def test_a_hot_pixel_under_the_mask_does_not_set_the_scale() -> None:
    data = np.full((2, 4, 4), 7, np.uint16)
    data[:, 0, 0] = 60000
    mask = np.ones((4, 4), bool)
    mask[0, 0] = False
    assert Patterns.load(scan_of(data), mask=mask).scale == 1 / 7
    assert Patterns(data, mask).scale == 1 / 7


def test_a_batch_is_a_copy() -> None:
    patterns = Patterns.load(scan_of(counts("f4")))
    index = torch.tensor([3, 1, 3])
    before = patterns.counts(index)
    patterns.batch(index).zero_()
    patterns.counts(index).zero_()
    assert torch.equal(patterns.counts(index), before)
    assert torch.equal(before[0], before[2])


@settings(derandomize=True, max_examples=15)
@given(index=st.lists(st.integers(0, 4), max_size=7))
def test_any_order_of_patterns(index: list[int]) -> None:
    data = counts("u2")
    patterns = Patterns.load(scan_of(data), zero_frequency="corner")
    found = patterns.counts(torch.tensor(index, dtype=torch.int64))
    np.testing.assert_array_equal(found.numpy(), data[index].astype(np.float32))


def test_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    data = counts("u2", (7, 4, 6))
    whole = RawScan.pieces
    monkeypatch.setattr(RawScan, "pieces", lambda self: whole(self, megabytes=100 / 2**20))
    patterns = Patterns.load(scan_of(data), zero_frequency="corner")
    np.testing.assert_array_equal(patterns.counts(everything(patterns)).numpy(), data)


@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_patterns_without_counts(kind: str) -> None:
    message = "^data: the patterns are zero in every good pixel"
    with pytest.raises(DataError, match=message):
        Patterns.load(scan_of(np.zeros((2, 4, 4), kind)))
    data = np.zeros((2, 4, 4), kind)
    data[:, 1, 1] = 5
    with pytest.raises(DataError, match=message):
        Patterns.load(scan_of(data), mask=data[0] == 0)


BAD = [
    ("f2", np.nan, "NaN or infinite"),
    ("f2", -0.5, "negative"),
    ("f4", np.nan, "NaN or infinite"),
    ("f8", np.inf, "NaN or infinite"),
    ("f8", 1e39, "NaN or infinite"),  # larger than a float32
    ("f4", -0.5, "negative"),
    ("i2", -1, "negative"),
    (">i4", -7, "negative"),
]


@pytest.mark.parametrize(("kind", "value", "what"), BAD)
def test_impossible_counts_are_located(
    kind: str, value: float, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their place in the file, across pieces."""
    data = np.ones((6, 4, 5), kind)
    data[4, 1, 3] = value
    whole = RawScan.pieces
    monkeypatch.setattr(RawScan, "pieces", lambda self: whole(self, megabytes=170 / 2**20))
    message = rf"^data: scan\.h5:/data has {what} .*in pattern 4, pixel \[1, 3\]\. .*mask"
    with pytest.raises(DataError, match=message):
        Patterns.load(scan_of(data))


@pytest.mark.parametrize(("kind", "value", "what"), BAD)
def test_under_the_mask_anything_goes(kind: str, value: float, what: str) -> None:
    data = np.ones((2, 4, 5), kind)
    data[1, 1, 3] = value
    mask = np.ones((4, 5), bool)
    mask[1, 3] = False
    patterns = Patterns.load(scan_of(data), zero_frequency="corner", mask=mask)
    np.testing.assert_array_equal(patterns.counts(torch.tensor([1]))[0].numpy(), mask)


def test_the_device_is_moved_to_in_place() -> None:
    patterns = Patterns.load(scan_of(counts("u2")), mask=np.ones((4, 6), bool))
    assert patterns.to(torch.device("meta")) is patterns
    assert patterns.mask.device.type == "meta"
    assert patterns.counts(torch.tensor([0], device="meta")).device.type == "meta"


def test_patterns_move_where_half_of_the_free_memory_holds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu, free = torch.device("cuda", 0), 4000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
    assert _fits(free // 2, gpu)
    assert not _fits(free // 2 + 1, gpu)
    assert _fits(10 * free, torch.device("cpu"))


def test_patterns_that_stay_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns_module, "_fits", lambda nbytes, device: False)
    patterns = Patterns.load(scan_of(counts("u2")))
    assert patterns.on_device
    patterns.to(torch.device("meta"))
    assert not patterns.on_device
    index = torch.tensor([4, 0])
    assert patterns.counts(index).device.type == "meta"
    out = patterns.recorded_buffer(2)
    patterns.gather(index, out)
    assert torch.equal(out, patterns.to(torch.device("cpu")).recorded(index))


@pytest.mark.parametrize("kind", ["f2", "f4"])
def test_negative_values_are_clipped_where_asked(kind: str) -> None:
    data = counts(kind)
    data[1, 2, 3] = -0.5
    patterns = Patterns.load(scan_of(data), zero_frequency="corner", negative="clip")
    everything = patterns.counts(torch.arange(len(data))).numpy()
    np.testing.assert_array_equal(everything, np.maximum(data, 0))


def test_clipping_does_not_hide_nan() -> None:
    data = counts("f4")
    data[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="NaN"):
        Patterns.load(scan_of(data), negative="clip")
