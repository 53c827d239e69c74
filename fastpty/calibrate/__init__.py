"""Calibration from raw data: disc, scales, orientation of the scan, first defocus."""

from fastpty.calibrate.config import CalibrateConfig, read_input
from fastpty.calibrate.gather import Gathered, gather
from fastpty.calibrate.report import calibrated_config, extended_config, numbers, table
from fastpty.calibrate.run import run_calibration
from fastpty.calibrate.solve import Calibration, solve

__all__ = [
    "CalibrateConfig",
    "Calibration",
    "Gathered",
    "calibrated_config",
    "extended_config",
    "gather",
    "numbers",
    "read_input",
    "run_calibration",
    "solve",
    "table",
]
