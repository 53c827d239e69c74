"""fastpty: electron ptychography, fast and checked.

The package opens quickly: nothing here imports torch. Where torch is there already, as after
``import torch, fastpty``, its ops ``torch.ops.fastpty.*`` are registered. Use the submodules

- ``fastpty.ops``: the five operations as torch ops with hand-derived gradients,
- ``fastpty.reference``: their pure-torch twins, readable as the physics,
- ``fastpty.optics``: wavelength, grids, aberrated probes, propagators,
- ``fastpty.recon``: the reconstruction behind ``fastpty recon``,

or the command line, ``fastpty --help``.
"""

import sys

__version__ = "0.1.0"

__all__ = ["__version__"]

if "torch" in sys.modules:
    import fastpty.ops  # noqa: F401
