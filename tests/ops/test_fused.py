"""The fused kernel of multislice_intensity: accuracy, memory, threads, variants, torch's machinery.

That it agrees with the reference at small and odd shapes is in test_multislice_intensity.py.
"""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from fastpty import ops
from fastpty.ops import native
from fastpty.ops.waves import Waves
from tests.multislice_cases import ALL, OPTICS, Problem, assert_accurate, problem, relative
from tests.tolerances import bound

pytestmark = pytest.mark.skipif(not native.AVAILABLE, reason="the native core is not built")


@pytest.fixture(autouse=True)
def default_budget() -> Iterator[None]:
    yield
    ops.set_wave_budget(None)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "window",
    [
        (2, 2),
        (3, 5),
        (8, 9),
        (16, 16),
        (25, 12),
        (27, 30),
        (45, 40),
        (64, 64),
        (100, 48),
        (512, 6),
        (486, 2),
    ],
    ids=str,
)
def test_accuracy_at_every_radix(window: tuple[int, int]) -> None:
    assert_accurate(problem(window))


@pytest.mark.parametrize("tilts", [0, 1, 5])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("pair", [False, True])
def test_accuracy_of_every_gradient(pair: bool, gaps: bool, tilts: int) -> None:
    assert_accurate(problem(object_modes=2, pair=pair, gaps=gaps, tilts=tilts))


def test_accuracy_over_many_slices() -> None:
    assert_accurate(problem((64, 64), positions=2, slices=32, tilts=1))


@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512"])
def test_every_variant(simd: str) -> None:
    from fastpty import _core

    if simd not in _core.available_simd():
        pytest.skip(f"this machine does not run {simd}")
    _core.set_simd(simd)
    try:
        assert_accurate(problem((20, 36), object_modes=2, gaps=True, tilts=5))
    finally:
        _core.set_simd(None)


def assert_identical(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for name, value in a.items():
        assert (value is b[name] is None) or torch.equal(value, b[name]), name


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_waves_stored_or_computed_anew_are_the_same(share: float) -> None:
    case = problem(tilts=1)
    stored = case.run()
    floats = case.inputs["probe"].numel() * case.inputs["phase"].shape[1] * 2
    ops.set_wave_budget(int(share * len(case.corner) * 4 * floats))
    assert_identical(case.run(), stored)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    case = problem(positions=7, tilts=1, object_modes=2)
    torch.set_num_threads(1)
    alone = case.run()
    torch.set_num_threads(threads)
    assert_identical(case.run(), alone)


def test_budget_limits_what_a_call_keeps() -> None:
    case = problem()
    leaves = {k: v.clone().requires_grad_() for k, v in case.inputs.items()}
    kept: list[int] = []
    ops.set_wave_budget(100_000)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor
    ):
        case.forward(ops.multislice_intensity, leaves)
    inputs = max(tensor.nbytes for tensor in leaves.values())
    assert inputs < max(kept) <= 100_000


def test_nothing_is_kept_without_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = Waves.take
    monkeypatch.setattr(Waves, "take", lambda n: taken.append(n) or take(n))
    problem().run(wanted=())
    with torch.no_grad():
        problem().run(wanted=())
    assert taken == [0, 0]


def test_no_number_of_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^budget: must be at least 0 bytes, found -1$"):
        ops.set_wave_budget(-1)
    with pytest.raises(TypeError, match=r"^budget: must be a whole number of bytes, found 1e\+20$"):
        ops.set_wave_budget(1e20)


@pytest.mark.parametrize("alone", [name for name in ALL if name != "obj"])
def test_one_gradient_alone(alone: str) -> None:
    case = problem(tilts=1)
    found = case.run(wanted=(alone,))
    assert torch.equal(found[alone], case.run()[alone])
    assert all(found[name] is None for name in case.inputs if name != alone)


