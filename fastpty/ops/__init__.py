"""The operations of ptychography as torch ops with hand-derived gradients.

Each has a pure-torch twin of the same name and signature in :mod:`fastpty.reference`, and a page
with its derivation in ``docs/derivations``.
"""

from fastpty.ops.slice_transmit import slice_transmit

__all__ = ["slice_transmit"]
