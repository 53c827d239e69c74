"""What kernels on a device found wrong with values that the host does not look at.

Corners, thickness and tilt lie in the device's memory: to look at them before every call would
make every call wait. The kernels look, go on with what is safe, and set a flag.
"""

from __future__ import annotations

import torch

__all__ = ["error_flags", "raise_device_errors"]

# The bits of DeviceError in csrc/multislice_intensity/multislice_intensity_cuda.h.
_RULES = {
    1: "corner: a window lay outside the object, and was moved inside",
    2: "thickness, tilt: must be finite, found infinite or NaN",
}

_flags: dict[torch.device, torch.Tensor] = {}


def error_flags(device: torch.device) -> torch.Tensor:
    """[1] int32 on the device, in which kernels set bits."""
    if device not in _flags:
        _flags[device] = torch.zeros(1, dtype=torch.int32, device=device)
    return _flags[device]


def raise_device_errors(device: torch.device | None = None) -> None:
    """Raise what kernels have found wrong since the last call, and wait for them to do so.

    On the CPU the ops raise at once; on CUDA call this where a wait costs little, such as once an
    iteration.

    Parameters
    ----------
    device : None for every device that was used.

    Raises
    ------
    ValueError : a window lay outside the object, or a thickness or tilt was not finite.
    """
    for used, flags in _flags.items():
        if device is not None and not _same(used, device):
            continue
        if used.type == "cuda":
            torch.cuda.synchronize(used)  # item() waits for the current stream alone
        found = int(flags.item())
        if found:
            flags.zero_()
            raise ValueError("; ".join(rule for bit, rule in _RULES.items() if found & bit))


def _same(used: torch.device, device: torch.device) -> bool:
    return used.type == device.type and (device.index is None or used.index == device.index)
