"""Recorded scan -> what the model is fitted to: patterns in corner order, positions in pixels."""

from fastpty.measurements.calibration import DiscFit, fit_disc, object_pixel_size
from fastpty.measurements.ellipse import EllipseFit, fit_ellipse
from fastpty.measurements.load import (
    Measurements,
    Recorded,
    load_measurements,
    load_recorded,
    measurements_of,
    recorded_fields,
)
from fastpty.measurements.patterns import Patterns
from fastpty.measurements.positions import raster_positions, rotate_positions
from fastpty.measurements.source import Batch, PatternSource
from fastpty.measurements.subset import Visited, visited_positions, withheld_positions

__all__ = [
    "Batch",
    "DiscFit",
    "EllipseFit",
    "Measurements",
    "PatternSource",
    "Patterns",
    "Recorded",
    "Visited",
    "fit_disc",
    "fit_ellipse",
    "load_measurements",
    "load_recorded",
    "measurements_of",
    "object_pixel_size",
    "raster_positions",
    "recorded_fields",
    "rotate_positions",
    "visited_positions",
    "withheld_positions",
]
