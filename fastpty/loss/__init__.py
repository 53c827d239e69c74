"""What is minimised: a weighted sum of misfits to the patterns and of regularisers."""

from fastpty.loss.gaussian import gaussian_loss
from fastpty.loss.pacbed import pacbed_loss
from fastpty.loss.poisson import poisson_loss
from fastpty.loss.similarity import similarity_loss
from fastpty.loss.sparse import coverage, sparse_loss
from fastpty.loss.total import object_reach, total_loss
from fastpty.loss.whole import Whole

__all__ = [
    "Whole",
    "coverage",
    "gaussian_loss",
    "object_reach",
    "pacbed_loss",
    "poisson_loss",
    "similarity_loss",
    "sparse_loss",
    "total_loss",
]
