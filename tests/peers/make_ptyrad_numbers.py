"""PtyRAD's own numbers for the inputs of ``ptyrad_inputs.py``: what fastpty's tests compare with.

``python -m tests.peers.make_ptyrad_numbers``, in the folder that holds ``tests/`` and ``bench/``,
with the python of an environment that has ptyrad==1.0.0 (``bench/README.md`` says how to make one).
fastpty is not needed. It takes seconds, and writes ``ptyrad_numbers.npz``.

PtyRAD computes in single precision. Its forward model and gradients are stored so ("single"), and
everything is computed again by the same code in double precision: the names ``torch.float32`` and
``torch.complex64``, which its modules ask for, stand for the double ones meanwhile. Only that shows
that the formulas are the same ones, and not that roundings are small.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ptyrad.core import CombinedConstraint, CombinedLoss, PtychoModel
from ptyrad.core.functional import dct_2d
from ptyrad.optics.aberrations import Aberrations
from ptyrad.optics.constants import get_wavelength_ang
from ptyrad.optics.probe import make_stem_probe
from ptyrad.solver.reconstruction import compute_loss

from bench.peers.ptyrad_model import UNKNOWNS, ptyrad_model
from tests.peers import ptyrad_inputs as inputs
from tests.peers.ptyrad_constraints import CONSTRAINTS
from tests.peers.ptyrad_inputs import Arrays, Case

LOSSES: dict[str, dict[str, Any]] = {
    "single": {"dp_pow": 0.5},
    "single, power": {"dp_pow": 0.3},
    "poissn": {"dp_pow": 1.0, "eps": 1e-6},
    "poissn, power": {"dp_pow": 0.5, "eps": 1e-3},
    "pacbed": {"dp_pow": 0.2},
    "pacbed, power": {"dp_pow": 1.0},
    "sparse": {"ln_order": 1},
    "sparse, power": {"ln_order": 2},
    "simlar": {"obj_type": "both", "scale_factor": [1.0, 1.0, 1.0], "blur_std": 0.0},
    "simlar, phase": {"obj_type": "phase", "scale_factor": [1.0, 1.0, 1.0], "blur_std": 0.0},
}
BLURRED = {"obj_type": "both", "scale_factor": [0.5, 0.5, 0.25], "blur_std": 1.5}
ALL = {
    "loss_single": {"state": True, "weight": 1.0, "dp_pow": 0.5},
    "loss_poissn": {"state": True, "weight": 0.3, "dp_pow": 1.0, "eps": 1e-6},
    "loss_pacbed": {"state": True, "weight": 0.5, "dp_pow": 0.2},
    "loss_sparse": {"state": True, "weight": 0.1, "ln_order": 1},
    "loss_simlar": {"state": True, "weight": 0.1, **LOSSES["simlar"]},
}


def main() -> None:
    """Ask PtyRAD, and write."""
    torch.set_num_threads(1)
    numbers: Arrays = {
        "digest": np.array(inputs.digest()),
        "versions": np.array([f"{name} {version(name)}" for name in ("ptyrad", "torch", "numpy")]),
    }
    for name, case in inputs.FORWARD.items():
        with double_precision():
            upstream = pull(case)
            add(numbers, f"forward/{name}/double", forward(case, upstream))
        numbers[f"forward/{name}/upstream"] = upstream
        single = forward(case, upstream)
        add(numbers, f"forward/{name}/single", {k: v.astype(np.float32) for k, v in single.items()})
    with double_precision():
        add(numbers, "optics", optics())
        for name, options in LOSSES.items():
            add(numbers, f"loss/{name}", loss(name, options))
        add(numbers, "loss/simlar, blurred", blurred_similarity())
        add(numbers, "loss/all", all_losses())
        for name, (ptyrad_name, options) in CONSTRAINTS.items():
            add(numbers, f"constraint/{name}", constraint(ptyrad_name, options))
        volume = torch.tensor(inputs.transformed()["phase"])
        numbers["dct"] = dct_2d(volume).numpy()
    np.savez_compressed(inputs.NUMBERS, **numbers)
    size = inputs.NUMBERS.stat().st_size / 1e6
    sys.stdout.write(f"{inputs.NUMBERS}: {len(numbers)} arrays, {size:.2f} MB\n")


def add(numbers: Arrays, group: str, found: Arrays) -> None:
    numbers.update({f"{group}/{name}": np.asarray(array) for name, array in found.items()})


class _Doubled(ModuleType):
    """torch, but for two names."""

    float32 = torch.float64
    complex64 = torch.complex128

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def double_precision() -> Iterator[None]:
    """PtyRAD's modules find double precision where they ask for single."""
    modules = [
        module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "ptyrad" and getattr(module, "torch", None) is torch
    ]
    torch.set_default_dtype(torch.float64)
    for module in modules:
        module.torch = _Doubled("torch")
    try:
        yield
    finally:
        for module in modules:
            module.torch = torch
        torch.set_default_dtype(torch.float32)


