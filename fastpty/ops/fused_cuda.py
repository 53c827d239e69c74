"""The fused kernels of ``multislice_intensity`` on CUDA.

Nothing here waits for the device: sizes are all that the host looks at. What lies in the device's
memory is looked at by the kernels, which report through flags (device_errors.py). All memory is
torch's, all work is on torch's current stream, so the ops can be captured in a CUDA graph.

Between forward and backward the waves in front of every slice are kept, for as many positions as
the budget leaves room; the waves of the others are computed anew, to the same bits.
"""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType

import numpy as np
import torch

from fastpty.ops import device, native
from fastpty.ops.device_errors import error_flags
from fastpty.ops.fused_inputs import Address, Gradients, Inputs, Wanted
from fastpty.optics.propagator import axial_wavenumber

__all__ = ["backward", "covers", "forward", "memory", "saved_length"]

# The core, or a module with the same class that emulates the device.
_core: ModuleType | None = native.core()


def covers(probe: torch.Tensor) -> bool:
    """Whether a fused kernel serves this probe [M, Ny, Nx] on its CUDA device."""
    return native.cuda_kernel((probe.shape[1], probe.shape[2]), probe.device) != "none"


def memory(probe: torch.Tensor, object_modes: int, slices: int, positions: int, budget: int) -> int:
    """Bytes of waves that are kept from forward to backward, within the budget."""
    modes, ny, nx = probe.shape
    return min(positions * _bytes_of_waves(modes * object_modes, slices, ny * nx, False), budget)


def _bytes_of_waves(waves: int, slices: int, pixels: int, moments: bool) -> int:
    """Of one position: a plane in front of every slice, one at the detector, and where moments are
    wanted one behind every gap; complex single precision."""
    planes = slices + 1 + (slices - 1 if moments else 0)
    return 8 * waves * planes * pixels


def _saved_positions(inputs: Inputs) -> int:
    return min(len(inputs.corner), inputs.budget // _saved_of_position(inputs))


def _saved_of_position(inputs: Inputs) -> int:
    no, nz, _, _ = inputs.object_shape
    modes, ny, nx = inputs.probe.shape
    return _bytes_of_waves(modes * no, nz, ny * nx, inputs.moments)


def saved_length(inputs: Inputs) -> int:
    """Floats from forward to backward."""
    return _saved_positions(inputs) * _saved_of_position(inputs) // 4


class _Call:
    """The kernels' arguments, and the tensors that keep their memory alive."""

    def __init__(self, inputs: Inputs) -> None:
        if _core is None or not hasattr(_core, "CudaMultislice"):
            raise RuntimeError("multislice_intensity: fastpty was built without CUDA")
        no, nz, y, x = inputs.object_shape
        ny, nx = inputs.window
        gaps = inputs.thickness.reshape(-1)[: nz - 1]
        tilt = inputs.tilt if nz > 1 else None
        self.device = inputs.probe.device
        self._address = address = Address()
        self._saved_positions = _saved_positions(inputs)
        self._moments = inputs.moments
        chi = _quarter_chi(
            inputs.window, inputs.wavelength, tuple(inputs.pixel_size), inputs.model, self.device
        )
        with device.current(self.device):
            self._core = _core.CudaMultislice(
                positions=len(inputs.corner),
                wave_modes=inputs.probe.shape[0],
                object_modes=no,
                slices=nz,
                window=(ny, nx),
                extent=(y, x),
                thicknesses=len(gaps),
                tilts=0 if tilt is None else len(tilt),
                wavenumber=tuple(2 * math.pi / size for size in inputs.pixel_size),
                spectrum=address(torch.fft.fft2(inputs.probe)),
                object=address(inputs.obj),
                amplitude=address(inputs.amplitude),
                phase=address(inputs.phase),
                corner=address(inputs.corner),
                shift=address(inputs.shift),
                occupancy=address(inputs.occupancy),
                thickness=address(gaps),
                tilt=address(tilt),
                chi=address(chi),
                errors=address(error_flags(self.device)),
                deterministic=torch.are_deterministic_algorithms_enabled(),
                device=device.number_and_stream(self.device)["device"],
            )
            self.memory = self._core.memory(
                moments=self._moments, saved_positions=self._saved_positions
            )

    def forward(self, intensity: torch.Tensor, saved: torch.Tensor) -> None:
        with device.current(self.device):
            self._core.forward(
                intensity=intensity.data_ptr(), **self._common(saved, "forward_scratch")
            )

    def backward(
        self, grad_intensity: torch.Tensor, gradients: Gradients, saved: torch.Tensor
    ) -> None:
        address = self._address
        with device.current(self.device):
            self._core.backward(
                grad_intensity=address(grad_intensity),
                grad_object=address(gradients.obj),
                grad_amplitude=address(gradients.amplitude),
                grad_phase=address(gradients.phase),
                grad_spectrum=address(gradients.spectrum),
                grad_shift=address(gradients.shift),
                grad_occupancy=address(gradients.occupancy),
                grad_moments=address(gradients.moments),
                **self._common(saved, "backward_scratch"),
            )

    def _common(self, saved: torch.Tensor, scratch: str) -> dict[str, object]:
        memory = device.scratch_memory(self.memory[scratch], self.device)
        return {
            "saved": saved.data_ptr() if len(saved) else 0,
            "saved_positions": self._saved_positions,
            "moments": self._moments,
            "scratch": self._address(memory),
            "stream": device.number_and_stream(self.device)["stream"],
        }


# Kept on the device: to send it there in every call would take the time of a small kernel, and
# cannot be part of a CUDA graph. A graph remembers where it is, so it stays.
@cache
def _quarter_chi(
    window: tuple[int, int],
    wavelength: float,
    pixel_size: tuple[float, ...],
    model: str,
    where: torch.device,
) -> torch.Tensor:
    """[Ny/2 + 1, Nx/2 + 1] rad / Angstrom at non-negative frequencies, NaN where evanescent."""
    chi, propagating = axial_wavenumber(
        window, wavelength=wavelength, pixel_size=pixel_size, model=model
    )
    quarter = np.where(propagating, chi, np.nan)[: window[0] // 2 + 1, : window[1] // 2 + 1]
    return torch.tensor(quarter, dtype=torch.float64, device=where)


def forward(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """(intensity [B, Ny, Nx], what the backward needs)."""
    intensity = inputs.shift.new_empty((len(inputs.corner), *inputs.window))
    saved = inputs.shift.new_empty(saved_length(inputs))
    _Call(inputs).forward(intensity, saved)
    return intensity, saved


def backward(
    inputs: Inputs, grad_intensity: torch.Tensor, saved: torch.Tensor, wanted: Wanted
) -> list[torch.Tensor]:
    """The gradients of the floating inputs; an empty tensor for one that is not wanted."""
    gradients = Gradients(inputs, wanted)
    _Call(inputs).backward(grad_intensity, gradients, saved)
    return gradients.of_inputs()
