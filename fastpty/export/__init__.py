"""Reconstructions in the formats of other programs. What each file holds is in
docs/file-formats.md."""

from fastpty.export.tables import Quantity, csv_text, latex_text, write_tables, write_texts
from fastpty.export.tiff import check_tifffile, write_tiffs

__all__ = [
    "Quantity",
    "check_tifffile",
    "csv_text",
    "latex_text",
    "write_tables",
    "write_texts",
    "write_tiffs",
]
