"""multislice_intensity on CUDA, its kernels emulated: every family, window and branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch

from tests.emulator.emulated import EmulatedOp
from tests.multislice_cases import ALL, Problem, assert_accurate, problem, relative
from tests.tolerances import bound

H100 = {"capability": 90, "shared_bytes": 227 * 1024, "multiprocessors": 4, "cache_bytes": 4 << 20}
A100 = H100 | {"capability": 80, "shared_bytes": 163 * 1024}
RTX4090 = H100 | {"capability": 89, "shared_bytes": 99 * 1024}

# Everything that the split family serves: 2^a 3^b 5^c from 32 to 512.
LENGTHS = sorted(
    length
    for a in range(10)
    for b in range(6)
    for c in range(4)
    if 32 <= (length := 2**a * 3**b * 5**c) <= 512
)
ON_CHIP = [(64, 64), (128, 128), (64, 128), (128, 64)]


@pytest.fixture
def device(emulated: ModuleType) -> Iterator[Callable[..., None]]:
    """Sets the limits of the emulated device, for one test."""
    yield lambda limits: emulated.set_device(**limits)
    emulated.set_device(**H100)


@pytest.fixture
def op(
    emulated: ModuleType, device: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> EmulatedOp:
    device(H100)
    return EmulatedOp(emulated, monkeypatch)


def small(window: tuple[int, int], **changed: object) -> Problem:
    return problem(window, **({"positions": 2, "modes": 1, "tilts": 1, "slices": 2} | changed))


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_along_both_axes(op: EmulatedOp, length: int) -> None:
    assert_accurate(small((length, 32)), op)
    assert_accurate(small((32, length)), op)


@pytest.mark.parametrize("window", [(48, 32), *ON_CHIP, (256, 256)], ids=str)
@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_every_schedule(
    op: EmulatedOp, monkeypatch: pytest.MonkeyPatch, window: tuple[int, int], order: str
) -> None:
    monkeypatch.setenv("FASTPTY_EMULATOR_ORDER", order)
    assert_accurate(small(window, slices=3, object_modes=2), op)


@pytest.mark.parametrize("tilts", [0, 1, 3])
@pytest.mark.parametrize("gaps", [False, True], ids=["one thickness", "thickness per gap"])
@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
@pytest.mark.parametrize("window", [(32, 48), (64, 64)], ids=str)
def test_every_input(
    op: EmulatedOp, window: tuple[int, int], pair: bool, gaps: bool, tilts: int
) -> None:
    case = problem(window, positions=3, modes=2, object_modes=2, pair=pair, gaps=gaps, tilts=tilts)
    assert_accurate(case, op)


@pytest.mark.parametrize("limits", [A100, RTX4090], ids=["99 KiB short of a table", "99 KiB"])
@pytest.mark.parametrize("window", [(128, 128), (64, 128)], ids=str)
def test_on_other_devices(
    op: EmulatedOp,
    device: Callable[..., None],
    window: tuple[int, int],
    limits: dict[str, int],
) -> None:
    device(limits)
    assert_accurate(small(window, tilts=0), op)
    assert_accurate(small(window, gaps=True, slices=3), op)


def test_many_slices(op: EmulatedOp) -> None:
    assert_accurate(small((64, 64), slices=32), op)
    assert_accurate(small((96, 32), slices=32), op)


def test_a_single_slice(op: EmulatedOp) -> None:
    case = small((64, 64), slices=1, tilts=0)
    names = tuple(name for name in ALL if name != "thickness")
    actual, expected = case.run(op, names), case.double().run(wanted=names)
    for name in ("intensity", "probe", "phase", "shift"):
        assert relative(actual[name], expected[name]) < bound("single gradient")


@pytest.mark.parametrize("window", [(32, 48), (64, 64)], ids=str)
@pytest.mark.parametrize("alone", [name for name in ALL if name != "obj"])
def test_one_gradient_alone(op: EmulatedOp, window: tuple[int, int], alone: str) -> None:
    case = problem(window, positions=2, tilts=1)
    actual, expected = case.run(op, (alone,)), case.double().run(wanted=(alone,))
    assert [name for name in ALL if actual.get(name) is not None] == [alone]
    assert relative(actual[alone], expected[alone]) < bound("single gradient")


@pytest.mark.parametrize("window", [(32, 48), (64, 64)], ids=str)
@pytest.mark.parametrize("kept", [0, 2, 5])
def test_waves_computed_anew_are_the_same(
    emulated: ModuleType,
    device: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    window: tuple[int, int],
    kept: int,
) -> None:
    # Two positions to a chunk, so that there are several.
    device(H100 | {"multiprocessors": 2, "cache_bytes": 4 * 2 * 8 * window[0] * window[1]})
    torch.use_deterministic_algorithms(True)
    try:
        case = problem(window, positions=5, modes=2, tilts=1)
        waves = 8 * 2 * (3 + 1 + 2) * window[0] * window[1]
        stored = case.run(EmulatedOp(emulated, monkeypatch))
        anew = case.run(EmulatedOp(emulated, monkeypatch, budget=kept * waves))
    finally:
        torch.use_deterministic_algorithms(False)
    for name, value in stored.items():
        assert (value is anew[name] is None) or torch.equal(value, anew[name]), name


@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
@pytest.mark.parametrize("window", [(32, 48), (64, 64)], ids=str)
def test_deterministic(
    op: EmulatedOp, monkeypatch: pytest.MonkeyPatch, window: tuple[int, int], pair: bool
) -> None:
    case = problem(window, positions=5, object_modes=2, pair=pair, tilts=5)
    torch.use_deterministic_algorithms(True)
    try:
        assert_accurate(case, op)
        runs = []
        for order in ("forward", "random"):
            monkeypatch.setenv("FASTPTY_EMULATOR_ORDER", order)
            runs.append(case.run(op))
    finally:
        torch.use_deterministic_algorithms(False)
    for name, value in runs[0].items():
        assert (value is runs[1][name] is None) or torch.equal(value, runs[1][name]), name


def test_no_position(op: EmulatedOp) -> None:
    case = problem((64, 64), positions=0)
    found = case.run(op)
    assert found["intensity"].shape == (0, 64, 64)
    assert not found["phase"].any()


@pytest.mark.parametrize("window", [(32, 48), (64, 64)], ids=str)
def test_a_window_outside_is_flagged_and_harmless(op: EmulatedOp, window: tuple[int, int]) -> None:
    from fastpty.ops import raise_device_errors

    case = problem(window, positions=2)
    raise_device_errors()
    case.corner[1, 0] = 10_000
    assert case.run(op)["intensity"].isfinite().all()
    with pytest.raises(ValueError, match="corner: a window lay outside"):
        raise_device_errors()
    raise_device_errors()  # said once


@pytest.mark.parametrize("name", ["thickness", "tilt"])
def test_what_is_not_finite_is_flagged(op: EmulatedOp, name: str) -> None:
    from fastpty.ops import raise_device_errors

    case = problem((64, 64), positions=1, tilts=1)
    case.inputs[name][...] = float("nan")
    case.run(op)
    with pytest.raises(ValueError, match="must be finite"):
        raise_device_errors()


def test_saved_memory_is_what_the_core_says(
    op: EmulatedOp, emulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The op computes it without the core, for tensors that have no memory yet."""
    from fastpty.ops import fused_cuda

    lengths = []
    create = fused_cuda._Call.__init__

    def spy(call: object, inputs: object) -> None:
        create(call, inputs)
        lengths.append((call.memory["saved_per_position"] * 3, 4 * fused_cuda.saved_length(inputs)))

    monkeypatch.setattr(fused_cuda._Call, "__init__", spy)
    case = problem((64, 64), positions=3, tilts=1)
    case.run(op)
    case.run(op, ("phase",))
    assert len(lengths) == 4 and all(core == python for core, python in lengths)
