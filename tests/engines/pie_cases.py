"""A small model for the ptychographical iterative engines, and their papers' steps in plain numpy,
one position at a time, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.engines.exit_waves import FLOOR, ExitWaves, Rule, amplitude_ratio, transmitted
from fastpty.model import Model
from fastpty.optics.propagator import propagator

__all__ = ["WINDOW", "Plain", "complex_object", "random_model", "random_patterns", "updates_of"]

Waves = NDArray[np.complex128]
WINDOW = (12, 10)
CANVAS = (31, 29)
WAVELENGTH = 0.02
PIXEL = 0.3


def random_model(
    corner: list[list[int]],
    *,
    shift: list[list[float]] | None = None,
    modes: int = 1,
    slices: int = 1,
    occupancy: list[float] | None = None,
    tilt: list[list[float]] | None = None,
) -> Model:
    """Probe, object and gaps at random: no part of it is a special case."""
    generator = torch.Generator().manual_seed(3)
    shape = (len(occupancy or [1]), slices, *CANVAS)
    model = Model(
        amplitude=1 + 0.2 * torch.rand(shape, generator=generator),
        phase=0.6 * torch.randn(shape, generator=generator),
        probe=torch.randn(modes, *WINDOW, dtype=torch.complex64, generator=generator),
        corner=torch.tensor(corner),
        shift=torch.tensor(shift or [[0.0, 0.0]] * len(corner)),
        positions_start=np.zeros((len(corner), 2)),
        power_start=1.0,
        thickness=15 + 10 * torch.rand(slices - 1, generator=generator) if slices > 1 else None,
        wavelength=WAVELENGTH,
        pixel_size=(PIXEL, PIXEL),
        occupancy=None if occupancy is None else torch.tensor(occupancy),
        tilt=None if tilt is None else torch.tensor(tilt),
    )
    model.positions_start = model.positions
    return model


def complex_object(model: Model) -> torch.Tensor:
    return model.amplitude * torch.polar(torch.ones_like(model.phase), model.phase)


def random_patterns(count: int) -> torch.Tensor:
    return 3 * torch.rand(count, *WINDOW, generator=torch.Generator().manual_seed(4))


def updates_of(
    model: Model,
    measured: torch.Tensor,
    rule_object: Rule,
    rule_wave: Rule,
    index: list[int],
    mask: torch.Tensor | None = None,
) -> tuple[Waves, Waves]:
    """(of the object, of the probe) for one batch."""
    batch = torch.tensor(index)
    with torch.no_grad():
        obj, corner = complex_object(model), model.corner[batch]
        waves = ExitWaves(model, obj, batch, corner)
        ratio = amplitude_ratio(waves.intensity(), measured[batch], mask)
        rule = rule_wave.step, rule_wave.share
        found = waves.products(ratio, rule=rule, asked=rule_wave.share < 1)
        asked = waves.asked(found, rule_wave, transmitted(model, obj, corner))
        return rule_object(asked.obj, asked.light).numpy(), asked.probe.numpy()


class Plain:
    """The update of one position, written as in the papers, with every mode and slice a loop."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.object: Waves = complex_object(model).numpy().astype(complex)
        self.probe: Waves = model.probe.numpy().astype(complex)
        occupancy = model.occupancy
        self.weights = [1.0] if occupancy is None else occupancy.double().tolist()

    def shifted(self, waves: Waves, j: int, sign: int = 1) -> Waves:
        """By the part of position j that lies between the pixels."""
        y, x = self.model.shift[j].double().tolist()
        fy, fx = (np.fft.fftfreq(n) for n in WINDOW)
        ramp = np.exp(-2j * np.pi * sign * (fy[:, None] * y + fx * x))
        return np.asarray(np.fft.ifft2(np.fft.fft2(waves) * ramp))

    def transfer(self, gap: int, j: int) -> Waves:
        thickness, tilt = self.model.thickness, self.model.tilt
        assert thickness is not None
        if tilt is not None:
            tilt = tilt[j if len(tilt) > 1 else 0, None].double()
        found = propagator(
            WINDOW, thickness[gap].double(), tilt, wavelength=WAVELENGTH, pixel_size=PIXEL
        )
        return found.numpy().reshape(WINDOW)

    def updates(
        self, j: int, measured: Any, rule: Any, wave_rule: Any, mask: Any = True
    ) -> tuple[Waves, Waves]:
        """(of the object, of the probe); ``rule(wave, exit change)`` gives a neighbour's update.

        ``rule(a, b)`` takes lists of modes: sum conj(a) b over a denominator of sum |a|^2.
        """
        model = self.model
        y, x = model.corner[j].tolist()
        place = (slice(y, y + WINDOW[0]), slice(x, x + WINDOW[1]))
        slices = self.object.shape[1]
        object_modes, modes = range(len(self.object)), range(len(self.probe))
        shifted = [self.shifted(self.probe[m], j) for m in modes]
        incident = {(m, n, 0): shifted[m] for m in modes for n in object_modes}
        exits = {}
        for z in range(slices):
            for m in modes:
                for n in object_modes:
                    exits[m, n, z] = incident[m, n, z] * self.object[n, z][place]
                    if z < slices - 1:
                        spectrum = np.fft.fft2(exits[m, n, z]) * self.transfer(z, j)
                        incident[m, n, z + 1] = np.fft.ifft2(spectrum)
        far = {
            (m, n): np.fft.fft2(exits[m, n, slices - 1], norm="ortho")
            for m in modes
            for n in object_modes
        }
        intensity = sum(self.weights[n] * np.abs(wave) ** 2 for (_, n), wave in far.items())
        ratio = np.where(mask, np.sqrt(np.asarray(measured) / (intensity + FLOOR)), 1)
        change = {key: np.fft.ifft2(wave * (ratio - 1), norm="ortho") for key, wave in far.items()}

        of_object = np.zeros_like(self.object)
        for z in reversed(range(slices)):
            for n in object_modes:
                of_object[n, z][place] = rule(
                    [incident[m, n, z] for m in modes], [change[m, n] for m in modes]
                )
            if z == 0:
                break
            change = {
                (m, n): np.fft.ifft2(
                    np.fft.fft2(wave_rule([self.object[n, z][place]], [change[m, n]]))
                    * self.transfer(z - 1, j).conj()
                )
                for m, n in change
            }
        roots = [w**0.5 * self.object[n, 0][place] for n, w in enumerate(self.weights)]
        of_probe = np.stack(
            [
                self.shifted(
                    wave_rule(roots, [w**0.5 * change[m, n] for n, w in enumerate(self.weights)]),
                    j,
                    -1,
                )
                for m in modes
            ]
        )
        return of_object, of_probe
