"""Reconstructions from Python: configs and arrays in, results out."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fastpty.array_api import to_numpy
from fastpty.atomic import atomic_path
from fastpty.config import ReconConfig, apply_overrides, validate_config
from fastpty.engines import IterationReport
from fastpty.errors import ConfigError, DataError, OutputError
from fastpty.io import ARRAY, RawScan, scan_of_array
from fastpty.job import refuse_overwriting, run_job, say_what_comes, set_up, watch_over
from fastpty.ptyrad import convert, is_ptyrad, read_config_file
from fastpty.recon import Observer, Reconstruction
from fastpty.results import Results, write_results

__all__ = ["INPUTS", "reconstruct"]

Callback: TypeAlias = Callable[[Reconstruction, IterationReport], None]

INPUTS = "inputs"
"""Folder below the output folder for arrays that the config was given."""


def reconstruct(
    config: str | os.PathLike[str] | Mapping[str, Any] | ReconConfig,
    data: Any = None,
    *,
    changes: Mapping[str, Any] | None = None,
    folder: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    observers: Sequence[Observer | Callback] = (),
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Results:
    """Reconstruct, as ``fastpty recon`` does, and return the results.

    Parameters
    ----------
    config : a file's path, its content as a dict, or a checked config. PtyRAD's files are taken
        too. In a dict, wherever the path of a file belongs, an array may stand:
        ``{"scan": {"positions": {"path": positions, "unit": "angstrom"}}}``; and as ``start.file``
        the results of an earlier call.
    data : recorded patterns [slow, fast, Ny, Nx] or [N, Ny, Nx], or in the order of ``data.axes``,
        in counts; instead of the file ``data.path``. An array of NumPy's, torch's or cupy's, or
        what has a shape, a dtype and slices, which is then read in pieces.
    changes : fields over those of the config: ``{"object.slices": 8}``.
    folder : where relative paths of the config begin; None: that of the config's file, else the
        working directory.
    output : folder for all that the command writes; None: nothing is written.
    observers : :class:`fastpty.recon.Observer`, or functions that are called as ``f(run, report)``
        after every iteration. Either may set ``run.stop_requested``.
    resume : go on from the checkpoint in ``output``.
    overwrite : replace the results of an earlier run in ``output``.
    quiet : print nothing.

    Returns
    -------
    results : arrays, history, quality. After Ctrl-C, or when an observer asked to stop, those of
        the iterations until then.

    Raises
    ------
    ConfigError, DataError, OutputError : naming the field, what was found and what to do.
    DivergenceError : something has become infinite or NaN.
    """
    if resume and (overwrite or output is None):
        raise ConfigError(
            "resume",
            "contradicts overwrite." if overwrite else "needs the folder of the run to go on with.",
            "Give one of them." if overwrite else "Give output.",
        )
    if overwrite and output is None:
        raise ConfigError("overwrite", "has no meaning: nothing is written.", "Give output.")
    content, start = _content(config)
    place = start if folder is None else Path(folder)
    destination = None if output is None else Path(output)
    if destination is not None and not (resume or overwrite):
        refuse_overwriting(destination)
    console = Console(quiet=quiet)
    watching = [_observer(observer) for observer in observers]
    patterns, content = _take_data(content, data)
    with _folder_for_arrays(destination) as arrays:
        content = _files_for_arrays(content, (), _Inputs(arrays, keep=resume))
        checked = _checked(content, changes or {}, place)
        scan = None if patterns is None else _scan(checked, patterns)
        if destination is not None:
            report = run_job(
                checked,
                place,
                destination,
                console,
                resume=resume,
                overwrite=overwrite,
                scan=scan,
                observers=watching,
            )
            return report.results
        run, _ = set_up(checked, place, scan)
        say_what_comes(run, console)
        watch_over(run, console, watching)
        return run.results()


def _content(
    config: str | os.PathLike[str] | Mapping[str, Any] | ReconConfig,
) -> tuple[dict[str, Any], Path]:
    """The plain mapping, and where its relative paths begin."""
    if isinstance(config, ReconConfig):
        return config.model_dump(mode="json", exclude_unset=True), Path()
    if isinstance(config, Mapping):
        return dict(config), Path()
    path = Path(config)
    content = read_config_file(path)
    if not is_ptyrad(content):
        return content, path.parent
    converted = convert(content, path)
    for note in converted.notes:
        warnings.warn(f"{path.name}: {note.field}: {note.text}", stacklevel=3)
    return dict(converted.content), path.parent


def _checked(content: Mapping[str, Any], changes: Mapping[str, Any], folder: Path) -> ReconConfig:
    if is_ptyrad(content):
        content = convert(content, folder / "config").content
    try:
        overrides = [
            f"{field}={json.dumps(value, default=_plain)}" for field, value in changes.items()
        ]
    except TypeError as error:
        raise ConfigError("changes", f"must hold plain values ({error}).") from error
    return validate_config(ReconConfig, apply_overrides(content, overrides))


def _plain(value: Any) -> Any:
    """NumPy's numbers and short arrays, and paths, which JSON does not know."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"found {type(value).__name__}")