def test_lazy_and_strided_inputs() -> None:
    case, other = problem(pair=False), problem(pair=False)
    obj = case.inputs["obj"]
    other.inputs["probe"] = case.inputs["probe"].conj().resolve_conj().conj()
    other.inputs["obj"] = obj.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    assert other.inputs["probe"].is_conj()
    assert_identical(other.run(wanted=()), case.run(wanted=()) | dict.fromkeys(other.inputs))


@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
def test_torch_ops_by_name(pair: bool) -> None:
    case = problem(pair=pair)
    i = case.inputs
    name = "multislice_intensity_pair" if pair else "multislice_intensity"
    parts = [i["amplitude"], i["phase"]] if pair else [i["obj"]]
    op = getattr(torch.ops.fastpty, name)
    actual = op(
        i["probe"], *parts, case.corner, i["shift"], i["thickness"], None, i["occupancy"], **OPTICS
    )
    assert torch.equal(actual, case.forward(ops.multislice_intensity, i))


@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
def test_opcheck(pair: bool) -> None:
    case = problem((8, 6), positions=2, tilts=1, pair=pair)
    i = {k: v.requires_grad_() for k, v in case.inputs.items()}
    arguments = (
        *(i["probe"], i.get("obj"), i.get("amplitude"), i.get("phase"), case.corner, i["shift"]),
        *(i["thickness"], i["tilt"], i["occupancy"], 0.0197, [0.15, 0.17], "fresnel", 1 << 20),
        True,
    )
    torch.library.opcheck(torch.ops.fastpty.multislice_intensity_forward.default, arguments)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_by_torch(dynamic: bool) -> None:
    def op(*arguments: object, **settings: object) -> torch.Tensor:
        return ops.multislice_intensity(*arguments, **settings)

    compiled = torch.compile(op, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for positions in (2, 3):
        case = problem((8, 6), positions=positions)
        assert_identical(case.run(compiled), case.run())


def test_other_lengths_take_the_composed_path_and_say_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = problem((22, 26))
    with caplog.at_level(logging.INFO, logger="fastpty"):
        first, second = case.run(), case.run()
    assert_identical(first, second)
    assert relative(first["intensity"], case.double().run()["intensity"]) < bound("single gradient")
    assert [record.message.split()[2:5] for record in caplog.records] == [["22", "x", "26"]]


def test_defaults_of_torch_do_not_matter() -> None:
    case = problem()
    del case.inputs["occupancy"]  # so that the op makes it
    expected = case.run()
    torch.set_default_dtype(torch.float64)
    ops.set_wave_budget(None)  # no block of memory from before
    try:
        found = case.run()
    finally:
        torch.set_default_dtype(torch.float32)
    assert_identical(found, expected)


def test_every_smooth_length_is_covered() -> None:
    def is_smooth(n: int) -> bool:
        for prime in (2, 3, 5):
            while n % prime == 0:
                n //= prime
        return n == 1

    assert native.fft_lengths() == {n for n in range(2, 513) if is_smooth(n)}


def leaves_of(case: Problem) -> dict[str, torch.Tensor]:
    return {name: tensor.clone().requires_grad_() for name, tensor in case.inputs.items()}


@pytest.mark.parametrize("changed", [name for name in ALL if name != "obj"])
def test_an_input_changed_before_the_backward_is_noticed(changed: str) -> None:
    case = problem(tilts=1)
    leaves = leaves_of(case)
    intensity = case.forward(ops.multislice_intensity, leaves)
    with torch.no_grad():
        leaves[changed].add_(0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        intensity.sum().backward()


def test_graphs_keep_their_waves() -> None:
    case = problem()
    leaves = leaves_of(case)
    first, second = (case.forward(ops.multislice_intensity, leaves) for _ in range(2))
    ops.set_wave_budget(0)
    third = case.forward(ops.multislice_intensity, leaves)
    inputs = list(leaves.values())
    expected = torch.autograd.grad(first.sum(), inputs, retain_graph=True)
    for intensity in (first, second, third):
        found = torch.autograd.grad(intensity.sum(), inputs)
        assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_memory_for_waves_is_lent_once_and_comes_back() -> None:
    ops.set_wave_budget(None)
    lent, other = Waves.take(1000), Waves.take(1000)
    address = lent.data_ptr()
    assert other.data_ptr() != address
    view = lent.view(10, 100)[2:].detach()
    del lent
    gc.collect()
    assert not Waves.idle  # the view still needs it
    del view
    gc.collect()
    assert Waves.take(900).data_ptr() == address


def test_calls_from_several_threads() -> None:
    case = problem()
    expected = case.run()
    found: list[dict[str, torch.Tensor | None]] = []
    threads = [
        threading.Thread(target=lambda: found.extend(case.run() for _ in range(5)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 15
    for each in found:
        assert_identical(each, expected)


@pytest.mark.slow
def test_more_positions_than_are_summed_at_once() -> None:
    case = problem((128, 128), positions=130, slices=16, modes=1)  # 2.2 MB each, for 256 MiB
    wanted = ("probe", "amplitude", "phase")
    whole = case.run(wanted=wanted)
    parts = []
    for part in (slice(0, 65), slice(65, 130)):
        inputs = case.inputs | {"shift": case.inputs["shift"][part]}
        parts.append(Problem(inputs, case.corner[part], case.upstream[part]).run(wanted=wanted))
    for name in wanted:
        assert relative(whole[name], parts[0][name] + parts[1][name]) < bound("single gradient")


def test_second_derivative_is_refused() -> None:
    case = problem()
    leaves = leaves_of(case)
    intensity = case.forward(ops.multislice_intensity, leaves)
    (gradient,) = torch.autograd.grad(intensity.sum(), leaves["phase"], create_graph=True)
    with pytest.raises(RuntimeError, match="multislice_intensity_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize("window", [(24, 20), (32, 16)], ids=str)  # other or equal memory
def test_another_variant_between_forward_and_backward_is_refused(window: tuple[int, int]) -> None:
    from fastpty import _core

    if len(_core.available_simd()) < 2:
        pytest.skip("this machine has one variant")
    case = problem(window)
    leaves = leaves_of(case)
    intensity = case.forward(ops.multislice_intensity, leaves)
    other = next(name for name in _core.available_simd() if name != _core.simd())
    _core.set_simd(other)
    try:
        with pytest.raises(RuntimeError, match="variant was changed"):
            intensity.sum().backward()
    finally:
        _core.set_simd(None)


def test_importing_torch_and_fastpty_registers_the_ops() -> None:
    code = "import torch, fastpty; torch.ops.fastpty.multislice_intensity.default"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_fastpty_alone_brings_no_torch() -> None:
    code = "import sys, fastpty; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_objects_of_more_than_2_31_elements() -> None:
    """Most of the object is never touched, so it takes addresses but no memory."""
    side = 46_400
    assert side * side > 2**31
    try:
        obj = torch.empty(1, 1, side, side, dtype=torch.complex64)
    except RuntimeError:
        pytest.skip("no 17 GB of addresses to be had")
    case = problem(positions=2, slices=1, pair=False)
    window = case.inputs["probe"].shape[-2:]
    corner = torch.tensor([[side - window[0], side - window[1]], [side // 2, 0]])
    small = torch.randn(1, 1, window[0], 2 * window[1], dtype=torch.complex64)
    for j, (y, x) in enumerate(corner.tolist()):
        obj[0, 0, y : y + window[0], x : x + window[1]] = small[0, 0, :, j * window[1] :][
            :, : window[1]
        ]
    expected_at = torch.tensor([[0, 0], [0, window[1]]])
    actual = replace(case, corner=corner, inputs=case.inputs | {"obj": obj})
    expected = replace(case, corner=expected_at, inputs=case.inputs | {"obj": small})
    assert torch.equal(*(c.forward(ops.multislice_intensity, c.inputs) for c in (actual, expected)))
