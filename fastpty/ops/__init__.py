"""The five operations of ptychography as differentiable torch functions.

Each has a pure-torch twin of the same name and signature in :mod:`fastpty.reference`.
``slice_transmit`` has a native kernel with a hand-derived backward; the others are composed of
torch's own operations.
"""

from fastpty.ops.fresnel_propagate import fresnel_propagate
from fastpty.ops.fused import set_wave_budget
from fastpty.ops.mixed_intensity import mixed_intensity
from fastpty.ops.multislice_intensity import multislice_intensity
from fastpty.ops.probe_shift import probe_shift
from fastpty.ops.slice_transmit import slice_transmit

__all__ = [
    "fresnel_propagate",
    "mixed_intensity",
    "multislice_intensity",
    "probe_shift",
    "set_wave_budget",
    "slice_transmit",
]
