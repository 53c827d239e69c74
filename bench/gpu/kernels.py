"""``multislice_intensity`` on the GPU: ``python -m bench.gpu.kernels -o part.json``.

Fused against plain torch, whose transforms are cuFFT's: the reference, written to be read, and a
loop written for speed. Same inputs, in turn, in one process. Inputs rotate among copies that
together exceed the L2 cache. Results are written after every case: a run cut short keeps those.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.cases import WAVE_BUDGET, Case, Inputs, backward_step, forward
from bench.gpu.device import clocks
from bench.gpu.timing import Seconds, in_turn
from fastpty import ops, reference
from fastpty.optics.propagator import propagator

# Of the reference problem: 128 px, 6 modes, 32 slices; batches that divide well and badly among the
# device's multiprocessors, then the other windows at about as much work.
CASES = [
    *(Case(window=128, modes=6, slices=32, positions=n) for n in (32, 22, 44, 128)),
    Case(window=64, modes=6, slices=32, positions=128),
    Case(window=192, modes=6, slices=32, positions=16),
    Case(window=256, modes=6, slices=32, positions=8),
    Case(window=512, modes=6, slices=32, positions=2),
]
TINY = [
    Case(window=32, modes=2, slices=2, positions=3),
    Case(window=48, modes=1, slices=3, positions=2),
]
RIVALS = ("reference", "plain torch")
SCAN = 40_000  # positions of the reference problem

Row = dict[str, Any]


def main() -> None:
    """Measure case by case."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.kernels", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="two small cases, to try the script")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows: list[Row] = []
    failed = False
    for case in TINY if options.tiny else CASES:
        before = clocks(device)
        found = time_case(case, options.rounds, device)
        seen = {"clocks_before": before, "clocks_after": clocks(device)}
        for row in found:
            failed |= "error" in row and row["side"] not in RIVALS
            rows.append(row | seen)
            show(row)
        options.out.write_text(json.dumps({"kernels": rows, "scan": SCAN}, indent=1) + "\n")
    if failed:
        raise SystemExit("bench.gpu.kernels: some of fastpty's own calls failed, see above")


