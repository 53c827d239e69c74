"""The fused kernels on CUDA: accuracy, streams, graphs, determinism, memory, complaints.

Compared with the reference in double precision, on the same device by torch's transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from fastpty import ops, reference
from fastpty.ops import native
from tests.gpu.on_device import changed, fits, leaves_of, moved, no_wait, recorded, step_of
from tests.multislice_cases import ALL, Problem, assert_accurate, problem, relative
from tests.tolerances import bound

pytestmark = pytest.mark.gpu

# One of every family and way through it: the smallest, all of 2^a, 3^b and 5^c, odd, rectangular.
WINDOWS = [
    *((32, 32), (48, 32), (64, 64), (64, 128), (128, 64), (128, 128), (96, 96), (100, 100)),
    *((96, 125), (192, 192), (243, 243), (256, 256), (256, 64), (384, 384), (486, 486)),
    *((512, 512), (512, 36), (45, 512)),
]
# One of each family.
FEW = [(48, 32), (64, 64), (128, 128), (256, 256)]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_every_window(device: torch.device, window: tuple[int, int]) -> None:
    case = problem(window, positions=3, modes=2, slices=3, tilts=1)
    assert_accurate(moved(case, device))


def test_the_kernels_are_those_of_this_device(cuda: torch.device) -> None:
    """Otherwise all these tests would pass on torch's transforms."""
    from fastpty import _core

    assert native.has_cuda(), _core.build_info()["cuda_note"]
    for window in WINDOWS:
        assert native.cuda_kernel(window, cuda) != "none", window
    with ops.use_backend("native"):
        case = moved(problem((64, 64)), cuda)
        case.forward(ops.multislice_intensity, case.inputs)


@pytest.mark.parametrize("tilts", [0, 1, 5])
@pytest.mark.parametrize("gaps", [False, True], ids=["one thickness", "thickness per gap"])
@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
@pytest.mark.parametrize("window", FEW, ids=str)
def test_every_input(
    device: torch.device, window: tuple[int, int], pair: bool, gaps: bool, tilts: int
) -> None:
    case = problem(window, object_modes=2, pair=pair, gaps=gaps, tilts=tilts)
    assert_accurate(moved(case, device))


@pytest.mark.parametrize("window", [(128, 128), (96, 96), (256, 256)], ids=str)
def test_many_slices(device: torch.device, window: tuple[int, int]) -> None:
    assert_accurate(moved(problem(window, positions=4, modes=6, slices=32, tilts=1), device))


@pytest.mark.parametrize("positions", [1, 22, 133])
@pytest.mark.parametrize("window", FEW, ids=str)
def test_any_number_of_positions(
    device: torch.device, window: tuple[int, int], positions: int
) -> None:
    """Fewer and more waves than the device has multiprocessors, and a rest."""
    assert_accurate(moved(problem(window, positions=positions, modes=3, slices=2), device))


def test_no_position(device: torch.device) -> None:
    case = moved(problem((64, 64), positions=0), device)
    found = case.run()
    assert found["intensity"].shape == (0, 64, 64)
    for name in case.inputs:
        assert not found[name].any(), name


@pytest.mark.parametrize("window", FEW, ids=str)
def test_a_single_slice(device: torch.device, window: tuple[int, int]) -> None:
    case = moved(problem(window, slices=1), device)
    names = tuple(name for name in ALL if name != "thickness")
    actual = case.run(wanted=names)
    expected = case.double().run(reference.multislice_intensity, names)
    for name, value in actual.items():
        if value is not None:
            kind = "single intensity" if name == "intensity" else "single gradient"
            assert relative(value, expected[name]) < bound(kind), name


@pytest.mark.parametrize("window", FEW, ids=str)
@pytest.mark.parametrize("alone", [name for name in ALL if name != "obj"])
def test_one_gradient_alone(device: torch.device, window: tuple[int, int], alone: str) -> None:
    case = moved(problem(window, tilts=1), device)
    found, whole = case.run(wanted=(alone,)), case.run()
    assert [name for name in case.inputs if found[name] is not None] == [alone]
    assert relative(found[alone], whole[alone]) < bound("single gradient")


@pytest.mark.parametrize("window", [(32, 40), (128, 128)], ids=str)
def test_other_propagator(device: torch.device, window: tuple[int, int]) -> None:
    case = moved(problem(window, tilts=5), device)

    def fresnel(op: object) -> object:
        return lambda *arguments, **optics: op(*arguments, **optics, model="fresnel")

    actual = case.run(fresnel(ops.multislice_intensity))
    expected = case.double().run(fresnel(reference.multislice_intensity))
    for name in ("intensity", "probe", "phase", "thickness", "tilt"):
        assert relative(actual[name], expected[name]) < bound("single gradient"), name


