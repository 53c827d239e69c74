"""``model_params`` and ``recon_params``: optimiser, rates, batches, output."""

from __future__ import annotations

import importlib.util
import inspect
import os
from typing import Any

import torch

from fastpty.config.optimisers import options_of
from fastpty.errors import ConfigError
from fastpty.ptyrad.native import Native
from fastpty.ptyrad.preparation import Shape
from fastpty.ptyrad.rates import schedule_of
from fastpty.ptyrad.schema import (
    ConvergenceMonitor,
    InitParams,
    ModelParams,
    PtyRADParams,
    ReconParams,
)

__all__ = ["map_batches", "map_optimiser", "map_output", "map_rates"]

# PtyRAD's name -> the native one.
_UNKNOWNS = {
    "obja": "amplitude",
    "objp": "phase",
    "probe": "probe",
    "probe_pos_shifts": "positions",
    "obj_tilts": "tilt",
    "slice_thickness": "thickness",
}
_SPARSE = ("sparse", "hilbert", "fps")
# PtyRAD's figures that are drawn, each as some figure of fastpty's.
_DRAWN = {"loss", "forward", "probe_r_amp", "pos", "convergence", "convergence_full", "all"}
_DRAWN |= {"learning_rates"}
_DEPTHS = {"raw": "float32", "32": "float32", "16": "uint16", "8": "uint8"}
_IMAGES = {
    "objp": ("phase", "phase_sum"),
    "obja": ("amplitude", "amplitude_product"),
    "probe": ("probe_amplitude", "probe_phase"),
}


def map_optimiser(model: ModelParams, native: Native) -> None:
    """``optimise.optimiser``, and what a parameter file says beside it."""
    section, origin = model.optimizer_params, "model_params.optimizer_params"
    # Misspelt in PtyRAD, so that torch does not find it there.
    name = "NAdam" if section.name == "Nadam" else section.name
    native.put("optimise.optimiser.name", name, f"{origin}.name")
    for key, value in (section.configs or {}).items():
        if key in _not_offered(name):
            native.note(f"{origin}.configs.{key}", "is ignored: it is no option of a fit's.")
        else:
            native.put(f"optimise.optimiser.{key}", value, f"{origin}.configs.{key}")
    if name == "LBFGS":
        native.put("optimise.accumulate", 1, f"{origin}.name")
        native.note(
            f"{origin}.name",
            "is LBFGS: a step comes from all patterns, and the rates of update_params are scales "
            "of the unknowns beside each other; PtyRAD takes the least rate for all.",
        )
    scheduler = model.scheduler_params
    loads = ((origin, section), ("model_params.scheduler_params", scheduler))
    for field, holder in loads:
        if holder is not None and holder.load_state:
            native.note(
                f"{field}.load_state",
                "is not read: fastpty recon --resume goes on with the state of its own runs.",
            )
    native.put("detector.blur", model.detector_blur_std or 0.0, "model_params.detector_blur_std")


def _not_offered(name: str) -> set[str]:
    """Arguments of torch's optimiser that are the engine's business, or the rates'."""
    optimiser = getattr(torch.optim, name, None)
    if optimiser is None:
        return set()
    return set(inspect.signature(optimiser).parameters) - set(options_of(name))


def map_rates(params: PtyRADParams, native: Native) -> None:
    """Learning rates of each unknown, with the schedule."""
    model, iterations = params.model_params, params.recon_params.NITER
    slices = native.content["object"]["slices"]
    said: set[str] = set()
    for name, target in _UNKNOWNS.items():
        section = getattr(model.update_params, name)
        origin, path = f"model_params.update_params.{name}", f"optimise.{target}"
        rate = section.lr if section.start_iter is not None else 0.0
        if section.end_iter is not None and section.end_iter <= (section.start_iter or 1):
            rate = 0.0
        if rate and slices == 1 and target in ("tilt", "thickness"):
            native.note(origin, "does nothing with a single slice; it stays fixed.")
            rate = 0.0
        native.put(f"{path}.lr", rate, f"{origin}.lr")
        if not rate:
            continue
        native.put(f"{path}.start", section.start_iter, f"{origin}.start_iter")
        if section.end_iter is not None:
            native.put(f"{path}.stop", section.end_iter - 1, f"{origin}.end_iter")
        for note in _schedule(model, native, path, iterations, rate):
            if note not in said:
                said.add(note)
                native.note("model_params.scheduler_params", note)


