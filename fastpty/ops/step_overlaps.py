"""What LSQ-ML finds its steps from: overlaps of directions with what the waves are to change by.

With the directions dO of the object [No, Nz, Y, X] and L of the probe, moved to each position
[B, M, Ny, Nx], weights w of the object modes, and what
:meth:`fastpty.ops.NativeWaves.products` gives apart::

    oo[j,z] = sum w |dO_z|^2 power            ask_o[j,z] = sum Re conj(dO_z) product
    pp[j]   = sum w |O_0|^2 |L|^2             ask_p[j]   = sum Re conj(L) asked
    op[j]   = sum w Re O_0 conj(dO_0) conj(psi_0) L

The native kernel (csrc/step_overlaps) passes over all of it once.
"""

from __future__ import annotations

import torch

from fastpty.ops import native
from fastpty.ops.fused_inputs import Address

__all__ = ["step_overlaps"]


def step_overlaps(
    obj: torch.Tensor,
    of_object: torch.Tensor | None,
    lit: torch.Tensor | None,
    power: torch.Tensor,
    product: torch.Tensor | None,
    entrance: torch.Tensor | None,
    asked: torch.Tensor | None,
    corner: torch.Tensor,
    occupancy: torch.Tensor | None,
) -> torch.Tensor:
    """The five sums of every position and slice, on the CPU.

    Parameters
    ----------
    obj : [No, Nz, Y, X] complex64 O.
    of_object : the same shape, dO; None: there is none.
    lit : [B, M, Ny, Nx] complex64 L; None: there is none.
    power, product, entrance, asked : of these positions, as there.
    corner : [B, 2] int64 of the windows, inside the object.
    occupancy : [No] w; None: all 1.

    Returns
    -------
    overlaps : [B, Nz, 5] float32 oo, op, pp, ask_o, ask_p; 0 for what has no direction, and for
        the probe beyond the first slice.

    Raises
    ------
    ValueError : a window lies outside the object.
    """
    positions, object_modes, slices, *window = power.shape
    out = power.new_empty(positions, slices, 5)
    address = Address()
    native.follow_torch_threads()
    core = native.core()
    assert core is not None
    core.step_overlaps(
        positions=positions,
        modes=1 if lit is None else lit.shape[1],
        object_modes=object_modes,
        slices=slices,
        window=tuple(window),
        extent=tuple(obj.shape[-2:]),
        corner=address(corner),
        weight=address(occupancy),
        object=address(obj),
        direction=address(of_object),
        power=address(power),
        product=address(product),
        lit=address(lit),
        entrance=address(entrance),
        asked=address(asked),
        out=out.data_ptr(),
    )
    return out