def _take_data(content: dict[str, Any], data: Any) -> tuple[Any, dict[str, Any]]:
    """(the patterns, if they are an array; the mapping with a word in their place)."""
    section = content.get("data") or {}
    if not isinstance(section, Mapping):
        if not _is_array(section):
            return data, content  # the schema says what is wrong
        section = {"path": section}
    if data is None and _is_array(section.get("path")):
        data = section["path"]
    if data is None:
        return None, content
    return data, {**content, "data": {**section, "path": f"({ARRAY})"}}


def _scan(config: ReconConfig, patterns: Any) -> RawScan:
    _refuse_masked("data", patterns, "Fill it, and give bad pixels by data.mask (True means good).")
    return scan_of_array(_on_host(patterns), **config.data.reading)


def _on_host(patterns: Any) -> Any:
    """Arrays of other libraries as NumPy's; what is read in pieces stays what it is."""
    return to_numpy(patterns) if hasattr(patterns, "__dlpack__") else patterns


def _refuse_masked(field: str, array: Any, fix: str) -> None:
    """What is masked would be taken for data."""
    if np.ma.is_masked(array):
        count = int(np.ma.getmaskarray(array).sum())
        raise DataError(field, f"is a masked array; {count} of its values are masked.", fix)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


@contextmanager
def _folder_for_arrays(output: Path | None) -> Iterator[Path]:
    """Below ``output``, so that the config there describes the run, or else a temporary one."""
    if output is not None:
        yield (output / INPUTS).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="fastpty-") as name:
        yield Path(name)


def _files_for_arrays(value: Any, place: tuple[str, ...], inputs: _Inputs) -> Any:
    """A copy in which arrays are files, named by their place in the config."""
    if isinstance(value, Mapping):
        return {k: _files_for_arrays(v, (*place, str(k)), inputs) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_files_for_arrays(v, (*place, str(n)), inputs) for n, v in enumerate(value)]
    field = ".".join(place)
    if isinstance(value, Results):
        return inputs.results(field, value)
    if not _is_array(value):
        return os.fspath(value) if isinstance(value, os.PathLike) else value
    if not np.shape(value):  # NumPy's numbers have a shape too
        return value.item()
    if place[-1] != "path":
        raise ConfigError(
            field,
            f"is an array of shape {list(value.shape)}.",
            "An array may stand only where the path of a file does; write short ones as lists.",
        )
    _refuse_masked(field, value, "Give an array without gaps.")
    return inputs.array(field, to_numpy(value))


class _Inputs:
    """Files of what a config has in memory.

    Parameters
    ----------
    folder : of the files.
    keep : those that are there are of the run to go on with, and stay.
    """

    def __init__(self, folder: Path, keep: bool) -> None:
        self._folder = folder
        self._keep = keep

    def results(self, field: str, value: Results) -> str:
        """What a run begins with; one that goes on has it already."""
        path = self._folder / f"{field}.h5"
        if not (self._keep and path.exists()):
            self._write(path, lambda: write_results(value, path))
        return str(path)

    def array(self, field: str, value: NDArray[Any]) -> str:
        path = self._folder / f"{field.removesuffix('.path')}.npy"
        if not (self._keep and path.exists()):
            self._write(path, lambda: _save(path, value))
        elif not np.array_equal(np.load(path), value):
            raise DataError(
                field,
                f"has other values than {path}, with which the run began.",
                "Restore them, or start a new run in another folder.",
            )
        return str(path)

    def _write(self, path: Path, write: Callable[[], None]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write()
        except OSError as error:
            raise OutputError(str(path), f"cannot be written ({error}).", "Make room.") from error


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


class _Call(Observer):
    """A function as an observer."""

    def __init__(self, function: Callback) -> None:
        self._function = function

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        self._function(run, report)


def _observer(given: Observer | Callback) -> Observer:
    if isinstance(given, Observer):
        return given
    if not callable(given):
        raise ConfigError(
            "observers",
            f"must be observers or functions f(run, report); found {type(given).__name__}.",
        )
    return _Call(given)
