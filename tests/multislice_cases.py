"""A small multislice problem with every input, for tests of the fused kernels on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from fastpty import ops, reference
from tests.tolerances import bound

__all__ = ["ALL", "OPTICS", "Problem", "assert_accurate", "problem", "relative"]

OPTICS = {"wavelength": 0.0197, "pixel_size": (0.15, 0.17)}
ALL = ("probe", "amplitude", "phase", "obj", "shift", "thickness", "tilt", "occupancy")


@dataclass
class Problem:
    """Inputs by name, positions, and what arrives from the loss."""

    inputs: dict[str, torch.Tensor]
    corner: torch.Tensor
    upstream: torch.Tensor

    def run(
        self, op: object = ops.multislice_intensity, wanted: tuple[str, ...] = ALL
    ) -> dict[str, torch.Tensor | None]:
        """The intensity, and the gradient of every input that wants one."""
        leaves = {
            name: tensor.detach().clone().requires_grad_(name in wanted)
            for name, tensor in self.inputs.items()
        }
        found: dict[str, torch.Tensor | None] = {"intensity": self.forward(op, leaves)}
        if found["intensity"].requires_grad:
            found["intensity"].backward(self.upstream.to(found["intensity"].dtype))
        found.update({name: leaf.grad for name, leaf in leaves.items()})
        return found

    def forward(self, op: object, leaves: dict[str, torch.Tensor]) -> torch.Tensor:
        obj = leaves["obj"] if "obj" in leaves else (leaves["amplitude"], leaves["phase"])
        return op(
            leaves["probe"],
            obj,
            self.corner,
            leaves["shift"],
            leaves["thickness"],
            leaves.get("tilt"),
            leaves.get("occupancy"),
            **OPTICS,
        )

    def double(self) -> Problem:
        inputs = {
            k: v.to(torch.complex128) if v.is_complex() else v.double()
            for k, v in self.inputs.items()
        }
        return Problem(inputs, self.corner, self.upstream)


def problem(
    window: tuple[int, int] = (24, 20),
    *,
    positions: int = 5,
    modes: int = 2,
    object_modes: int = 1,
    slices: int = 3,
    pair: bool = True,
    gaps: bool = False,
    tilts: int = 0,
) -> Problem:
    torch.manual_seed(3)
    extent = (window[0] + 13, window[1] + 17)
    shape = (object_modes, slices, *extent)
    amplitude, phase = 1 + 0.1 * torch.randn(shape), torch.randn(shape)
    inputs = {"probe": torch.randn(modes, *window, dtype=torch.complex64)}
    if pair:
        inputs |= {"amplitude": amplitude, "phase": phase}
    else:
        inputs["obj"] = amplitude * torch.polar(torch.ones_like(phase), phase)
    inputs["shift"] = torch.rand(positions, 2) - 0.5
    inputs["thickness"] = 5 + 10 * torch.rand(slices - 1) if gaps else torch.tensor(12.0)
    if tilts:
        inputs["tilt"] = 5 * torch.randn(tilts, 2)
    inputs["occupancy"] = 0.5 + torch.rand(object_modes)
    corner = torch.stack(
        [torch.randint(0, 14, (positions,)), torch.randint(0, 18, (positions,))], 1
    )
    case = Problem(inputs, corner, torch.zeros(positions, *window))
    return replace(case, upstream=_pull(case))


def _pull(case: Problem) -> torch.Tensor:
    """What arrives from a loss that pulls every parameter of the geometry somewhere else.

    Towards patterns of another thickness, tilt and position, the gradients of those are sums of
    terms of one sign. For an upstream that has nothing to do with them, terms cancel, and a test
    would measure its own condition.
    """
    double = case.double()
    slices = double.inputs["phase" if "phase" in double.inputs else "obj"].shape[1]
    steps = {"thickness": 2 / slices, "tilt": 2 / slices, "shift": 0.1}
    moved = {name: tensor + steps.get(name, 0.0) for name, tensor in double.inputs.items()}
    there = double.forward(reference.multislice_intensity, moved)
    here = double.forward(reference.multislice_intensity, double.inputs)
    return (there - here).float()


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    difference = actual.to(expected.dtype) - expected
    return float(difference.detach().norm() / expected.detach().norm())


def assert_accurate(case: Problem, op: object = ops.multislice_intensity) -> None:
    """Compare intensity and every gradient of an op with the reference in double precision."""
    actual, expected = case.run(op), case.double().run(reference.multislice_intensity)
    for name, value in actual.items():
        kind = "single intensity" if name == "intensity" else "single gradient"
        assert relative(value, expected[name]) < bound(kind), name
