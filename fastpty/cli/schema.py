"""The command ``fastpty schema``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fastpty.cli.common import Debug
from fastpty.errors import FastptyError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["schema"]


def schema(
    of: Annotated[str, typer.Argument(help="recon, simulate, tune or ablate")] = "recon",
    debug: Debug = False,
) -> None:
    """Print the JSON schema of a config, for editors."""
    from fastpty.config import ReconConfig
    from fastpty.simulate import SimulateConfig
    from fastpty.tune import AblateConfig, TuneConfig

    models: dict[str, type[BaseModel]] = {
        "recon": ReconConfig,
        "simulate": SimulateConfig,
        "tune": TuneConfig,
        "ablate": AblateConfig,
    }
    if of not in models:
        raise FastptyError("schema", f"must be one of {', '.join(models)}, got {of!r}.")
    typer.echo(json.dumps(models[of].model_json_schema(), indent=2))
