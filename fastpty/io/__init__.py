"""Raw files in: one reader per format, one registry. Knows no torch."""

from fastpty.io.arrays import load_array
from fastpty.io.rawscan import RawScan
from fastpty.io.registry import READERS, open_scan

__all__ = ["READERS", "RawScan", "load_array", "open_scan"]
