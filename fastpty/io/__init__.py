"""Raw files in: one reader per format, one registry. Knows no torch."""

from fastpty.io.arrays import load_array
from fastpty.io.memory import ARRAY, scan_of_array
from fastpty.io.rawscan import RawScan
from fastpty.io.registry import READERS, open_scan
from fastpty.io.request import Request
from fastpty.io.shapes import RASTER, STACK

__all__ = [
    "ARRAY",
    "RASTER",
    "READERS",
    "STACK",
    "RawScan",
    "Request",
    "load_array",
    "open_scan",
    "scan_of_array",
]
