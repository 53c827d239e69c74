"""Constraints as a user might write them; the tests name them in a config."""

from __future__ import annotations

from fastpty.model import Model

NOT_A_FUNCTION = 3


def add_phase(model: Model, amount: float = 1.0) -> None:
    """In place, as it should be."""
    model.phase.add_(amount)


def double_phase(model: Model) -> None:
    """Does not commute with the one above."""
    model.phase.mul_(2)


def replace_phase(model: Model) -> None:
    """The optimiser would go on with the old tensor."""
    model.phase = model.phase + 1


class Settings:
    """Something inside a module."""

    @staticmethod
    def lift(model: Model, by: float) -> None:
        """An option without default."""
        model.phase.add_(by)
