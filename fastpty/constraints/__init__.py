"""Constraints: what the model is made to satisfy at the end of an iteration."""

from fastpty.constraints.leakage import leakage
from fastpty.constraints.registry import CONSTRAINTS, apply_constraints

__all__ = ["CONSTRAINTS", "apply_constraints", "leakage"]
