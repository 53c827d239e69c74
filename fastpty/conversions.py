"""Files from one format to another: what ``fastpty convert`` and ``fastpty export`` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastpty.atomic import atomic_path
from fastpty.config.tiff import tiff_section
from fastpty.errors import ConfigError, OutputError
from fastpty.export import write_tiffs
from fastpty.ptyrad import Converted, convert, is_ptyrad, read_config_file
from fastpty.ptyrad_model import write_model
from fastpty.results import Results

__all__ = ["convert_params", "export_ptyrad", "export_tiff", "refuse_existing", "write_text"]


def convert_params(params: Path, target: Path) -> Converted:
    """Write a PtyRAD parameter file as a native config.

    Raises
    ------
    ConfigError, DataError : the file is none of PtyRAD's, or cannot be converted.
    OutputError : the target exists, or cannot be written.
    """
    refuse_existing(target)
    content = read_config_file(params)
    if not is_ptyrad(content):
        raise ConfigError(
            str(params),
            "is no PtyRAD file: it has neither init_params nor recon_params.",
            "A native config needs no conversion.",
        )
    converted = convert(content, params)
    converted.config()
    write_text(target, converted.text())
    return converted


def export_tiff(
    results: Results, folder: Path, overrides: Sequence[str], overwrite: bool
) -> list[Path]:
    """TIFF files with the run's own ``output.tiff``, if its config had one, and ``overrides``.

    Raises
    ------
    OutputError : files of these names are there.
    """
    section = tiff_section(results.config, overrides)
    for name in section.images:
        if (folder / f"{name}.tif").exists() and not overwrite:
            raise OutputError(
                str(folder),
                f"holds an earlier {name}.tif.",
                "Choose another folder with -o, or allow --overwrite.",
            )
    return write_tiffs(results, folder, **section.model_dump())


def export_ptyrad(results: Results, target: Path, overwrite: bool) -> None:
    """A PtyRAD model file.

    Raises
    ------
    FastptyError : PtyRAD's format cannot hold the reconstruction.
    OutputError : the target exists, or cannot be written.
    """
    if target.exists() and not overwrite:
        raise OutputError(
            str(target), "exists already.", "Choose another name, or allow --overwrite."
        )
    try:
        write_model(results, target)
    except OSError as error:
        raise OutputError(str(target), f"cannot be written ({error}).") from error


def refuse_existing(target: Path) -> None:
    """For files that are meant to be edited.

    Raises
    ------
    OutputError : the target exists.
    """
    if target.exists():
        raise OutputError(str(target), "exists already.", "Choose another name with -o.")


def write_text(target: Path, text: str) -> None:
    """Whole or not at all.

    Raises
    ------
    OutputError : the target cannot be written.
    """
    try:
        with atomic_path(target) as path:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(str(target), f"cannot be written ({error}).") from error
