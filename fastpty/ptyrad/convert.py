"""A PtyRAD parameter file as a native config, with notes on what has no exact counterpart."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fastpty.config import ReconConfig, apply_overrides, read_yaml, validate_config
from fastpty.config.messages import describe
from fastpty.config.template import inline
from fastpty.errors import ConfigError, DataError
from fastpty.ptyrad.experiment import Paths, map_beam, map_calibration, map_data, map_scan
from fastpty.ptyrad.fit import map_batches, map_optimiser, map_output, map_rates
from fastpty.ptyrad.losses import map_constraints, map_losses
from fastpty.ptyrad.modern import modern
from fastpty.ptyrad.native import Native, Note
from fastpty.ptyrad.preparation import map_preparation
from fastpty.ptyrad.schema import PtyRADParams
from fastpty.ptyrad.unknowns import map_object, map_probe, map_start, map_tilt

__all__ = ["Converted", "convert", "is_ptyrad", "read_config_file"]

_COLUMN = 44


def read_config_file(path: Path) -> dict[str, Any]:
    """The mapping in a YAML, JSON or TOML file, by its extension.

    Raises
    ------
    DataError : the file cannot be read.
    ConfigError : it is not what its extension says, or not a mapping.
    """
    suffix = path.suffix.lower()
    if suffix == ".py":
        raise ConfigError(
            str(path), "is a Python program, which is not run.", "Save the parameters as YAML."
        )
    if suffix not in (".json", ".toml"):
        return read_yaml(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(str(path), "there is no such file.", "Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read as text ({error}).") from error
    try:
        content: object = json.loads(text) if suffix == ".json" else _toml(text)
    except ValueError as error:  # of which both decoders' errors are
        raise ConfigError(str(path), f"is not valid {suffix[1:].upper()}: {error}.") from error
    if not isinstance(content, dict):
        raise ConfigError(str(path), f"must hold a mapping; it is a {type(content).__name__}.")
    return content


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    content: dict[str, Any] = tomllib.loads(text)
    return content


def is_ptyrad(content: Mapping[str, Any]) -> bool:
    """Whether a mapping is that of a PtyRAD file: no native config has these sections."""
    return "init_params" in content or "recon_params" in content


@dataclass(frozen=True)
class Converted:
    """A PtyRAD file in native terms.

    Parameters
    ----------
    source : the PtyRAD file.
    native : what it became; its paths are absolute.
    """

    source: Path
    native: Native

    @property
    def content(self) -> dict[str, Any]:
        """Of the native config."""
        return self.native.content

    @property
    def notes(self) -> list[Note]:
        """What has no exact counterpart."""
        return self.native.notes

    def config(self, overrides: Sequence[str] = ()) -> ReconConfig:
        """The checked native config.

        Parameters
        ----------
        overrides : native fields, such as ``optimise.iterations=10``.

        Raises
        ------
        ConfigError : naming the field of PtyRAD's that has a value which cannot be taken.
        """
        content = apply_overrides(self.content, overrides)
        try:
            return ReconConfig.model_validate(content)
        except ValidationError as error:
            findings = describe(ReconConfig, error.errors())
        given = {item.partition("=")[0].strip() for item in overrides}
        (field, found), *others = [self._named(*finding, given) for finding in findings]
        more = [f"{other}: {text}" for other, text in others]
        raise ConfigError(field, "\n".join([found, *more]))

    def _named(self, field: str, text: str, given: set[str]) -> tuple[str, str]:
        origin = None if field in given else self.native.origin_of(field)
        return (field, text) if origin is None else (origin, f"{text} (It becomes {field}.)")

    def text(self) -> str:
        """The native config as YAML: notes first, behind each field where it came from."""
        lines = [f"# fastpty reconstruction, converted from {self.source.name} (PtyRAD)."]
        if self.notes:
            lines.append("# To be known:")
            lines += [f"# - {note.field}: {note.text}" for note in self.notes]
        lines += [
            "# `fastpty schema` and the guide say what each field means; what is left out here has",
            "# its default.",
            "",
        ]
        lines += self._lines(self.content, "", "")
        return "\n".join(lines) + "\n"

    def _lines(self, section: Mapping[str, Any], path: str, indent: str) -> list[str]:
        lines = []
        for name, value in section.items():
            field = f"{path}{name}"
            origin = self.native.origins.get(field)
            if isinstance(value, Mapping) and origin is None:
                lines.append(f"{indent}{name}:")
                lines += self._lines(value, f"{field}.", indent + "  ")
                continue
            if origin is None:  # a list, whose items have their own
                lines.append(f"{indent}{name}:")
                for index, item in enumerate(value):
                    origin = self.native.origins[f"{field}.{index}"]
                    lines.append(_commented(f"{indent}  - {_flow(item)}", origin))
                continue
            lines.append(_commented(f"{indent}{name}: {_flow(value)}", origin))
        return lines


def _commented(text: str, origin: str) -> str:
    return f"{text:<{_COLUMN - 1}} # {origin}"


def _flow(value: Any) -> str:
    """A value in one line, its keys in their order."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    return inline(value)


def convert(content: Mapping[str, Any], path: Path) -> Converted:
    """Map every field of a PtyRAD file, PtyRAD's defaults where one is left out.

    Parameters
    ----------
    content : of the file, as :func:`read_config_file` gives it.
    path : of the file: its name names the output, its folder is a second place to look for data.

    Raises
    ------
    ConfigError : a field that PtyRAD does not have, a value that it refuses, or one without which
        the result would be wrong and that cannot be taken here.
    """
    present, notes = modern(content)
    params = validate_config(PtyRADParams, present)
    native = Native(notes=notes)
    init, recon = params.init_params, params.recon_params
    paths = Paths(native, path.parent)
    map_data(init, native, paths)
    shape = map_preparation(init, native)
    map_beam(init, native)
    map_calibration(init, native)
    map_scan(init, native, paths)
    map_object(init, native)
    map_tilt(init, native, paths)
    map_probe(init, native, paths)
    map_start(init, native, paths)
    map_losses(params.loss_params, native)
    map_constraints(params.constraint_params, native)
    map_batches(params, native, shape)
    map_optimiser(params.model_params, native)
    map_rates(params, native)
    map_output(init, recon, native, path.stem)
    if params.hypertune_params.if_hypertune:
        native.note(
            "hypertune_params.if_hypertune",
            "is true, but one reconstruction is made, with the parameters as they are; fastpty "
            "tune searches, with this config as its base (docs/tuning.md).",
        )
    if recon.compiler_configs is not None and recon.compiler_configs.enable:
        native.note("recon_params.compiler_configs", "is ignored: the kernels are compiled.")
    return Converted(path, native)
