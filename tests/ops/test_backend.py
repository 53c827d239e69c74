"""The choice of implementation, for the process and for a block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastpty import ops
from fastpty.ops import native
from fastpty.ops.backend import current_backend
from tests.reference.cases import CASES, OPTICS, Case, assert_near

needs_core = pytest.mark.skipif(not native.AVAILABLE, reason="the native core is not built")


@pytest.fixture(autouse=True)
def choice_of_the_process() -> Iterator[None]:
    """Give back the choice that a test makes for the process."""
    before = current_backend()
    yield
    ops.use_backend(before)


def elsewhere(function: Callable[[], Any]) -> Any:
    """What a function finds in another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def call(name: str, case: Case = CASES[0]) -> torch.Tensor:
    """One of the ops, in single precision."""
    dtype, optics = torch.complex64, OPTICS["fresnel"]
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "probe_shift": lambda: ops.probe_shift(case.probe(dtype), case.shift(dtype)),
        "slice_transmit": lambda: ops.slice_transmit(
            case.wave(dtype), case.obj(dtype)[:, 0], case.corner()
        ),
        "fresnel_propagate": lambda: ops.fresnel_propagate(case.wave(dtype), 2.0, **optics),
        "mixed_intensity": lambda: ops.mixed_intensity(case.wave(dtype)),
        "multislice_intensity": lambda: ops.multislice_intensity(
            case.probe(dtype), case.obj(dtype), case.corner(), case.shift(dtype), 2.0, **optics
        ),
    }
    return calls[name]()


NAMES = (
    "probe_shift",
    "slice_transmit",
    "fresnel_propagate",
    "mixed_intensity",
    "multislice_intensity",
)


class Recorder(TorchDispatchMode):
    """The ops of fastpty that torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if op.namespace == "fastpty":
            self.names.add(op._opname)
        return op(*args, **(kwargs or {}))


@needs_core
@pytest.mark.parametrize("name", NAMES)
def test_the_choice_reaches_every_op(name: str) -> None:
    results = {}
    for choice in ("auto", "native", "reference"):
        with ops.use_backend(choice), Recorder() as seen:
            results[choice] = call(name)
        assert bool(seen.names) == (choice != "reference")
    assert_near(results["native"], results["auto"], "identical")
    assert_near(results["reference"], results["auto"], "chain")


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_reached_through_the_checks(name: str) -> None:
    outside = Case(**(vars(CASES[0]) | {"extent": (4, 4)}))  # less than a window
    with ops.use_backend("reference"):
        assert call(name).shape[0] == CASES[0].B
        if name in {"slice_transmit", "multislice_intensity"}:
            with pytest.raises(ValueError, match=r"corner\[0\]: .* inside the object"):
                call(name, outside)
    with ops.use_backend("reference"), pytest.raises(TypeError, match="must be"):
        ops.mixed_intensity(torch.zeros(1, 1, 1, 2, 2))


def test_a_choice_for_the_process() -> None:
    assert current_backend() == "auto"
    ops.use_backend("reference")
    assert current_backend() == elsewhere(current_backend) == "reference"
    ops.use_backend("auto")
    assert current_backend() == elsewhere(current_backend) == "auto"


def test_blocks_nest_and_restore() -> None:
    ops.use_backend("reference")
    with ops.use_backend("auto"):
        assert current_backend() == "auto"
        with ops.use_backend("reference"):
            assert current_backend() == "reference"
            with pytest.raises(KeyError), ops.use_backend("auto"):
                assert current_backend() == "auto"
                raise KeyError
            assert current_backend() == "reference"
        assert current_backend() == "auto"
    assert current_backend() == "reference"


def test_a_block_belongs_to_its_thread() -> None:
    with ops.use_backend("reference"):
        assert current_backend() == "reference"
        assert elsewhere(current_backend) == "auto"

        def open_a_block() -> str:
            with ops.use_backend("auto"):
                return current_backend()

        assert elsewhere(open_a_block) == "auto"
        assert current_backend() == "reference"
    assert current_backend() == "auto"


def test_a_call_inside_a_block_ends_with_it() -> None:
    with ops.use_backend("reference"):
        ops.use_backend("auto")
        assert current_backend() == "auto"
        with ops.use_backend("reference"):
            assert current_backend() == "reference"
        assert current_backend() == "auto"
    assert current_backend() == "auto"
    assert elsewhere(current_backend) == "auto"


def test_one_object_serves_several_blocks() -> None:
    block = ops.use_backend("reference")
    for _ in range(2):
        with block:
            assert current_backend() == "reference"
            with block:
                assert current_backend() == "reference"
        assert current_backend() == "auto"


class Graphs:
    """A compiler that notes, for every graph it is given, whether ops of fastpty are in it."""

    def __init__(self) -> None:
        self.found: list[bool] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Any:
        self.found.append(any("fastpty" in str(node.target) for node in graph.graph.nodes))
        return graph.forward


def test_compiled_code_follows_the_process() -> None:
    wave, graphs = CASES[0].wave(torch.complex64), Graphs()
    compiled = torch.compile(ops.mixed_intensity, backend=graphs, fullgraph=True)
    for choice in ("auto", "reference", "auto"):
        ops.use_backend(choice)
        compiled(wave)
    assert graphs.found == [True, False]  # and the first again


def test_compiled_code_follows_a_block() -> None:
    wave, graphs = CASES[0].wave(torch.complex64), Graphs()
    compiled = torch.compile(ops.mixed_intensity, backend=graphs)
    for choice in ("reference", "auto"):
        graphs.found.clear()
        with ops.use_backend(choice):
            compiled(wave)
        assert any(graphs.found) == (choice == "auto")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^backend: must be one of auto, native, reference, found"
    ):
        ops.use_backend("cuda")
    assert current_backend() == "auto"


def test_native_without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "AVAILABLE", False)
    with pytest.raises(
        RuntimeError, match=r"needs the native core, fastpty\._core, which could not"
    ):
        ops.use_backend("native")
    assert current_backend() == "auto"


@needs_core
def test_native_where_there_is_no_kernel() -> None:
    wave, obj, corner = (
        x.to("meta")
        for x in (CASES[0].wave(torch.complex64), CASES[0].obj(torch.complex64), CASES[0].corner())
    )
    assert ops.slice_transmit(wave, obj[:, 0], corner).shape == wave.shape
    with (
        ops.use_backend("native"),
        pytest.raises(RuntimeError, match=r"^slice_transmit: has no native kernel for meta"),
    ):
        ops.slice_transmit(wave, obj[:, 0], corner)
