"""The one table of tolerances. A test asks it by kind of arithmetic and carries no number itself.

Use: ``torch.testing.assert_close(actual, expected, **tolerance("sum", dtype, scale=terms))``.
"""

from __future__ import annotations

import torch

__all__ = ["bound", "tolerance"]

# In units of the dtype's machine epsilon.
EPSILONS = {
    # The same operations in the same order: threads, or a gradient computed alone.
    "identical": 0,
    # One complex product. Its error is at most sqrt(5) epsilon, with or without fused
    # multiply-adds; both sides have one.
    "product": 5,
    # A sum of up to a thousand products, taken in another order or with other roundings: the
    # errors of the terms add like a random walk, sqrt(1000).
    "sum": 32,
    # A few Fourier transforms, each good to an epsilon times the logarithm of its size, and
    # phases of up to some ten radians, each of which is rounded to an epsilon of itself.
    "transform": 128,
    # A chain of such steps over a few slices, forward or backward, against other arithmetic.
    "chain": 512,
}

# Relative bounds where physics or sampling, not arithmetic, sets the difference.
BOUNDS = {
    # A constant recomputed from the constants of nature against one that others printed with
    # three to five digits.
    "printed": 5e-4,
    # A disc of ten and more pixels radius against pi r^2: its edge of one pixel's width adds
    # pi / 12 pixels to it, and the sampling of the edge adds no more.
    "disc": 2e-3,
    # A Gaussian or a disc that is a few pixels wide and far from its window's edge, against
    # the formula for a continuous one.
    "sampled": 1e-2,
    # The paraxial propagator against the exact one below 5 mrad over 100 Angstrom: the phase
    # that is left out is pi dz theta^4 / (4 lambda) < 4e-6.
    "paraxial": 1e-5,
    # What a fit of some dozen iterations to noiseless patterns leaves of the phase's correlation
    # with the truth to 1; it finds 0.006 at the learning rates of the tests.
    "fitted": 2e-2,
    # The part of a random position error that such a fit leaves, of which the error of the
    # object fitted meanwhile is the limit; it finds 0.3.
    "positions": 0.5,
    # px. What a search leaves of positions on noiseless patterns: a quarter pixel lies between its
    # last trials, and those of the iteration before may lie 4 px / 4 apart.
    "searched": 0.5,
    # Intensities and gradients of a whole multislice in single precision, as 2-norms: what the
    # roundings of up to 32 slices leave; torch's own transforms in single precision leave three
    # times as much.
    "single intensity": 2e-6,
    "single gradient": 1e-5,
    # The same intensities where torch's transforms are on one side or on both.
    "single torch": 1e-5,
    # A thickness, an occupancy or an aberration that some dozen iterations find on noiseless
    # patterns of a known object: what the last learning rate leaves; it finds 3e-3 at the most.
    "known object": 1e-2,
    # The same for a tilt, in mrad; it finds 0.03.
    "tilt": 0.3,
    # PtyRAD's formulas in double precision, as 2-norms: it finds 2e-15.
    "ptyrad": 1e-13,
    # The same behind propagation: PtyRAD's phase dz sqrt(k^2 - K^2) of 4000 rad leaves 1e-12 of the
    # double's 2e-16, and what follows from differences some more.
    "ptyrad propagated": 1e-10,
    # Where it adds 1e-8 to a divisor or a radius, or propagates by single precision all the same.
    "ptyrad offset": 2e-7,
    # The intensity and its gradients as PtyRAD runs, in single precision: 6e-7.
    "ptyrad single": 5e-6,
    # Where it fits the thickness it makes that phase in single precision, good to 2e-4 rad; what
    # it propagates further than a slice is as good at best. It finds 6e-4.
    "ptyrad thickness": 2e-3,
    # What thousands of steps of an iteration leave, whose error falls as one over their number.
    "converged": 1e-3,
    # A modulation at the frequencies of a raster of 12 x 12 positions: what the soft border of the
    # illuminated field mixes of it with the frequencies beside them.
    "raster": 0.1,
    # The losses of a few iterations at small learning rates, by other arithmetic: Adam's first
    # steps have the size of the learning rate, whatever that of a gradient, so that where one is
    # all rounding its sign decides; 1.4e-5 between two implementations on one CPU.
    "losses": 1e-4,
    # Moves of voxels whose gradients are about Adam's eps, by tiles against step by step, as a
    # 2-norm over three hundred steps: of the first ten, a tile catches up to some per cent.
    "tiles": 1e-3,
    # The losses of a few iterations of such fits: what differs are voxels that hardly matter.
    "tiles losses": 2e-5,
    # Losses of several processes: sums over patterns in another order, and the steps that follow.
    "shared losses": 1e-5,
    # How well the patterns are met then, in which small differences of single pixels count.
    "shared agreement": 1e-3,
    # Patterns of a crystal, as 2-norms, against those from a window that cuts through cells: where
    # the wave meets the seam it has 1e-3 to 1e-2 of its amplitude left; it finds 3e-3.
    "window": 1e-2,
    # What a simulation holds for each position, beside a pattern of 32 x 32 pixels in float32: its
    # place on several grids and the heap's fragments; it finds 0.01.
    "per position": 0.1,
    # Standard deviations by which a random number may miss its mean: 6e-7 of all do, and the seeds
    # of the tests are fixed.
    "deviations": 5.0,
    # An estimate of memory that is right within a factor of two.
    "memory": 2.0,
}


def tolerance(kind: str, dtype: torch.dtype, scale: float = 1.0) -> dict[str, float]:
    """Give ``rtol`` and ``atol`` for values whose terms are about ``scale`` in size.

    Parameters
    ----------
    kind : a key of ``EPSILONS``.
    dtype : the dtype, real or complex, that the less exact side computed in.
    scale : the size of the terms. A sum may cancel, so its error is relative to them.
    """
    epsilons = EPSILONS[kind] * torch.finfo(dtype).eps
    return {"rtol": epsilons, "atol": epsilons * scale}


def bound(kind: str) -> float:
    """Give the relative bound of a comparison that physics limits."""
    return BOUNDS[kind]
