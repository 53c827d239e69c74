"""Pure-torch twins of the five operations, written to be read beside docs/conventions.md.

They define what the kernels compute. Gradients come from torch's autograd; every floating input
may require one. Any dtype, device and window size works. Beside them stands the step of Adam on
tiles of the object, ``adam_step.py``, which has no gradient.
"""

from fastpty.reference.adam_step import AdamTiles, adam_catch_up, adam_settle, adam_step
from fastpty.reference.fresnel_propagate import fresnel_propagate
from fastpty.reference.mixed_intensity import mixed_intensity
from fastpty.reference.multislice_intensity import multislice_intensity
from fastpty.reference.probe_shift import probe_shift
from fastpty.reference.slice_transmit import slice_transmit

__all__ = [
    "AdamTiles",
    "adam_catch_up",
    "adam_settle",
    "adam_step",
    "fresnel_propagate",
    "mixed_intensity",
    "multislice_intensity",
    "probe_shift",
    "slice_transmit",
]