def model_of(
    case: Case,
    arrays: Arrays,
    thickness: float = inputs.THICKNESS,
    scan_shape: tuple[int, int] = (1, 1),
) -> PtychoModel:
    """PtyRAD's model of a case; learning rates only say what moves."""
    moves = dict.fromkeys(UNKNOWNS, 1e-3)
    moves |= {"tilt": 1e-3 * case.moves_tilt, "thickness": 1e-3 * case.moves_thickness}
    return ptyrad_model(
        arrays,
        moves,
        np.ones((case.positions, *case.window), np.float32),
        thickness=thickness,
        wavelength=inputs.WAVELENGTH,
        pixel_size=inputs.PIXEL,
        scan_shape=scan_shape,
        occupancy=arrays["occupancy"],
        blur=case.blur,
    )


def pull(case: Case) -> NDArray[Any]:
    """What arrives at the intensity from a loss that pulls the geometry somewhere else.

    For another upstream the terms of the gradients of thickness and tilt cancel, and a comparison
    would measure that.
    """
    here = inputs.state(case)
    there = here | {"shift": here["shift"] + 0.1}
    if "tilt" in here:
        there["tilt"] = here["tilt"] + 2 / case.slices
    models = model_of(case, here), model_of(case, there, inputs.THICKNESS + 2 / case.slices)
    with torch.no_grad():
        before, after = (model(torch.tensor(inputs.BATCH)) for model in models)
    difference: NDArray[Any] = (after - before).numpy().astype(np.float32)
    if case.blur is not None:  # pixels that see beyond the edge have no say
        rim = np.ones(case.window, bool)
        rim[inputs.RIM : -inputs.RIM, inputs.RIM : -inputs.RIM] = False
        difference[:, rim] = 0
    return difference


def forward(case: Case, upstream: NDArray[Any]) -> Arrays:
    """Intensity, zero frequency in the middle, and the gradient of everything that moves."""
    model = model_of(case, inputs.state(case))
    intensity = model(torch.tensor(inputs.BATCH))
    intensity.backward(torch.tensor(upstream).to(intensity.dtype))
    return {"intensity": intensity.detach().numpy(), **gradients(model)}


def gradients(model: PtychoModel) -> Arrays:
    """By fastpty's names; the probe's as real and imaginary part along the last axis."""
    tensors = {name: model.optimizable_tensors[theirs] for name, theirs in UNKNOWNS.items()}
    return {name: t.grad.numpy() for name, t in tensors.items() if t.grad is not None}


def optics() -> Arrays:
    """Wavelengths, an aberrated probe, and Haider's coefficients in units of Krivanek's."""
    lens = inputs.LENS
    probe = make_stem_probe(
        lens["energy_kv"],
        lens["semiangle_mrad"],
        lens["pixels"],
        lens["pixel_size"],
        lens["aberrations"],
    )
    return {
        "wavelength": np.array([get_wavelength_ang(kv) for kv in (80.0, 200.0, 300.0)]),
        "probe": probe,
        "haider": np.array([in_krivanek(name, order) for name, order in inputs.HAIDER.items()]),
    }