def copies_of(case: Case, device: torch.device) -> list[Inputs]:
    """The same inputs several times over, together more than twice the L2 cache."""
    cache = 0
    if device.type == "cuda":
        cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 64 << 20)
    inputs = Inputs.of(case)
    names = [field.name for field in fields(inputs)]
    size = sum(getattr(inputs, name).nbytes for name in names)
    count = min(8, max(2, -(-2 * cache // size)))
    return [
        Inputs(**{name: getattr(inputs, name).detach().clone().to(device) for name in names})
        for _ in range(count)
    ]


def time_case(case: Case, rounds: int, device: torch.device) -> list[Row]:
    """Forward; forward and backward, with waves stored, computed anew, and as a graph."""
    copies = copies_of(case, device)
    rows: list[Row] = []
    plain = PlainTorch(case.window, device)
    with torch.no_grad():
        sides: dict[str, Callable[[int], object]] = {
            "fused": rotating([partial(forward, ops, inputs) for inputs in copies]),
            "reference": rotating([partial(forward, reference, inputs) for inputs in copies]),
            "plain torch": rotating([partial(forward, plain, inputs) for inputs in copies]),
        }
        rows += timed(case, "forward", sides, rounds, device)
        rows[0]["difference"] = difference(copies[0], plain)
    fused = [backward_step(ops, inputs) for inputs in copies]
    sides = {name: partial(budgeted, size, rotating(fused)) for name, size in WAVE_BUDGET.items()}
    for name, rival in zip(RIVALS, (reference, plain), strict=True):
        sides[name] = rotating([backward_step(rival, inputs) for inputs in copies])
    if device.type == "cuda":
        sides["graph"] = LazyGraph([forward_and_gradients(inputs) for inputs in copies])
    rows += timed(case, "forward + backward", sides, rounds, device)
    ops.set_wave_budget(None)
    return rows


def rotating(steps: list[Callable[[], object]]) -> Callable[[int], object]:
    """A call for each number, from one set of inputs to the next."""
    return lambda number: steps[number % len(steps)]()


def budgeted(budget: int, step: Callable[[int], object], number: int) -> None:
    ops.set_wave_budget(budget)
    step(number)


def forward_and_gradients(inputs: Inputs) -> Callable[[], tuple[torch.Tensor, ...]]:
    """As ``backward_step``, and it returns what it finds."""
    leaves = (inputs.amplitude, inputs.phase, inputs.probe, inputs.shift)

    def step() -> tuple[torch.Tensor, ...]:
        intensity = forward(ops, inputs)
        return intensity, *torch.autograd.grad(intensity, leaves, inputs.grad_intensity)

    return step


class LazyGraph:
    """CUDA graphs of some steps, recorded at the first call, with the waves stored.

    They share memory, as only one runs at a time and nobody reads the results.
    """

    def __init__(self, steps: list[Callable[[], object]]) -> None:
        self._steps = steps
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def __call__(self, number: int) -> None:
        if not self._graphs:
            self._record()
        self._graphs[number % len(self._graphs)].replay()

    def _record(self) -> None:
        ops.set_wave_budget(WAVE_BUDGET["stored"])
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._steps[0]()
        torch.cuda.current_stream().wait_stream(side)
        pool = torch.cuda.graph_pool_handle()
        for step in self._steps:
            graph = torch.cuda.CUDAGraph()
            # The outer stream context: torch's own does not come back from a failure.
            here = torch.cuda.stream(torch.cuda.current_stream())
            with here, torch.cuda.graph(graph, pool=pool):
                result = step()
            del result  # the next graph may use its memory
            self._graphs.append(graph)


def timed(
    case: Case,
    what: str,
    sides: dict[str, Callable[[int], object]],
    rounds: int,
    device: torch.device,
) -> list[Row]:
    """A row for each side; one that cannot run says why and leaves the others alone."""
    rows: list[Row] = []
    running, peaks = {}, {}
    for name, side in sides.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            side(0)
            running[name] = side
            if device.type == "cuda":
                torch.cuda.synchronize(device)
                peaks[name] = torch.cuda.max_memory_allocated(device)
        except Exception as error:  # out of memory, a launch that fails: both are results
            text = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
            rows.append({"what": what, "side": name, **case._asdict(), "error": text})
        if device.type == "cuda":
            torch.cuda.empty_cache()
    times = in_turn(running, rounds, device)
    done = [row_of(case, what, name, seconds) for name, seconds in times.items()]
    return [row | {"peak_bytes": peaks.get(row["side"])} for row in done] + rows


def row_of(case: Case, what: str, side: str, seconds: Seconds) -> Row:
    """With the fewest operations and bytes that such a call takes."""
    operations, least_bytes = floor_of(case, backward=what != "forward")
    return {
        "what": what,
        "side": side,
        **case._asdict(),
        "seconds": seconds.plain(),
        "operations": operations,
        "bytes": least_bytes,
    }


def floor_of(case: Case, *, backward: bool) -> tuple[float, float]:
    """(floating-point operations, bytes through the device's memory) at the least.

    Operations: two transforms of 5 N^2 log2 N^2 and two products of 6 N^2 a wave-slice (the last
    slice has one transform); backward as many, and 8 N^2 for the object's gradient. Bytes: inputs
    read and outputs written once; with a backward also their gradients, and the waves stored and
    read again.
    """
    n2 = case.window**2
    log = 2 * math.log2(case.window)
    waves = case.modes * case.positions
    transforms = waves * 2 * case.slices * 5 * n2 * log  # that of the probe's shift among them
    products = waves * (2 * case.slices - 1) * 6 * n2
    inputs = Inputs.of(case)
    read = sum(x.nbytes for x in (inputs.amplitude, inputs.phase, inputs.probe, inputs.shift))
    pattern = inputs.grad_intensity.nbytes
    if not backward:
        return transforms + products, read + pattern
    stored = 8.0 * n2 * waves * case.slices
    gradients = 8.0 * n2 * waves * case.slices  # operations
    return 2 * (transforms + products) + gradients, 3 * read + 2 * pattern + 2 * stored


@torch.no_grad()
def difference(inputs: Inputs, plain: PlainTorch) -> dict[str, float]:
    """Of the others' intensities from the reference's, as 2-norms: that all compute the same."""
    found, fused, loop = (forward(module, inputs) for module in (reference, ops, plain))
    return {
        name: float((other - found).norm() / found.norm())
        for name, other in (("fused", fused), ("plain torch", loop))
    }


class PlainTorch:
    """``multislice_intensity`` as one would write it for speed: gathered windows, fft2, one
    propagator made beforehand, nothing checked. One object mode."""

    def __init__(self, window: int, device: torch.device) -> None:
        self._window = torch.arange(window, device=device)
        self._frequency = torch.fft.fftfreq(window, device=device)
        self._transfer: torch.Tensor | None = None

    def multislice_intensity(
        self,
        probe: torch.Tensor,
        obj: tuple[torch.Tensor, torch.Tensor],
        corner: torch.Tensor,
        shift: torch.Tensor,
        thickness: float,
        **optics: float,
    ) -> torch.Tensor:
        """The intensity [B, Ny, Nx]."""
        if self._transfer is None:
            shape = (probe.shape[1], probe.shape[2])
            distance = torch.tensor(thickness, device=probe.device)
            self._transfer = propagator(shape, distance, **optics)
        f = -2 * math.pi * self._frequency
        angle = f[:, None] * shift[:, 0, None, None] + f * shift[:, 1, None, None]
        ramp = torch.polar(torch.ones_like(angle), angle)
        wave = torch.fft.ifft2(torch.fft.fft2(probe) * ramp[:, None])
        y = corner[:, 0, None, None] + self._window[:, None]
        x = corner[:, 1, None, None] + self._window
        windows = torch.polar(obj[0][0][:, y, x], obj[1][0][:, y, x])
        for z, transmission in enumerate(windows):
            wave = wave * transmission[:, None]
            if z < len(windows) - 1:
                wave = torch.fft.ifft2(torch.fft.fft2(wave) * self._transfer)
        spectrum = torch.fft.fft2(wave, norm="ortho")
        return (spectrum.real.square() + spectrum.imag.square()).sum(1)


def show(row: Row) -> None:
    """One line, at once."""
    case = Case(*(row[name] for name in Case._fields))
    found = row["error"] if "error" in row else f"{1e3 * row['seconds']['median']:.4g} ms"
    print(f"{case}: {row['what']}, {row['side']}: {found}", flush=True)


if __name__ == "__main__":
    main()
