"""The values of the unknowns before the first iteration."""

from fastpty.start.model import start_model

__all__ = ["start_model"]