def in_krivanek(name: str, order: tuple[int, int]) -> float:
    exported = Aberrations({name: 1.0}).export("krivanek", style="cartesian", layout="nested")
    value = exported[order]
    return float(value["a"] if isinstance(value, dict) else value)


def combined(**on: dict[str, Any]) -> CombinedLoss:
    """PtyRAD's loss with those terms that are given."""
    return CombinedLoss({name: {"state": False, **on.get(name, {})} for name in ALL}, device="cpu")


def loss(name: str, options: dict[str, Any]) -> Arrays:
    """One term of weight 1, and its gradient in what it looks at."""
    term = f"loss_{name.partition(',')[0]}"
    model = model_of(TWO_OBJECTS, inputs.state(TWO_OBJECTS))
    simulated, measured = (torch.tensor(a) for a in inputs.patterns())
    simulated.requires_grad_()
    patches = model.get_obj_patches(torch.tensor(inputs.BATCH))
    # As the forward model does.
    seen = simulated + 1e-10
    misfit = combined(**{term: {"state": True, "weight": 1.0, **options}})
    value, _ = misfit(seen, measured, *patches, model.omode_occu)
    value.backward()
    found = {"value": value.detach().numpy(), **gradients(model)}
    if simulated.grad is not None:
        found["intensity"] = simulated.grad.numpy()
    return found


TWO_OBJECTS = inputs.FORWARD["tilt and thickness"]


def blurred_similarity() -> Arrays:
    """Of one patch that is the whole object."""
    leaves = {k: torch.tensor(v).requires_grad_() for k, v in inputs.flat_rim().items()}
    simulated, measured = (torch.tensor(a) for a in inputs.patterns())
    misfit = combined(loss_simlar={"state": True, "weight": 1.0, **BLURRED})
    patches = (leaf[None] for leaf in leaves.values())
    value, _ = misfit(simulated, measured, *patches, torch.tensor([0.25, 0.75]))
    value.backward()
    return {"value": value.detach().numpy(), **{k: v.grad.numpy() for k, v in leaves.items()}}


def all_losses() -> Arrays:
    """Every term at once, through the whole model."""
    arrays = inputs.state(TWO_OBJECTS)
    model = model_of(TWO_OBJECTS, arrays)
    batch = torch.tensor(inputs.BATCH)
    # Patterns of another object, for numbers in a usual range.
    other = model_of(TWO_OBJECTS, arrays | {"phase": 0.5 * arrays["phase"]})
    measured = other(batch).detach().to(torch.float32)
    loss_fn = CombinedLoss(ALL, device="cpu")
    value, terms = compute_loss(batch, model, model, measured.to(torch.float64), loss_fn)
    value.backward()
    return {
        "measured": measured.numpy(),
        "value": value.detach().numpy(),
        "terms": np.array([term.item() for term in terms]),
        **gradients(model),
    }


def constraint(name: str, options: dict[str, Any]) -> Arrays:
    """What one constraint leaves of the tensors that it changes."""
    model = model_of(inputs.TRANSFORMED, inputs.transformed(), scan_shape=(3, 4))
    before = {k: t.detach().clone() for k, t in model.optimizable_tensors.items()}
    off = {"start_iter": None, "step": 1, "end_iter": None}
    sections = {theirs: off for theirs, _ in CONSTRAINTS.values()}
    sections[name] = {**off, "start_iter": 1, **options}
    model.probe_int_sum = 0.5 * model.probe_int_sum  # else there is nothing to restore
    CombinedConstraint(sections, device="cpu")(model, 1)
    after = {ours: model.optimizable_tensors[theirs] for ours, theirs in UNKNOWNS.items()}
    return {
        ours: tensor.detach().numpy()
        for ours, tensor in after.items()
        if not torch.equal(tensor, before[UNKNOWNS[ours]])
    }


if __name__ == "__main__":
    main()
