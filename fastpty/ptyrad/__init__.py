"""The bridge to PtyRAD: its parameter files as configs, its model files as starts and exports."""

from fastpty.ptyrad.convert import Converted, convert, is_ptyrad, read_config_file
from fastpty.ptyrad.model_file import is_model, read_model, write_model
from fastpty.ptyrad.native import Note

__all__ = [
    "Converted",
    "Note",
    "convert",
    "is_model",
    "is_ptyrad",
    "read_config_file",
    "read_model",
    "write_model",
]
