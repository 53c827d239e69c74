"""How good is a reconstruction: numbers for patterns, positions and phases.

Definitions and sources are in docs/metrics.md. Only numpy is needed.
"""

from fastpty.metrics.image import Tails, brightest_above_darkest, contrast, remove_plane
from fastpty.metrics.patterns import r_factor
from fastpty.metrics.phase import PhaseAgreement, phase_agreement
from fastpty.metrics.positions import Displacement, displacement, position_rmse
from fastpty.metrics.rings import Crossing, RingCorrelation, ring_correlation
from fastpty.metrics.similarity import ssim
from fastpty.metrics.spectrum import (
    LEAST,
    AmplitudeSpectrum,
    amplitude_spectrum,
    information_limit,
)

__all__ = [
    "LEAST",
    "AmplitudeSpectrum",
    "Crossing",
    "Displacement",
    "PhaseAgreement",
    "RingCorrelation",
    "Tails",
    "amplitude_spectrum",
    "brightest_above_darkest",
    "contrast",
    "displacement",
    "information_limit",
    "phase_agreement",
    "position_rmse",
    "r_factor",
    "remove_plane",
    "ring_correlation",
    "ssim",
]
