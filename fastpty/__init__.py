"""fastpty: electron ptychography, fast and checked.

The package opens quickly: nothing here imports torch. Use the submodules

- ``fastpty.ops``: the five operations as torch ops with hand-derived gradients,
- ``fastpty.reference``: their pure-torch twins, readable as the physics,
- ``fastpty.optics``: wavelength, grids, aberrated probes, propagators,
- ``fastpty.recon``: the reconstruction behind ``fastpty recon``,

or the command line, ``fastpty --help``.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