def _schedule(
    model: ModelParams, native: Native, path: str, iterations: int, rate: float
) -> list[str]:
    """Give an unknown its schedule, and return what is to be noted."""
    scheduler = model.scheduler_params
    if scheduler is None:
        return []
    if model.optimizer_params.name in ("LBFGS", "Rprop"):
        return [f"has no effect with {model.optimizer_params.name}; it is left out."]
    schedule, notes = schedule_of(scheduler, iterations, rate)
    if schedule is not None:
        native.put(f"{path}.schedule", schedule, f"model_params.scheduler_params.{scheduler.name}")
    return notes


def map_batches(params: PtyRADParams, native: Native, shape: Shape) -> None:
    """Iterations, batches, positions that take part, seed."""
    recon = params.recon_params
    native.put("optimise.iterations", recon.NITER, "recon_params.NITER")
    native.put("optimise.batch_size", recon.BATCH_SIZE.size, "recon_params.BATCH_SIZE.size")
    native.put(
        "optimise.accumulate",
        recon.BATCH_SIZE.grad_accumulation,
        "recon_params.BATCH_SIZE.grad_accumulation",
    )
    grouping = "sparse" if recon.GROUP_MODE in _SPARSE else recon.GROUP_MODE
    native.put("optimise.grouping", grouping, "recon_params.GROUP_MODE")
    native.put("seed", params.init_params.random_seed or 0, "init_params.random_seed")
    _indices(recon, native, shape)


def _indices(recon: ReconParams, native: Native, shape: Shape) -> None:
    section, origin = recon.INDICES_MODE, "recon_params.INDICES_MODE"
    if section.mode == "full":
        return
    counts = [section.subscan_slow, section.subscan_fast]
    if counts == [None, None]:
        counts = [shape.slow // 2, shape.fast // 2]
    if None in counts:
        raise ConfigError(origin, "must hold both subscan_slow and subscan_fast, or neither.")
    stage = {"iterations": recon.NITER, "scan": {section.mode: counts}}
    native.content["plan"] = [stage]
    native.origins["plan.0"] = origin


def map_output(init: InitParams, recon: ReconParams, native: Native, stem: str) -> None:
    """What is written, and where.

    Parameters
    ----------
    stem : name of the parameter file; it names the folder, where PtyRAD lists parameters.
    """
    name = "_".join(part for part in (recon.prefix, stem, recon.postfix) if part)
    native.put("output.folder", os.path.join(recon.output_dir, name), "recon_params.output_dir")
    if recon.SAVE_ITERS is None:
        native.note("recon_params.SAVE_ITERS", "is null; results are written all the same.")
    else:
        native.put("output.checkpoint_every", recon.SAVE_ITERS, "recon_params.SAVE_ITERS")
    native.put("output.figures", bool(recon.selected_figs), "recon_params.selected_figs")
    missing = [name for name in recon.selected_figs if name not in _DRAWN]
    if missing:
        native.note(
            "recon_params.selected_figs",
            f"{', '.join(missing)}: not among the figures that are drawn.",
        )
    _tiff(init, recon, native)
    monitor = recon.convergence_monitor
    if monitor is not None and monitor != ConvergenceMonitor():
        native.note(
            "recon_params.convergence_monitor",
            "is not used: the change of every unknown is in the history anyway.",
        )


def _tiff(init: InitParams, recon: ReconParams, native: Native) -> None:
    origin, modes = "recon_params.save_result", recon.result_modes
    if "probe_prop" in recon.save_result:
        native.note(origin, "probe_prop: the probe's way through the object is not written.")
    images = [
        image
        for name in recon.save_result
        for image in _IMAGES.get(name, ())
        if image not in ("phase", "amplitude") or {3, 4} & set(modes.obj_dim)
        if image not in ("phase_sum", "amplitude_product") or 2 in modes.obj_dim
    ]
    if not images or recon.SAVE_ITERS is None:
        return
    if importlib.util.find_spec("tifffile") is None:
        native.note(origin, "TIFF files need the package tifffile: pip install 'fastpty[readers]'.")
        return
    section: dict[str, Any] = {
        "images": images,
        "object_modes": "each" if 4 in modes.obj_dim and init.obj_omode_max > 1 else "mean",
        "area": "full" if "full" in modes.FOV else "scanned",
        "type": _DEPTHS[next(bit for bit in _DEPTHS if bit in modes.bit)],
    }
    for key, value in section.items():
        native.put(f"output.tiff.{key}", value, "recon_params.result_modes")
