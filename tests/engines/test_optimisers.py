"""Every optimiser of torch that a config may name: its own step, its options, resume, graphs."""

from __future__ import annotations

import importlib
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config.optimise import FULL_BATCH, OptimiseConfig
from fastpty.config.optimisers import OptimiserName
from fastpty.engines import optimisers
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run

# Of batches; that of all patterns at once has tests of its own.
NAMES = [name for name in typing.get_args(OptimiserName) if name != FULL_BATCH]
RECORDABLE = [name for name in NAMES if optimisers.can_be_recorded(name)]
NOT_RECORDABLE = ["Adafactor", "Adagrad", "SGD"]

# An option of each, with a value that is not the default.
OPTIONS: dict[str, dict[str, Any]] = {
    "Adadelta": {"rho": 0.5},
    "Adafactor": {"eps": [None, 0.1]},
    "Adagrad": {"initial_accumulator_value": 0.1},
    "Adam": {"betas": [0.5, 0.9]},
    "AdamW": {"weight_decay": 0.5},
    "Adamax": {"betas": [0.5, 0.9]},
    "ASGD": {"lambd": 0.5},
    "NAdam": {"momentum_decay": 0.5},
    "RAdam": {"betas": [0.5, 0.9]},
    "RMSprop": {"momentum": 0.9},
    "Rprop": {"etas": [0.3, 1.5]},
    "SGD": {"momentum": 0.9, "nesterov": True},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def run_with(
    tiny: Tiny, name: str, options: dict[str, Any] | None = None, **changes: Any
) -> Reconstruction:
    optimise: dict[str, Any] = {"optimiser": {"name": name, **(options or {})}, **changes}
    if name == "Adafactor":
        optimise["probe"] = {"lr": 0}
    return tiny_run(tiny, optimise=optimise)


@pytest.mark.parametrize("given", [False, True], ids=["defaults", "options"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_torchs(tiny: Tiny, name: str, given: bool) -> None:
    """The same gradients given to torch's own, tensor by tensor: bit by bit the same."""
    options = OPTIONS[name] if given else {}
    run = run_with(tiny, name, options, batch_size=30)
    copies = {key: t.detach().clone().requires_grad_() for key, t in run.model.unknowns.items()}
    own = {
        key: getattr(torch.optim, name)(
            [tensor],
            lr=run.config.optimise.parameter(key).lr,
            **{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()},
            # The same roundings: torch's one kernel, where it has one.
            **({"fused": True} if name in ("Adam", "AdamW") and not tensor.is_complex() else {}),
        )
        for key, tensor in copies.items()
        if run.config.optimise.parameter(key).lr
    }
    for iteration in (1, 2, 3):
        run.engine.run_iteration(iteration)
        for key, optimiser in own.items():
            gradient = run.model.unknowns[key].grad
            assert gradient is not None
            copies[key].grad = gradient.clone()
            before = copies[key].detach().clone()
            optimiser.step()
            assert not torch.equal(before, copies[key]), key
            assert torch.equal(run.model.unknowns[key], copies[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_options_change_the_run(tiny: Tiny, name: str) -> None:
    plain, other = run_with(tiny, name), run_with(tiny, name, OPTIONS[name])
    for run in (plain, other):
        run.run()
    assert plain.history.loss != other.history.loss


def test_options_of_one_unknown_are_its_own(tiny: Tiny) -> None:
    run = tiny_run(
        tiny,
        optimise={
            "optimiser": {"name": "SGD", "momentum": 0.5},
            "phase": {"options": {"momentum": 0.9, "nesterov": True}},
            "probe": {"options": {"weight_decay": 0.1}},
        },
    )
    groups = dict(zip(run.model.unknowns, run.engine._optimiser.param_groups, strict=True))
    found = {
        name: (group["momentum"], group["nesterov"], group["weight_decay"])
        for name, group in groups.items()
    }
    assert found == {
        "amplitude": (0.5, False, 0),
        "phase": (0.9, True, 0),
        "probe": (0.5, False, 0.1),
        "positions": (0.5, False, 0),
        "thickness": (0.5, False, 0),
    }


def test_state_that_is_made_at_once_goes_by_the_options_too(tiny: Tiny) -> None:
    run = tiny_run(
        tiny,
        optimise={
            "optimiser": {"name": "Adagrad", "initial_accumulator_value": 0.5},
            "phase": {"options": {"initial_accumulator_value": 2}},
        },
    )
    sums = [state["sum"].flatten()[0] for state in run.engine.state()["state"].values()]
    assert sums == [0.5, 2, 0.5 + 0.5j, 0.5, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_the_unbroken_one(tiny: Tiny, tmp_path: Path, name: str) -> None:
    unbroken, first, resumed = (run_with(tiny, name, iterations=n) for n in (4, 2, 4))
    unbroken.run()
    first.run()
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    assert resumed.history.loss == unbroken.history.loss
    for key, tensor in unbroken.model.unknowns.items():
        assert torch.equal(resumed.model.unknowns[key], tensor), key


def test_which_can_be_recorded() -> None:
    assert set(NAMES) - set(RECORDABLE) == set(NOT_RECORDABLE)


class _NoValueAsked(TorchDispatchMode):
    """A device would have to be waited for, which no recording may."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=["real", "complex"])
@pytest.mark.parametrize("name", RECORDABLE)
def test_a_recorded_step_goes_by_a_rate_on_the_device(
    monkeypatch: pytest.MonkeyPatch, name: str, dtype: torch.dtype
) -> None:
    """What the device would run, on the CPU: after the first step nothing is read on the host, and
    a rate that is changed in place counts (but for Rprop, where it is that of the first step)."""
    for module in {getattr(torch.optim, name).__module__, "torch.optim.adam"}:  # AdamW is an Adam
        monkeypatch.setattr(
            importlib.import_module(module),
            "_get_capturable_supported_devices",
            lambda **_: ["cpu"],
            raising=False,
        )
    unknown = torch.ones(2, 6, 5, dtype=dtype, requires_grad=True)
    rate = torch.tensor(0.1)
    group = {"params": [unknown], "lr": rate, "capturable": True, "foreach": True}
    optimiser = getattr(torch.optim, name)([group])
    moved = []
    for step in range(4):
        if step == 2:
            optimisers.set_rate(optimiser.param_groups[0], 0.0)
        before = unknown.detach().clone()
        unknown.grad = torch.full_like(before, 0.5)
        if step == 0:
            optimiser.step()
        else:
            with _NoValueAsked():
                optimiser.step()
        moved.append(not torch.equal(before, unknown))
    assert optimiser.param_groups[0]["lr"] is rate
    # Averaged SGD takes the rate that the step before has left.
    last = {"Rprop": [True, True], "ASGD": [True, False]}.get(name, [False, False])
    assert moved == [True, True, *last]


@pytest.mark.parametrize("name", NAMES)
def test_how_one_is_made_for_cuda(name: str) -> None:
    """With tensors that only say that they are there."""
    settings: dict[str, Any] = {"optimiser": {"name": name}, "probe": {"lr": 0}}
    config = OptimiseConfig(**settings)
    with FakeTensorMode():
        unknowns = {
            key: torch.empty(
                2, 3, dtype=torch.complex64 if key == "probe" else torch.float32, device="cuda"
            )
            for key in ("amplitude", "phase", "probe", "positions")
        }
        groups = {key: optimisers._how(name, unknown) for key, unknown in unknowns.items()}
        rate = optimisers._rate(config, name, "phase", unknowns["phase"])
    if name in NOT_RECORDABLE:
        assert not any(groups.values())
        assert rate == config.phase.lr
        return
    assert all(group["capturable"] for group in groups.values())
    assert isinstance(rate, torch.Tensor)
    assert (rate.device.type, rate.shape, rate.dtype) == ("cuda", (), torch.float32)
    one_kernel = name in ("Adam", "AdamW")
    assert groups["phase"].get("fused") is (True if one_kernel else None)
    assert groups["probe"].get("fused") is None
    assert groups["phase"].get("foreach") is (None if one_kernel else True)


def test_the_cpu_has_rates_as_numbers(tiny: Tiny) -> None:
    """As bits: a tensor of single precision would round them."""
    for group in tiny_run(tiny).engine._optimiser.param_groups:
        assert isinstance(group["lr"], float)
        assert not group["capturable"]


def test_on_the_cpu_a_real_unknown_is_read_and_written_once(tiny: Tiny) -> None:
    run = tiny_run(tiny)
    groups = run.engine._optimiser.param_groups
    kinds = [None if tensor.is_complex() else True for tensor in run.model.unknowns.values()]
    assert [group["fused"] for group in groups] == kinds
    assert set(kinds) == {None, True}


def test_counters_of_steps_stay_with_the_host() -> None:
    state = {0: {"step": torch.tensor(3.0), "sum": torch.ones(2)}, 1: {}}
    moved = optimisers.without_device_counters("Adagrad", state)
    assert moved[0]["step"].device.type == "cpu"
    assert moved[0]["sum"] is state[0]["sum"]
    assert moved[1] == {}
    assert optimisers.without_device_counters("Adam", state)[0] is state[0]
