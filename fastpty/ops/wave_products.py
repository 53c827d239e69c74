"""What a change of the exit waves asks of object and probe, by the native kernel.

The same forward and way back as :func:`fastpty.ops.multislice_intensity`, whose kernel does it
(csrc/multislice_intensity/multislice_intensity.h): with the wave psi[j,m,z] incident on slice z,
weights w of the object modes, and the spectra S of the exit waves, which are to become ratio S::

    Delta[z = last] = w F^-1{ (ratio - 1) S }
    product[j,n,z]  = sum_m conj(psi[z]) Delta[z]         power[j,n,z] = sum_m |psi[z]|^2
    asked[j,m]      = sum_n conj(O[n, 0]) Delta[0]
    Delta[z - 1]    = F^-1{ conj(H) F{ conj(O) Delta[z] } }

or, with a step's factor b and share c, ``b conj(O) / ((1 - c) |O|^2 + c max |O|^2)`` in the place
of ``conj(O)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty.ops import fused, fused_cpu
from fastpty.ops.backend import current_backend
from fastpty.ops.fused_inputs import Inputs, WaveProducts
from fastpty.ops.waves import wave_budget
from fastpty.optics import pixel_pair

__all__ = ["NativeWaves", "WaveProducts", "products_are_native"]


def products_are_native(probe: torch.Tensor) -> bool:
    """Whether :class:`NativeWaves` serves this probe [M, Ny, Nx]: on the CPU, where
    ``multislice_intensity`` has its kernel."""
    return not probe.is_cuda and current_backend() != "reference" and fused.covers(probe)


class NativeWaves:
    """The waves of a batch, from the probe to the detector, and what is made of them on the way
    back. Nothing is differentiated.

    Parameters
    ----------
    probe : [M, Ny, Nx] complex64.
    obj : [No, Nz, Y, X] complex64.
    corner, shift, thickness, tilt, occupancy, wavelength, pixel_size, model : as in
        :func:`fastpty.ops.multislice_intensity`.

    Raises
    ------
    ValueError : a window lies outside the object, or a size does not fit.
    """

    def __init__(
        self,
        probe: torch.Tensor,
        obj: torch.Tensor,
        corner: torch.Tensor,
        shift: torch.Tensor,
        thickness: torch.Tensor | float,
        tilt: torch.Tensor | None,
        occupancy: torch.Tensor | None,
        *,
        wavelength: float,
        pixel_size: float | Sequence[float],
        model: str,
    ) -> None:
        gaps = torch.as_tensor(thickness, dtype=torch.float32)
        self._inputs = Inputs(
            probe,
            obj.contiguous(),
            None,
            None,
            corner,
            shift,
            gaps,
            tilt,
            occupancy,
            wavelength,
            pixel_pair(pixel_size),
            model,
            wave_budget(probe.device),
            False,
        )
        self.intensity, self._saved = fused_cpu.forward(self._inputs)

    def products(
        self,
        ratio: torch.Tensor,
        *,
        rule: tuple[float, float] | None = None,
        apart: bool = False,
        asked: bool = False,
    ) -> WaveProducts:
        """For spectra that are to become ``ratio`` [B, Ny, Nx] times what they are.

        Parameters
        ----------
        rule : (b, c) of the way back; None: by the adjoint.
        apart, asked : whether ``product`` and ``entrance``, and whether ``asked`` is wanted.
        """
        inputs = self._inputs
        no, nz, _, _ = inputs.object_shape
        window = (len(inputs.corner), no, nz, *inputs.window)
        waves = (len(inputs.corner), *inputs.probe.shape)
        found = WaveProducts(
            obj=torch.empty(inputs.object_shape, dtype=torch.complex64),
            probe=torch.empty_like(inputs.probe),
            power=torch.empty(window),
            product=torch.empty(window, dtype=torch.complex64) if apart else None,
            entrance=torch.empty(waves, dtype=torch.complex64) if apart else None,
            asked=torch.empty(waves, dtype=torch.complex64) if apart or asked else None,
        )
        fused_cpu.products(inputs, ratio, self._saved, rule, found)
        return found
