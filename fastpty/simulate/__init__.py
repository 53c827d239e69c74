"""Simulated 4D-STEM data: atoms -> potential slices -> multislice -> counts in an HDF5 file.

The physics, the conventions and the limits are in docs/simulation.md, the file that
:func:`simulate` writes in docs/file-formats.md.
"""

from fastpty.simulate.config import SimulateConfig
from fastpty.simulate.run import simulate

__all__ = ["SimulateConfig", "simulate"]
