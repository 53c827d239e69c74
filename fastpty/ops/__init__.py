"""The five operations of ptychography as differentiable torch functions.

Each has a pure-torch twin of the same name and signature in :mod:`fastpty.reference`.
:func:`use_backend` chooses between the two.

``multislice_intensity`` runs the whole chain in one fused native kernel where that serves the
probe, and is composed of the others elsewhere. ``slice_transmit`` has a native kernel too;
``probe_shift``, ``fresnel_propagate`` and ``mixed_intensity`` run on torch's Fourier transforms, on
any device. All have backward passes derived by hand, which keep and compute what is asked for and
no more, and are registered as ``torch.ops.fastpty.<name>``.

``NativeWaves`` is that kernel for engines that share a change of the exit waves out to object and
probe (wave_products.py).

``adam_catch_up``, ``adam_step`` and ``adam_settle`` are Adam on the tiles of the object that a
batch touches (adam_step.py); they write into what they are given, and have no gradient.
"""

from fastpty.ops.adam_step import AdamTiles, adam_catch_up, adam_settle, adam_step
from fastpty.ops.backend import use_backend
from fastpty.ops.device_errors import raise_device_errors
from fastpty.ops.fresnel_propagate import fresnel_propagate
from fastpty.ops.mixed_intensity import mixed_intensity
from fastpty.ops.multislice_intensity import multislice_intensity
from fastpty.ops.probe_shift import probe_shift
from fastpty.ops.slice_transmit import slice_transmit
from fastpty.ops.step_overlaps import step_overlaps
from fastpty.ops.wave_products import NativeWaves, WaveProducts, products_are_native
from fastpty.ops.waves import set_wave_budget

__all__ = [
    "AdamTiles",
    "NativeWaves",
    "WaveProducts",
    "adam_catch_up",
    "adam_settle",
    "adam_step",
    "fresnel_propagate",
    "mixed_intensity",
    "multislice_intensity",
    "probe_shift",
    "products_are_native",
    "raise_device_errors",
    "set_wave_budget",
    "slice_transmit",
    "step_overlaps",
    "use_backend",
]
