"""PtyRAD's files as they are, in each of their formats."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from fastpty.config import ReconConfig, read_yaml, validate_config
from fastpty.config.base import sections_of
from fastpty.errors import ConfigError, DataError
from fastpty.ptyrad import convert, is_ptyrad, read_config_file
from fastpty.ptyrad.schema import PtyRADParams
from tests.ptyrad.cases import MINIMAL, changed, converted

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ptyrad.md"

# With values that PtyRAD's own examples have, in the notations of its pages.
YAML = """
init_params:
    random_seed            : 42
    probe_kv               : 300
    probe_conv_angle       : 21.4
    probe_aberrations      : {'C10': 200}
    meas_Npix              : 256
    pos_N_scan_slow        : 64
    pos_N_scan_fast        : 64
    pos_scan_step_size     : 0.410
    obj_Nlayer             : 21
    obj_slice_thickness    : 10
    meas_crop              : [null,null,[68,188],[68,188]]
    meas_params            : {'path': 'data/sample.mat', 'key': 'dp'}
model_params:
    update_params:
        obja: {'start_iter': 1, 'lr': 5.0e-4}
        objp: {'start_iter': 2, 'lr': 5e-4}
constraint_params:
    mirrored_amp  : {'start_iter': 1, 'step': 1, 'end_iter': null, 'relax': 0.1}
"""
TOML = """
[init_params]
random_seed = 42
probe_kv = 300
probe_conv_angle = 21.4
probe_aberrations = {C10 = 200}
meas_Npix = 256
pos_N_scan_slow = 64
pos_N_scan_fast = 64
pos_scan_step_size = 0.410
obj_Nlayer = 21
obj_slice_thickness = 10
meas_crop = [[0, 64], [0, 64], [68, 188], [68, 188]]
meas_params = {path = "data/sample.mat", key = "dp"}
[model_params.update_params]
obja = {start_iter = 1, lr = 5.0e-4}
objp = {start_iter = 2, lr = 5e-4}
[constraint_params.mirrored_amp]
start_iter = 1
relax = 0.1
"""


def config_of(path: Path, text: str) -> ReconConfig:
    path.write_text(text, encoding="utf-8")
    content = read_config_file(path)
    assert is_ptyrad(content)
    return convert(content, path).config()


def test_yaml_json_and_toml_say_the_same(tmp_path: Path) -> None:
    of_yaml = config_of(tmp_path / "p.yaml", YAML)
    assert of_yaml.optimise.phase.start == 2
    assert of_yaml.optimise.phase.lr == 5e-4
    text = json.dumps(yaml.safe_load(YAML))
    assert config_of(tmp_path / "p.json", text) == of_yaml
    of_toml = config_of(tmp_path / "p.toml", TOML)
    # TOML has no null: the whole scan is a range there.
    assert of_toml.preprocess[0].model_dump(exclude={"rows", "columns"}) == (
        of_yaml.preprocess[0].model_dump(exclude={"rows", "columns"})
    )
    assert of_toml.model_dump(exclude={"preprocess"}) == of_yaml.model_dump(exclude={"preprocess"})


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.json", "{", "not valid JSON"),
        ("p.toml", "a = ", "not valid TOML"),
        ("p.json", "[1]", "must hold a mapping"),
        ("p.py", "x = 1", "Python program"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        read_config_file(path)


@pytest.mark.parametrize("name", ["p.json", "p.toml", "p.yaml"])
def test_a_file_that_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_config_file(tmp_path / name)


def test_a_file_is_known_by_its_sections() -> None:
    assert is_ptyrad(MINIMAL)
    assert is_ptyrad({"recon_params": {}})
    assert not is_ptyrad({"data": {"path": "x.h5"}, "scan": {"step": 1}})


def test_a_copy_that_ptyrad_saved() -> None:
    """It adds where the file was."""
    content = {**changed(), "params_path": "params.yaml"}
    assert convert(content, Path("params.yaml")).config() == converted().config()


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {
            "init": {
                "meas_flipT": [1, 0, 0],
                "meas_crop": [None, None, [2, 22], [2, 22]],
                "pos_scan_affine": [1.02, 0.01, 33.3, 0.7],
                "probe_aberrations": {"defocus": 1e-5, "A1": 3, "A1phi": 7},
                "probe_source": "PtyRAD",
                "probe_params": "/a b/m: #1.hdf5",
            },
            "model": {"scheduler_params": {"name": "CosineAnnealingLR", "configs": {"T_max": 9}}},
            "loss": {"loss_pacbed": {"state": True}},
            "recon": {"INDICES_MODE": {"mode": "sub"}, "SAVE_ITERS": None},
        },
    ],
)
def test_the_text_reads_back_as_the_same_config(tmp_path: Path, sections: dict[str, Any]) -> None:
    result = converted(**sections)
    path = tmp_path / "native.yaml"
    path.write_text(result.text(), encoding="utf-8")
    assert validate_config(ReconConfig, read_yaml(path)) == result.config()


def test_the_text_says_where_a_field_came_from_and_what_is_to_be_known() -> None:
    text = converted(init={"meas_export": True, "meas_flipT": [0, 1, 0]}).text()
    assert "\n# - init_params.meas_export: is not written.\n" in text
    for line in (
        r"  energy_kv: 300.0 +# init_params.probe_kv",
        r"  - \{step: flip, of: pattern, .*\} # init_params.meas_flipT",
        r"    power: 0.5 +# loss_params.loss_single.dp_pow",
    ):
        assert re.search(f"^{line}$", text, re.MULTILINE), line


def leaves(model: type[BaseModel], path: str = "") -> list[str]:
    """Every field that holds no section, dotted."""
    found = []
    for name, field in model.model_fields.items():
        inner = sections_of(field.annotation)
        for section in inner:
            found += leaves(section, f"{path}{name}.")
        if not inner:
            found.append(f"{path}{name}")
    return found


def covers(row: str, field: str) -> bool:
    """A star stands for one name."""
    pattern = r"\.".join(r"\w+" if part == "*" else re.escape(part) for part in row.split("."))
    return re.fullmatch(pattern, field) is not None


@pytest.mark.skipif(not PAGE.is_file(), reason="needs a source checkout")
def test_the_page_has_a_row_for_every_field() -> None:
    rows, section = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"### `(\w+)`", line):
            section = heading[1]
        elif row := re.match(r"\| `([\w.*]+)` \|", line):
            rows.append(f"{section}.{row[1]}")
    fields = leaves(PtyRADParams)
    assert [field for field in fields if not any(covers(row, field) for row in rows)] == []
    assert [row for row in rows if not any(covers(row, field) for field in fields)] == []
    assert len(set(rows)) == len(rows)
