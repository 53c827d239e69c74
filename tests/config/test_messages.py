"""pydantic's findings, in words that a user of the config file understands."""

from __future__ import annotations

import pytest

from fastpty.config import ReconConfig, validate_config
from fastpty.errors import ConfigError
from fastpty.simulate import SimulateConfig
from tests.config.complete import check


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scan.step=abc", "scan.step: must be a number or a list; found 'abc'. It means: raster"),
        ("scan.step=[1, x]", "scan.step.1: must be a number; found 'x'."),
        ("calibration.pixel_size=[1, 2, 3]", "calibration.pixel_size: must be a list of at most 2"),
        ("calibration.pixel_size=-1", "calibration.pixel_size: must be greater than 0; found -1."),
        ("calibration.pixel_size=[1, -1]", "calibration.pixel_size.1: must be greater than 0"),
        (
            "calibration={disc_radius_px: fti}",
            "calibration.disc_radius_px: must be a number or 'fit'; found 'fti'.",
        ),
        ("calibration={disc_radius_px: -2}", "calibration.disc_radius_px: must be greater than 0"),
        ("output.snapshots=[final, x]", "output.snapshots.1: must be a whole number or 'final'"),
        ("output.snapshots=[0, -1]", "output.snapshots.1: must be at least 0; found -1."),
        ("output.snapshots=3", "output.snapshots: must be a list; found 3."),
        ("output.figures=3", "output.figures: must be true or false; found 3."),
        ("scan.affine=[[1, 0], [0, x]]", "scan.affine.1.1: must be a number; found 'x'."),
        ("scan.affine=[[1, 0], [1]]", "scan.affine.1.1: is required and missing."),
        ("data.scan_shape=4", "data.scan_shape: must be a list; found 4."),
        ("data.scan_shape=[2.5, 3]", "data.scan_shape.0: must be a whole number; found 2.5."),
        ("data.path=null", "data.path: must be text; found nothing. It means: file"),
        ("data.mask=m.npy", "data.mask: must be a mapping with the fields path, dataset; found"),
        ("data=null", "data: is needed and cannot be off. Give its fields: path, dataset"),
        ("object=off", "object: is needed and cannot be off. Leave it out for its defaults."),
        ("optimise.phase=off", "optimise.phase: is needed and cannot be off. Leave it out"),
        ("beam.aberrations=3", "beam.aberrations: must be a mapping of names to values; found 3."),
        ("beam.aberrations.Cs=x", "beam.aberrations.Cs: must be a number; found 'x'."),
        ("units=px", "units: must be 'angstrom' or 'pixel'; found 'px'."),
        ("optimise.iterations=1.5", "optimise.iterations: must be a whole number; found 1.5."),
    ],
)
def test_one_finding_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(override)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert "Input should" not in str(caught.value)


def test_several_findings_one_a_line() -> None:
    with pytest.raises(ConfigError) as caught:
        check("beam.energy_kv=-1", "optimise.iteratons=3", "scn.x=3", "data={}")
    lines = str(caught.value).splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == [
        "beam.energy_kv",
        "data.path",
        "optimise.iteratons",
        "scn",
    ]
    assert caught.value.field == lines[0].split(": ")[0]


def test_keys_that_are_no_text() -> None:
    """YAML reads the key ``off`` as a switch."""
    message = r"scan\.False: a key must be text\. Quote it"
    with pytest.raises(ConfigError, match=message):
        validate_config(ReconConfig, {"scan": {False: 1, "step": 1}})


def test_other_schemas() -> None:
    """The messages are read from the schema that is checked, whichever it is."""
    with pytest.raises(
        ConfigError, match=r"optics\.energy: unknown key\. Did you mean 'energy_kv'"
    ):
        validate_config(SimulateConfig, {"optics": {"energy": 300}})
