"""PtyRAD 1.0.0's parameter files: every field with its type, default and bounds."""

from fastpty.ptyrad.schema.base import Params
from fastpty.ptyrad.schema.constraints import ConstraintParams, Schedule
from fastpty.ptyrad.schema.file import PtyRADParams
from fastpty.ptyrad.schema.init import FilePathWithKey, InitParams, TiltParams
from fastpty.ptyrad.schema.loss import LossParams
from fastpty.ptyrad.schema.model import ModelParams, UpdateParam
from fastpty.ptyrad.schema.recon import ConvergenceMonitor, ReconParams

__all__ = [
    "ConstraintParams",
    "ConvergenceMonitor",
    "FilePathWithKey",
    "InitParams",
    "LossParams",
    "ModelParams",
    "Params",
    "PtyRADParams",
    "ReconParams",
    "Schedule",
    "TiltParams",
    "UpdateParam",
]
