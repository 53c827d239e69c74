"""The list of steps: which are known, what each refuses, in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastpty.config import ReconConfig, validate_config
from fastpty.config.base import variants_of
from fastpty.errors import ConfigError
from fastpty.measurements.preprocess import STEPS
from tests.config.complete import COMPLETE, check

SECTIONS = variants_of(ReconConfig.model_fields["preprocess"].annotation)
#: The least that each step must be told.
LEAST: dict[str, dict[str, Any]] = {
    "permute": {"axes": ["slow", "fast", "x", "y"]},
    "reshape": {"scan_shape": [2, 3]},
    "flip": {"flip_x": True},
    "crop": {"size": 64},
    "bin": {"factor": 2},
    "pad": {"size": 128},
    "resample": {"factor": 2},
    "source_size": {"std": 0.3},
    "detector_blur": {"std": 0.5},
    "poisson_noise": {"electrons_per_pattern": 1e4},
}


def with_step(name: str, **fields: Any) -> Any:
    steps = [{"step": name, **LEAST.get(name, {}), **fields}]
    return validate_config(ReconConfig, {**COMPLETE, "preprocess": steps}).preprocess[0]


def test_every_section_has_its_function() -> None:
    assert list(SECTIONS) == list(STEPS)
    for name, section in SECTIONS.items():
        assert section.model_fields["step"].annotation.__args__ == (name,)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_step_reads_back_from_what_is_saved(name: str) -> None:
    section = with_step(name)
    assert type(section) is SECTIONS[name]
    again = validate_config(
        ReconConfig, {**COMPLETE, "preprocess": [json.loads(section.model_dump_json())]}
    )
    assert again.preprocess == [section]


def test_steps_are_set_on_the_command_line() -> None:
    config = check("preprocess=[{step: flip, flip_x: on}, {step: crop, size: [4, 6]}]")
    assert [step.step for step in config.preprocess] == ["flip", "crop"]
    assert check().preprocess == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[{step: crp}]", r"^preprocess\.0: step 'crp' is unknown\. Did you mean 'crop'"),
        ("[{step: zzz}]", r"^preprocess\.0: step 'zzz' is unknown\. Known: permute, reshape, "),
        ("[{size: 4}]", r"^preprocess\.0: must be a mapping with the field step, a name; found"),
        ("[crop]", r"^preprocess\.0: must be a mapping with the field step, a name; found 'crop'"),
        ("{step: crop}", r"^preprocess: must be a list; found"),
        (
            "[{step: flip, flip_x: on}, {step: crop, siz: 4}]",
            r"^preprocess\.1\.crop\.siz: unknown key\. Did you mean 'size'",
        ),
        ("[{step: crop, size: 0}]", r"^preprocess\.0\.crop\.size: must be at least 1; found 0"),
        ("[{step: crop, y: [0, x]}]", r"^preprocess\.0\.crop\.y\.1: must be a whole number"),
        ("[{step: bin}]", r"^preprocess\.0\.bin\.factor: is required and missing"),
        (
            "[{step: hot_pixels, mask: m.npy}]",
            r"^preprocess\.0\.hot_pixels\.mask: must be a mapping with the fields path, dataset",
        ),
        (
            "[{step: hot_pixels, mask: {pth: m}}]",
            r"^preprocess\.0\.hot_pixels\.mask\.path: is required",
        ),
        ("[{step: bin, factor: on}]", r"^preprocess\.0\.bin\.factor: cannot be switched on or off"),
    ],
)
def test_messages_name_the_step_and_its_field(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(f"preprocess={value}")


@pytest.mark.parametrize("name", SECTIONS)
def test_unknown_keys_of_every_step(name: str) -> None:
    for field in list(SECTIONS[name].model_fields)[1:]:
        message = rf"^preprocess\.0\.{name}\.{field}x: unknown key\. Did you mean '{field}'"
        with pytest.raises(ConfigError, match=message):
            with_step(name, **{f"{field}x": 1})


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("permute", {"axes": ["y", "x"]}, "axes must be n, y, x or slow, fast, y, x, each once"),
        (
            "permute",
            {"axes": ["y", "x", "slow", "fast"]},
            r"must end with the pattern's, y and x; .* data\.axes",
        ),
        ("flip", {"flip_x": False}, "switch on at least one of flip_y, flip_x, transpose"),
        ("crop", {"size": None}, "give at least one of rows, columns, y, x, size"),
        ("crop", {"y": [0, 4]}, "give either size or y and x; found both"),
        ("crop", {"rows": [4, 4]}, r"rows = \[4, 4\] holds nothing"),
        ("crop", {"rows": [-1, 4]}, r"rows\.0: must be at least 0"),
        ("bin", {"factor": 1}, "factor = 1 sums nothing"),
        ("bin", {"factor": [1, 1]}, "factor = 1 sums nothing"),
        ("bin", {"factor": [0, 1]}, r"factor\.0: must be at least 1"),
        ("remove_negative", {"mode": "subtract"}, "mode subtract needs value"),
        ("remove_negative", {"mode": "clip_below"}, "mode clip_below needs value"),
        ("remove_negative", {"value": 1}, "value has no meaning with mode clip"),
        ("remove_negative", {"mode": "clip_below", "value": -1}, "value = -1 would leave negative"),
        ("hot_pixels", {"threshold": 0}, "threshold: must be greater than 0"),
        ("hot_pixels", {"contrast": 0.5}, "contrast: must be at least 1"),
        ("hot_pixels", {"radius": 0}, "radius: must be at least 1"),
        ("hot_pixels", {"radius": 17}, "radius: must be at most 16"),
        ("hot_pixels", {"find": "none", "dead": False}, "nothing to do: find is none"),
        ("hot_pixels", {"boxes": [[[1, 1], [0, 3]]]}, r"boxes = \[1, 1\] holds nothing"),
        ("background", {"model": "image"}, "model image needs image"),
        ("background", {"image": {"path": "a"}}, "image has no meaning with model constant"),
        ("background", {"model": "power", "value": 2}, "value has no meaning with model power"),
        ("background", {"value": -1}, "value: must be at least 0"),
        ("background", {"outside": 0}, "outside: must be greater than 0"),
        ("background", {"factor": 0}, "factor: must be greater than 0"),
        ("centre", {"at": [1]}, r"at\.1: is required"),
        ("normalise", {"to": "constant"}, "to: constant needs value"),
        ("normalise", {"to": "exposure"}, "to: exposure needs exposure"),
        ("normalise", {"value": 2}, "value has no meaning with to: pattern"),
        ("normalise", {"exposure": {"path": "a"}}, "exposure has no meaning with to: pattern"),
        ("pad", {"fill": "constant"}, "fill constant needs value"),
        ("pad", {"value": 2}, "value has no meaning with fill masked"),
        ("pad", {"percentile": 0}, "percentile: must be greater than 0"),
        ("pad", {"percentile": 101}, "percentile: must be at most 100"),
        ("resample", {"factor": 0}, "factor: must be greater than 0"),
        ("source_size", {"std": 0}, "std: must be greater than 0"),
        ("detector_blur", {"std": 0}, "std: must be greater than 0"),
        ("poisson_noise", {"electrons_per_A2": 4}, "give either electrons_per_pattern or .* both"),
        ("poisson_noise", {"electrons_per_pattern": None}, "give either .*; found none"),
        ("poisson_noise", {"seed": -1}, "seed: must be at least 0"),
    ],
)
def test_what_a_step_refuses(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^preprocess\.0\.{name}.*{message}"):
        with_step(name, **fields)
