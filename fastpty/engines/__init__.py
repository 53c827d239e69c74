"""Engines: how the unknowns are updated in one pass over the patterns."""

from fastpty.engines.gradient import GradientEngine, IterationReport

__all__ = ["GradientEngine", "IterationReport"]