@pytest.fixture
def fixed_order() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def assert_identical(a: dict[str, torch.Tensor | None], b: dict[str, torch.Tensor | None]) -> None:
    for name, value in a.items():
        assert (value is b[name] is None) or torch.equal(value, b[name]), name


@pytest.mark.usefixtures("fixed_order")
@pytest.mark.parametrize("pair", [False, True], ids=["complex", "pair"])
@pytest.mark.parametrize("window", FEW, ids=str)
def test_deterministic_where_asked(
    device: torch.device, window: tuple[int, int], pair: bool
) -> None:
    """torch fills fresh memory with NaN then, so nothing that is read was left unwritten."""
    case = moved(problem(window, positions=40, modes=2, tilts=1, pair=pair), device)
    first = case.run()
    for _ in range(3):
        assert_identical(case.run(), first)
    assert_accurate(case)


@pytest.mark.parametrize("window", FEW, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_waves_stored_or_computed_anew_are_the_same(
    device: torch.device, window: tuple[int, int], share: float
) -> None:
    """But for the object's gradient, which is summed in no order."""
    case = moved(problem(window, positions=6, tilts=1), device)
    ops.set_wave_budget(1 << 40)
    stored = case.run()
    planes = 2 * case.inputs["phase"].shape[1]
    ops.set_wave_budget(int(share * 6 * planes * case.inputs["probe"].nbytes))
    anew = case.run()
    for name, value in stored.items():
        if name in ("amplitude", "phase"):
            assert relative(anew[name], value) < bound("single gradient"), name
        else:
            assert torch.equal(anew[name], value), name


@pytest.mark.parametrize("window", FEW, ids=str)
def test_nothing_waits(device: torch.device, window: tuple[int, int]) -> None:
    case = moved(problem(window, tilts=1, gaps=True), device)
    leaves = leaves_of(case)
    step = step_of(case, leaves)
    step()  # makes what is kept from call to call
    with no_wait():
        step()
        with torch.no_grad():
            case.forward(ops.multislice_intensity, leaves)


@pytest.mark.parametrize("window", FEW, ids=str)
def test_on_a_stream_of_its_own(cuda: torch.device, window: tuple[int, int]) -> None:
    """The inputs are made there too, late: work elsewhere would read them too early."""
    case = moved(problem(window, tilts=1), cuda)
    expected = case.run()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late = Problem(
            {name: tensor.clone() for name, tensor in case.inputs.items()},
            case.corner.clone(),
            case.upstream.clone(),
        )
        found = late.run()
    torch.cuda.current_stream().wait_stream(stream)
    for name, value in expected.items():
        assert relative(found[name], value) < bound("single gradient"), name


@pytest.mark.parametrize("budget", [1 << 40, 0], ids=["stored", "anew"])
@pytest.mark.parametrize("window", FEW, ids=str)
def test_a_graph_follows_its_inputs(
    cuda: torch.device, window: tuple[int, int], budget: int
) -> None:
    ops.set_wave_budget(budget)
    case = moved(problem(window, tilts=1, gaps=True), cuda)
    leaves = leaves_of(case)
    graph, results = recorded(step_of(case, leaves))
    for seed in (1, 2):
        other = changed(case, seed)
        with torch.no_grad():
            for name, leaf in leaves.items():
                leaf.copy_(other.inputs[name])
            case.corner.copy_(other.corner)
            case.upstream.copy_(other.upstream)
        graph.replay()
        expected = other.run()
        for name, value in zip(("intensity", *leaves), results, strict=True):
            assert relative(value, expected[name]) < bound("single gradient"), name


@pytest.mark.parametrize("window", FEW, ids=str)
def test_memory_comes_back(cuda: torch.device, window: tuple[int, int]) -> None:
    case = moved(problem(window, positions=16, tilts=1), cuda)
    step = step_of(case, leaves_of(case))
    step()
    held = torch.cuda.memory_allocated(cuda)
    for _ in range(5):
        step()
        assert torch.cuda.memory_allocated(cuda) == held


def test_the_budget_holds(cuda: torch.device) -> None:
    """Of 64 positions, a few are kept; scratch of kernels that share the L2 cache comes on top."""
    case = moved(problem((128, 128), positions=64, modes=4, slices=16), cuda)
    leaves = leaves_of(case)
    waves = 64 * 4 * 16 * 128 * 128 * 8
    held = torch.cuda.memory_allocated(cuda)
    kept = {}
    for budget in (waves // 4, 0):
        ops.set_wave_budget(budget)
        intensity = case.forward(ops.multislice_intensity, leaves)
        kept[budget] = torch.cuda.memory_allocated(cuda) - held - intensity.nbytes
        del intensity
    assert kept[waves // 4] <= waves // 4 + (1 << 22)
    assert kept[0] < 1 << 22


OUTSIDE = [[-1, 0], [0, 1 << 40], [14, 3]]


@pytest.mark.parametrize("corner", OUTSIDE, ids=str)
@pytest.mark.parametrize("window", FEW, ids=str)
def test_a_window_outside_is_told_later(
    cuda: torch.device, window: tuple[int, int], corner: list[int]
) -> None:
    case = moved(problem(window), cuda)
    case.corner[3] = torch.tensor(corner, device=cuda)
    case.run()
    with pytest.raises(ValueError, match=r"^corner: a window lay outside"):
        ops.raise_device_errors(cuda)
    ops.raise_device_errors(cuda)  # it is told once
    assert_accurate(moved(problem(window), cuda))


@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=str)
@pytest.mark.parametrize("name", ["thickness", "tilt"])
@pytest.mark.parametrize("window", FEW, ids=str)
def test_values_that_are_not_finite_are_told_later(
    cuda: torch.device, window: tuple[int, int], name: str, value: float
) -> None:
    case = moved(problem(window, tilts=5, gaps=True), cuda)
    case.inputs[name].view(-1)[1] = value
    case.forward(ops.multislice_intensity, case.inputs)
    with pytest.raises(ValueError, match="thickness, tilt: must be finite"):
        ops.raise_device_errors()
    ops.raise_device_errors()


def test_on_another_device_than_the_current_one() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device")
    second = torch.device("cuda", 1)
    case = moved(problem((128, 128), tilts=1), second)
    with torch.cuda.device(0):
        assert_accurate(case)
        case.corner[0, 0] = -1
        case.run()
        ops.raise_device_errors(torch.device("cuda", 0))
        with pytest.raises(ValueError, match="corner"):
            ops.raise_device_errors(second)


@pytest.mark.parametrize("window", [(48, 32), (128, 128)], ids=str)
def test_lazy_and_strided_inputs(device: torch.device, window: tuple[int, int]) -> None:
    case = moved(problem(window, pair=False), device)
    obj, probe = case.inputs["obj"], case.inputs["probe"]
    lazy = replace(
        case,
        inputs=case.inputs
        | {
            "probe": probe.conj().resolve_conj().conj(),
            "obj": obj.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        },
    )
    found, expected = (c.forward(ops.multislice_intensity, c.inputs) for c in (lazy, case))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("window", [(48, 32), (128, 128)], ids=str)
def test_objects_of_more_than_2_31_elements(device: torch.device, window: tuple[int, int]) -> None:
    side = 46_400
    assert side * side > 2**31
    if not fits(device, 2.2 * 8 * side * side):  # the object and its gradient
        pytest.skip("not enough memory on the device")
    case = moved(problem(window, positions=2, slices=1, pair=False), device)
    obj = torch.zeros(1, 1, side, side, dtype=torch.complex64, device=device)
    corner = torch.tensor([[side - window[0], side - window[1]], [side // 2, 0]], device=device)
    small = torch.randn(1, 1, window[0], 2 * window[1], dtype=torch.complex64, device=device)
    at = torch.tensor([[0, 0], [0, window[1]]], device=device)

    def windows(whole: torch.Tensor) -> list[torch.Tensor]:
        return [whole[0, 0, y : y + window[0], x : x + window[1]] for (y, x) in corner.tolist()]

    for j, part in enumerate(windows(obj)):
        part.copy_(small[0, 0, :, j * window[1] : (j + 1) * window[1]])
    large = replace(case, corner=corner, inputs=case.inputs | {"obj": obj})
    like = replace(case, corner=at, inputs=case.inputs | {"obj": small})
    found, expected = (c.run(wanted=("obj",)) for c in (large, like))
    assert torch.equal(found["intensity"], expected["intensity"])
    for j, part in enumerate(windows(found["obj"])):
        assert torch.equal(part, expected["obj"][0, 0, :, j * window[1] : (j + 1) * window[1]])


def test_double_precision_is_composed(device: torch.device) -> None:
    """By finite differences; in double precision no kernel is fused."""
    case = moved(problem((4, 6), positions=2, slices=2, tilts=2, gaps=True), device).double()
    leaves = leaves_of(case)

    def intensity(*values: torch.Tensor) -> torch.Tensor:
        return case.forward(ops.multislice_intensity, dict(zip(leaves, values, strict=True)))

    assert torch.autograd.gradcheck(intensity, tuple(leaves.values()), fast_mode=True)
