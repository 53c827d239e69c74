"""Reconstructions in the formats of other programs. What each file holds is in
docs/file-formats.md."""

from fastpty.export.tiff import check_tifffile, write_tiffs

__all__ = ["check_tifffile", "write_tiffs"]
