"""Typed configuration: unknown keys are refused, every field has a unit and a rule."""

from fastpty.config.load import (
    apply_overrides,
    load_config,
    read_yaml,
    resolve_path,
    validate_config,
)
from fastpty.config.recon import ReconConfig

__all__ = [
    "ReconConfig",
    "apply_overrides",
    "load_config",
    "read_yaml",
    "resolve_path",
    "validate_config",
]
