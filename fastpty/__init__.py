"""fastpty: electron ptychography, fast and checked.

The package opens quickly: nothing here imports torch. Where torch is there already, as after
``import torch, fastpty``, its ops ``torch.ops.fastpty.*`` are registered. Use the submodules

- ``fastpty.reconstruct``: config and arrays in, results out, as the command line does it,
- ``fastpty.ops``: the five operations as torch ops with hand-derived gradients,
- ``fastpty.array_api``: the same for arrays of NumPy, cupy and others,
- ``fastpty.reference``: their pure-torch twins, readable as the physics,
- ``fastpty.optics``: wavelength, grids, aberrated probes, propagators,
- ``fastpty.recon``: the reconstruction behind ``fastpty recon``,

or the command line, ``fastpty --help``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpty.api import reconstruct

__version__ = "0.1.0"

__all__ = ["__version__", "reconstruct"]

if "torch" in sys.modules:
    import fastpty.ops  # noqa: F401


def __getattr__(name: str) -> Any:
    """``fastpty.reconstruct``, which brings torch with it, only when it is asked for."""
    if name == "reconstruct":
        from fastpty.api import reconstruct

        return reconstruct
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
