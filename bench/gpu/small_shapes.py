"""Every operation once, forward and backward, small: ``python -m bench.gpu.small_shapes``.

What compute-sanitizer runs, which makes kernels many times slower. ``--quick`` leaves out what
differs in sizes only. Needs torch and fastpty.ops, nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial

import torch

from fastpty import ops

OPTICS = {"wavelength": 0.0197, "pixel_size": (0.15, 0.17)}
# One for every family of kernels and way through it.
WINDOWS = [(48, 32), (64, 64), (128, 128), (256, 256), (64, 128), (45, 60)]
FEW = 4
POSITIONS, MODES, OBJECT_MODES, SLICES = 2, 2, 1, 3


def main() -> None:
    """Run them, and wait for the end."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.small_shapes", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    for window in WINDOWS[:FEW] if options.quick else WINDOWS:
        for name, step in steps(window, device):
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            print(f"{window[0]} x {window[1]} px: {name}", flush=True)
    ops.raise_device_errors(device)


def steps(
    window: tuple[int, int], device: torch.device
) -> Iterable[tuple[str, Callable[[], object]]]:
    """Names and calls."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        tensor = torch.randn(shape, dtype=dtype, generator=generator).to(device)
        return tensor.requires_grad_()

    extent = (window[0] + 5, window[1] + 9)
    probe = random(MODES, *window, dtype=torch.complex64)
    amplitude, phase = (random(OBJECT_MODES, SLICES, *extent) for _ in range(2))
    obj = random(OBJECT_MODES, SLICES, *extent, dtype=torch.complex64)
    wave = random(POSITIONS, MODES, OBJECT_MODES, *window, dtype=torch.complex64)
    shift, tilt, gaps = random(POSITIONS, 2), random(POSITIONS, 2), random(SLICES - 1)
    one_gap, occupancy = random(), random(OBJECT_MODES)
    corner = torch.tensor([[0, 0], [5, 9]]).to(device)
    obj_slice = obj[:, 0].detach().requires_grad_()

    whole = partial(ops.multislice_intensity, **OPTICS)
    pair = (amplitude, phase)
    yield "probe_shift", step(ops.probe_shift, probe, shift)
    yield "slice_transmit", step(ops.slice_transmit, wave, obj_slice, corner)
    propagate = partial(ops.fresnel_propagate, **OPTICS)
    yield "fresnel_propagate", step(propagate, wave, one_gap, tilt)
    yield "mixed_intensity", step(ops.mixed_intensity, wave, occupancy)
    everything = (corner, shift, gaps, tilt, occupancy)
    for words, budget in (("waves stored", 1 << 40), ("waves computed anew", 0)):
        for kind, part in (("pair", pair), ("complex object", obj)):
            run = partial(with_budget, budget, step(whole, probe, part, *everything))
            yield f"multislice_intensity, {kind}, {words}", run
    plain = step(whole, probe, pair, corner, shift, 10.0)
    yield "multislice_intensity, one thickness", plain
    yield "multislice_intensity, in fixed order", partial(in_fixed_order, plain)
    yield "adam_step", partial(adam, amplitude.detach().clone(), corner, window)


def adam(value: torch.Tensor, corner: torch.Tensor, window: tuple[int, int]) -> None:
    """Two steps by tiles, one window each, and the end of an iteration."""
    moments = torch.zeros_like(value), torch.zeros_like(value)
    tiles = ops.AdamTiles(value, *moments, (0.9, 0.999), 1e-8)
    rate, number = torch.full_like(value.sum(), 1e-3), torch.zeros_like(value.sum())
    for one in corner.split(1):
        ops.adam_catch_up(tiles, one, window)
        number += 1
        ops.adam_step(tiles, torch.ones_like(value), rate, number)
    ops.adam_settle(tiles)


def step(op: Callable[..., torch.Tensor], *arguments: object) -> Callable[[], object]:
    """Forward, and the gradient of every leaf among the arguments."""
    flat = [part for a in arguments for part in (a if isinstance(a, tuple) else (a,))]
    leaves = [x for x in flat if isinstance(x, torch.Tensor) and x.requires_grad]

    def run() -> object:
        out = op(*arguments)
        return torch.autograd.grad(out, leaves, torch.ones_like(out))

    return run


def with_budget(budget: int, run: Callable[[], object]) -> None:
    """Keep so many bytes of waves."""
    ops.set_wave_budget(budget)
    run()
    ops.set_wave_budget(None)


def in_fixed_order(run: Callable[[], object]) -> None:
    """The deterministic kernels, too."""
    torch.use_deterministic_algorithms(True)
    run()
    torch.use_deterministic_algorithms(False)


if __name__ == "__main__":
    main()
