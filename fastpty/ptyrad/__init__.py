"""PtyRAD's parameter files as native configs."""

from fastpty.ptyrad.convert import Converted, convert, is_ptyrad, read_config_file
from fastpty.ptyrad.native import Note

__all__ = ["Converted", "Note", "convert", "is_ptyrad", "read_config_file"]
