"""Generated config files: valid, whole, and refused while something is to be filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.config import ReconConfig, read_yaml, validate_config
from fastpty.config.base import variants_of
from fastpty.config.data import DataConfig
from fastpty.config.init import data_section, initial_config
from fastpty.config.load import parse_value
from fastpty.config.template import MISSING, write_template
from fastpty.errors import ConfigError
from fastpty.io import RawScan
from tests.config.complete import COMPLETE
from tests.config.test_rules import FIELDS

STEPS = variants_of(ReconConfig.model_fields["preprocess"].annotation)

METADATA = {
    "energy_kv": 300.0,
    "semiangle_mrad": 20.0,
    "pixel_size_A": [0.2, 0.25],
    "scan_step_A": 0.5,
    "thickness_A": 78.1,
}


def section_of(path: str = "d.h5", **options: Any) -> DataConfig:
    return data_section(Path(path), options, [])


def scan_of(shape: tuple[int, int] | None = (3, 4), **others: Any) -> RawScan:
    count = shape[0] * shape[1] if shape else 12
    return RawScan(
        "d.h5:/a/b", (count, 8, 8), np.dtype("u2"), lambda a, b: np.zeros(0), shape, **others
    )


def test_every_field_appears_in_its_place() -> None:
    text = write_template(ReconConfig, COMPLETE, "title")
    text = re.sub(
        r"(?m)^# - step:.*\n(#   .*\n)+", "", text
    )  # items, which have no place of theirs
    while (plain := re.sub(r"(?m)^([ #]*)# ( *\w+:)", r"\1\2", text)) != text:
        text = plain
    content = parse_value(text)
    for name, _ in FIELDS:
        inner = content
        for part in name.split("."):
            assert part in inner, name
            inner = inner[part]


@pytest.mark.parametrize("name", STEPS)
def test_every_field_of_a_step_appears_below_the_list(name: str) -> None:
    text = write_template(ReconConfig, COMPLETE, "title").split("preprocess: []")[1]
    (block,) = re.findall(rf"(?m)^# - step: {name} .*\n(?:#   .*\n)*", text)
    plain = re.sub(r"(?m)^# ?", "", block)
    while (bare := re.sub(r"(?m)^( *)# ( *\w+:)", r"\1\2", plain)) != plain:
        plain = bare
    (content,) = parse_value(plain)
    assert set(content) == set(STEPS[name].model_fields)
    assert all(field.description for field in STEPS[name].model_fields.values())


def test_a_complete_template_reads_back() -> None:
    text = write_template(ReconConfig, COMPLETE, "title")
    assert validate_config(ReconConfig, parse_value(text)) == validate_config(ReconConfig, COMPLETE)


def test_title_and_descriptions_are_comments() -> None:
    text = write_template(ReconConfig, COMPLETE, "one\ntwo")
    assert text.startswith("# one\n# two\n")
    (line,) = [line for line in text.splitlines() if "energy_kv" in line]
    assert line.startswith("  energy_kv: 300 ")
    assert line.endswith(" # accelerating voltage, kV")


def uncommented(text: str, name: str) -> str:
    """The optional section ``name``, taken out of its comment, with what is indented below it."""
    lines = text.splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.startswith(f"  # {name}:")]
    for i in range(start, len(lines)):
        if i > start and not lines[i].startswith("  #   "):
            break
        lines[i] = lines[i].replace("# ", "", 1)
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["amplitude_clamp", "positive_phase"])
def test_an_optional_section_can_be_uncommented(name: str) -> None:
    text = write_template(ReconConfig, COMPLETE, "title")
    assert getattr(validate_config(ReconConfig, parse_value(text)).constraints, name) is None
    config = validate_config(ReconConfig, parse_value(uncommented(text, name)))
    section = getattr(config.constraints, name)
    assert section == type(section)()


def test_a_required_field_of_an_optional_section_is_asked_for() -> None:
    """Uncommenting ``mask`` alone must not pass for a mask."""
    text = uncommented(write_template(ReconConfig, COMPLETE, "title"), "mask")
    with pytest.raises(ConfigError, match=r"^data\.mask\.path: must be text; found nothing"):
        validate_config(ReconConfig, parse_value(text))


@settings(derandomize=True, max_examples=60)
@given(
    path=st.one_of(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
        st.sampled_from(
            [
                "1e-4",
                "a #b",
                "a: b",
                "off",
                "null",
                "12",
                "~",
                "- a",
                "x" * 60,
                "'",
                '"',
                "a b",
                "=",
            ]
        ),
    )
)
def test_any_value_reads_back(path: str) -> None:
    """Long values, and texts that YAML would take for something else."""
    text = write_template(ReconConfig, COMPLETE | {"data": {"path": path}}, "title")
    assert parse_value(text)["data"]["path"] == path


def test_a_long_value_keeps_its_comment_apart() -> None:
    text = write_template(ReconConfig, COMPLETE | {"data": {"path": "x" * 200}}, "title")
    (line,) = [line for line in text.splitlines() if "xxx" in line]
    assert line.startswith(f"  path: {'x' * 200} # file")


def test_missing_values_are_marked_and_refused() -> None:
    beam = {"energy_kv": MISSING, "semiangle_mrad": MISSING}
    text = write_template(ReconConfig, COMPLETE | {"beam": beam}, "title")
    assert text.count("# FILL IN: ") == 2
    with pytest.raises(ConfigError) as caught:
        validate_config(ReconConfig, parse_value(text))
    for name in ("beam.energy_kv", "beam.semiangle_mrad"):
        assert f"{name}: must be a number; found nothing." in str(caught.value)


def test_initial_config_of_a_file_that_says_all(tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    scan = scan_of(metadata=METADATA, dataset="a/b")
    target.write_text(initial_config(Path("/data/d.h5"), scan, section_of()))
    config = validate_config(ReconConfig, read_yaml(target))
    assert config.data.path == "/data/d.h5"
    assert config.data.dataset == "a/b"
    assert config.beam.energy_kv == METADATA["energy_kv"]
    assert config.calibration.pixel_size == (0.2, 0.25)
    assert config.object.slices * config.object.thickness == METADATA["thickness_A"]
    assert config.truth is None


def test_initial_config_of_a_simulation() -> None:
    scan = scan_of(metadata=METADATA | {"format": "fastpty-4dstem"})
    content = parse_value(initial_config(Path("/data/d.h5"), scan, section_of()))
    assert content["truth"] == "/data/d.h5"


@pytest.mark.parametrize("shape", [(3, 4), None])
def test_initial_config_of_a_file_that_says_nothing(shape: tuple[int, int] | None) -> None:
    text = initial_config(Path("/data/12:30.npy"), scan_of(shape), section_of())
    filled = {line.split(":")[0].strip() for line in text.splitlines() if "FILL IN:" in line}
    unknown = {"energy_kv", "semiangle_mrad", "step"}
    assert filled == (unknown if shape else unknown | {"scan_shape"})
    content = parse_value(text)
    assert content["data"]["path"] == "/data/12:30.npy"
    assert "dataset" not in content["data"]
    assert content["calibration"]["disc_radius_px"] == "fit"
    with pytest.raises(ConfigError, match=r"beam\.energy_kv: must be a number; found nothing"):
        validate_config(ReconConfig, content)


def test_initial_config_of_a_raster_that_the_user_names() -> None:
    """The file does not hold the shape, so the config must."""
    given = section_of(scan_shape=(3, 4))
    content = parse_value(initial_config(Path("d.npy"), scan_of((3, 4)), given))
    assert content["data"]["scan_shape"] == [3, 4]
    text = initial_config(Path("d.npy"), scan_of((3, 4)), section_of())
    assert "scan_shape" not in parse_value(text)["data"]


def test_initial_config_keeps_what_was_needed_to_open_the_file() -> None:
    given = section_of("d.raw", pattern_shape=(8, 8), dtype=">u2", gap=4)
    text = initial_config(Path("/data/d.raw"), scan_of((3, 4)), given)
    content = parse_value(text)["data"]
    assert {name: content[name] for name in ("pattern_shape", "dtype", "gap")} == {
        "pattern_shape": [8, 8],
        "dtype": ">u2",
        "gap": 4,
    }


@pytest.mark.parametrize(
    ("known", "field", "value"),
    [
        ({"dk_invA": 0.01}, "dk", 0.01),
        ({"mrad_per_pixel": 0.5}, "mrad_per_pixel", 0.5),
        ({"dk_invA": 0.01, "pixel_size_A": 0.2}, "pixel_size", 0.2),
    ],
)
def test_initial_config_takes_the_scale_that_the_file_has(
    known: dict[str, float], field: str, value: float
) -> None:
    text = initial_config(Path("d.h5"), scan_of(metadata=known), section_of())
    assert parse_value(text)["calibration"] == {field: value, "of": "recorded"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("beam.energy_kv=300", r"^beam: unknown key\. .*data"),
        ("data.gap=x", r"^data\.gap: must be a whole number"),
    ],
)
def test_a_wrong_section_for_a_file_without_a_config(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_section(Path("d.raw"), {}, [override])


@pytest.mark.parametrize(("form", "negative"), [("empad", "clip"), ("other", "refuse")])
def test_initial_config_of_a_detector_with_negative_counts(form: str, negative: str) -> None:
    content = parse_value(
        initial_config(Path("d.raw"), scan_of(metadata={"format": form}), section_of())
    )
    assert content["data"]["negative"] == negative


@pytest.mark.parametrize("value", ["300 kV", [1.0, 2.0, 3.0], float("nan"), None, [80.0], True])
def test_attributes_of_another_meaning_are_left_out(value: object) -> None:
    """Another program's file may use a name for something else."""
    text = initial_config(
        Path("d.h5"), scan_of(metadata=dict.fromkeys(METADATA, value)), section_of()
    )
    assert "energy_kv:" in text
    assert {"energy_kv", "semiangle_mrad", "step"} == {
        line.split(":")[0].strip() for line in text.splitlines() if "FILL IN:" in line
    }


@pytest.mark.parametrize(("side", "batch"), [(5, 8), (24, 9), (40, 25), (200, 32)])
def test_initial_config_gives_small_scans_small_batches(side: int, batch: int) -> None:
    scan = scan_of((side, side))
    assert (
        parse_value(initial_config(Path("d.h5"), scan, section_of()))["optimise"]["batch_size"]
        == batch
    )
