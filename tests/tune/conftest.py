"""What the tests of studies share."""

from tests.tune.cases import formula

__all__ = ["formula"]
