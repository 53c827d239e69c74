"""The misfit: a weighted sum of terms, one file each."""

from fastpty.loss.gaussian import gaussian_loss
from fastpty.loss.sparse import coverage, sparse_loss
from fastpty.loss.total import total_loss

__all__ = ["coverage", "gaussian_loss", "sparse_loss", "total_loss"]
