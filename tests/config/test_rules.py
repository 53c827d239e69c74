"""Every rule of the schema: what is refused, in which words, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from fastpty.config import ReconConfig, apply_overrides
from fastpty.config.base import sections_of
from fastpty.constraints import CONSTRAINTS
from fastpty.errors import ConfigError
from tests.config.complete import COMPLETE, IN_PIXELS, check


def test_the_smallest_configs_are_complete() -> None:
    assert check().units == "angstrom"
    assert check(base=IN_PIXELS).beam is None


@pytest.mark.parametrize(
    ("field", "low"),
    [
        ("data.skip", "-1"),
        ("data.flyback", "-1"),
        ("data.offset", "-1"),
        ("data.gap", "-1"),
        ("data.leave_out", "-0.1"),
        ("data.half.seed", "-1"),
        ("beam.energy_kv", "0"),
        ("beam.semiangle_mrad", "0"),
        ("calibration.pixel_size", "0"),
        ("scan.step", "0"),
        ("scan.jitter_px", "-0.1"),
        ("object.slices", "0"),
        ("object.thickness", "0"),
        ("object.margin", "-1"),
        ("object.modes", "0"),
        ("object.mode_phase", "-0.1"),
        ("optimise.tilt.lr", "-0.1"),
        ("probe.modes", "0"),
        ("probe.mode_power", "0"),
        ("loss.gaussian.weight", "0"),
        ("loss.gaussian.power", "0"),
        ("probe.source_size", "-0.1"),
        ("probe.source_points", "1"),
        ("detector.blur", "-0.1"),
        ("loss.gaussian.eps", "1e-16"),
        ("loss.poisson.weight", "0"),
        ("loss.poisson.power", "0"),
        ("loss.poisson.eps", "0"),
        ("loss.pacbed.weight", "0"),
        ("loss.pacbed.power", "0"),
        ("loss.pacbed.eps", "1e-16"),
        ("loss.sparse.weight", "0"),
        ("loss.sparse.power", "0.9"),
        ("loss.similarity.weight", "0"),
        ("loss.similarity.blur", "-1"),
        ("constraints.blur_xy.std", "0"),
        ("constraints.blur_z.std", "0"),
        ("constraints.blur_z.every", "0"),
        ("constraints.probe_power.start", "0"),
        ("constraints.probe_power.stop", "0"),
        ("constraints.blur_xy.kernel_size", "0"),
        ("constraints.probe_aperture.radius", "-0.1"),
        ("constraints.probe_aperture.width", "0"),
        ("constraints.probe_aperture.power", "-0.1"),
        ("constraints.probe_support.radius", "0"),
        ("constraints.probe_support.order", "0"),
        ("constraints.probe_support.z_steps", "0"),
        ("constraints.lowpass_xy.radius", "-0.1"),
        ("constraints.lowpass_xy.width", "0"),
        ("constraints.missing_wedge.beta", "-0.1"),
        ("constraints.missing_wedge.alpha", "-0.1"),
        ("constraints.sparse_dct.keep", "0"),
        ("constraints.total_variation_xy.weight", "0"),
        ("constraints.total_variation_z.inner", "0"),
        ("constraints.remove_leakage.raster", "-0.1"),
        ("constraints.remove_leakage.raster_width", "0"),
        ("constraints.remove_leakage.raster_orders", "0"),
        ("constraints.complex_ratio.alpha1", "-0.1"),
        ("constraints.complex_ratio.alpha2", "-0.1"),
        ("constraints.mirrored_amplitude.relax", "-0.1"),
        ("constraints.mirrored_amplitude.scale", "-0.1"),
        ("constraints.mirrored_amplitude.power", "-0.1"),
        ("constraints.recentre_depth.percentile", "-0.1"),
        ("constraints.recentre_depth.scale", "-0.1"),
        ("constraints.recentre_depth.max_shift", "-0.1"),
        ("constraints.smooth_tilt.std", "0"),
        ("constraints.amplitude_clamp.low", "-0.1"),
        ("constraints.amplitude_clamp.high", "0"),
        ("optimise.iterations", "0"),
        ("optimise.batch_size", "0"),
        ("optimise.phase.lr", "-0.001"),
        ("optimise.phase.start", "0"),
        ("optimise.accumulate", "0"),
        ("optimise.schedule.warmup", "-1"),
        ("optimise.schedule.hold", "-1"),
        ("optimise.schedule.until", "0"),
        ("optimise.schedule.floor", "-0.1"),
        ("optimise.schedule.step", "0"),
        ("optimise.schedule.gamma", "0"),
        ("optimise.schedule.plateau", "0"),
        ("optimise.schedule.factor", "0"),
        ("optimise.probe.schedule.threshold", "-0.1"),
        ("convergence.patience", "0"),
        ("convergence.threshold", "0"),
        ("output.checkpoint_every", "0"),
        ("output.snapshot_patterns", "0"),
        ("memory", "0"),
    ],
)
def test_lower_bounds(field: str, low: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: must be (greater than|at least) .*{low}"):
        check(f"{field}={low}")


@pytest.mark.parametrize(
    ("field", "high", "words"),
    [
        ("data.leave_out", "0.6", "at most 0.5"),
        ("probe.mode_power", "1", "less than 1"),
        ("probe.source_points", "10", "at most 9"),
        ("loss.gaussian.power", "1.5", "at most 1"),
        ("loss.gaussian.eps", "2", "at most 1"),
        ("loss.poisson.power", "1.5", "at most 1"),
        ("loss.poisson.eps", "2", "at most 1"),
        ("loss.pacbed.power", "1.5", "at most 1"),
        ("loss.pacbed.eps", "2", "at most 1"),
        ("optimise.phase.lr", "1001", "at most 1000"),
        ("optimise.probe.lr", "1001", "at most 1000"),
        ("optimise.schedule.floor", "1.1", "at most 1"),
        ("optimise.schedule.gamma", "1", "less than 1"),
        ("optimise.schedule.factor", "1", "less than 1"),
        ("optimise.probe.schedule.threshold", "1", "less than 1"),
        ("convergence.threshold", "1", "less than 1"),
        ("output.snapshot_patterns", "65", "at most 64"),
        ("constraints.probe_aperture.power", "1.5", "at most 1"),
        ("constraints.sparse_dct.keep", "1.5", "at most 1"),
        ("constraints.remove_leakage.raster", "1.5", "at most 1"),
        ("constraints.remove_leakage.raster_orders", "9", "at most 8"),
        ("constraints.complex_ratio.alpha1", "1.5", "at most 1"),
        ("constraints.positive_phase.relax", "1.5", "at most 1"),
        ("constraints.recentre_depth.percentile", "101", "at most 100"),
        ("beam.energy_kv", ".inf", "a finite number"),
        ("beam.energy_kv", ".nan", "a finite number"),
        ("scan.rotation_deg", ".nan", "a finite number"),
    ],
)
def test_upper_bounds(field: str, high: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: must be {words}; found"):
        check(f"{field}={high}")


@pytest.mark.parametrize(
    "field", ["optimise.iterations", "optimise.phase.lr", "seed", "beam.energy_kv", "scan.step"]
)
@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_switch_is_no_number(field: str, switch: str) -> None:
    """Python takes true for 1; ``iterations: on`` is a slip."""
    with pytest.raises(ConfigError, match=f"^{field}: cannot be switched on or off; found"):
        check(f"{field}={switch}")


def test_a_switch_in_a_list_is_no_number() -> None:
    with pytest.raises(ConfigError, match=r"^output\.snapshots: cannot be switched"):
        check("output.snapshots=[0, on]")
    assert not check("output.figures=off").output.figures


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.axes=[y, x, y]"], r"^data\.axes: must be n, y, x or slow, fast, y, x, each once"),
        (
            ["data.axes=[slow, y, x]"],
            r"^data\.axes: must be n, y, x or slow, fast, y, x, each once",
        ),
        (["data.scan_shape=[0, 3]"], r"^data\.scan_shape\.0: must be at least 1; found 0"),
        (["data.pattern_shape=[3, 0]"], r"^data\.pattern_shape\.1: must be at least 1; found 0"),
        (["data.dtype=colour"], r"^data\.dtype: must be a type that numpy knows; found 'colour'"),
        (["data.dtype=complex64"], r"^data\.dtype: must be a type of real numbers"),
        (["calibration.dk=0.1"], r"^calibration: .*exactly one.*found pixel_size and dk"),
        (["calibration={}"], "^calibration: give exactly one .*; found none"),
        (["scan={}"], "^scan: give either step or positions; found none"),
        (["scan.positions={path: a.npy, unit: pixel}"], "^scan: .*; found both"),
        (["scan.positions={path: a.npy}"], r"^scan\.positions\.unit: is required"),
        (["scan.affine=[[1, 2], [2, 4]]"], "^scan: affine must be invertible, got"),
        (["object.slices=3"], "^object: thickness is needed for 3 slices"),
        (
            ["object={slices: 3, thickness: [5]}"],
            "^object: thickness has 1 values; 3 slices have 2",
        ),
        (
            ["object={slices: 3, thickness: [5, 6]}"],
            "^object: thickness is a list, one for each gap, but thickness_per is object; set it",
        ),
        (
            ["object={slices: 3, thickness: [5, 0], thickness_per: gap}"],
            r"^object\.thickness\.1: must be greater than 0; found 0",
        ),
        (["object.tilts.path=t.npy"], "^object: tilts are of each position, but tilt_per is scan"),
        (
            ["object={tilts: {path: t.npy}, tilt_per: position, tilt_mrad: [1, 0]}"],
            r"^object: tilts and tilt_mrad = \[1\.0, 0\.0\] are both given",
        ),
        (["object={modes: 2, occupancy: [1]}"], "^object: occupancy has 1 values, but modes is 2"),
        (["object={modes: 2, occupancy: [0, 0]}"], "^object: occupancy must have at least one"),
        (["object={modes: 2, occupancy: [1, -1]}"], r"^object\.occupancy\.1: must be at least 0"),
        (["object={modes: 2, mode_phase: 0}"], "^object: mode_phase is 0, so the 2 modes would"),
        (["probe.aberrations=[phi12]"], r"^probe\.aberrations: phi12 is an azimuth; name the coef"),
        (["probe.aberrations=[defoucs]"], r"^probe\.aberrations: unknown name 'defoucs'; did you"),
        (["probe.aberrations=[A1, C12a]"], r"^probe\.aberrations: C12a and A1 both move C12a"),
        (["start={file: a.h5, take: []}"], r"^start\.take: must be a list of at least 1"),
        (["start={file: a.h5, take: [mask]}"], r"^start\.take\.0: must be 'object', 'probe'"),
        (
            ["optimise.tilt.lr=0.1"],
            r"optimise\.tilt\.lr = 0\.1 would do nothing: a single slice \(object.slices = 1\)",
        ),
        (["optimise.thickness.lr=0.1"], r"optimise\.thickness\.lr = 0\.1 .*has no thickness"),
        (["optimise.occupancy.lr=0.1"], r"optimise\.occupancy\.lr = 0\.1 .*object.modes = 1"),
        (["optimise.aberrations.lr=0.1"], r"optimise\.aberrations\.lr .*probe.aberrations names"),
        (
            ["constraints.smooth_tilt=on"],
            r"constraints\.smooth_tilt would do nothing: object.tilt_per is scan; set it to",
        ),
        (["probe.modes=6", "probe.mode_power=0.2"], "^probe: mode_power 0.2 .*leaves 0 for"),
        (["constraints.blur_xy={start: 5, stop: 4}"], "stop = 4 is before start = 5"),
        (["optimise.probe={start: 5, stop: 4}"], r"^optimise\.probe: stop = 4 is before start = 5"),
        (
            ["constraints.amplitude_clamp={low: 1.1, high: 1.0}"],
            r"^constraints\.amplitude_clamp: low = 1\.1 must be below high = 1\.",
        ),
        (
            ["loss.gaussian=off"],
            "^loss: gaussian, poisson, pacbed are all off, so nothing is fitted .* switch one",
        ),
        (["loss.gaussian=off", "loss.sparse=on"], "^loss: gaussian, poisson, pacbed are all off"),
        (["loss.similarity.blocks=[1, 0, 1]"], r"^loss\.similarity\.blocks\.1: must be at least 1"),
        (
            ["constraints.blur_z.kernel_size=4"],
            r"^constraints\.blur_z\.kernel_size: must be odd, .* found 4",
        ),
        (
            ["constraints.probe_support.z_range=[5, -5]"],
            r"^constraints\.probe_support: z_range = \[5\.0, -5\.0\] must ascend",
        ),
        (
            ["constraints.remove_leakage.amplitude=on"],
            r"^constraints: remove_leakage\.amplitude .* probe_power takes back; switch one",
        ),
        (
            ["constraints.remove_leakage.phase=on", "constraints.positive_phase=on"],
            r"^constraints: remove_leakage\.phase .* positive_phase changes it; switch one",
        ),
        (["beam.aberrations.defoucs=5"], r"^beam\.aberrations: unknown name 'defoucs'; did you"),
        (["beam.aberrations={C10: 1, defocus: 1}"], r"^beam\.aberrations: .* both set C10"),
        (["beam=null"], "beam is needed; without lengths use units: pixel"),
        (["calibration=null"], "calibration is needed"),
    ],
)
def test_rules_that_join_fields(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["beam={energy_kv: 300, semiangle_mrad: 20}"], "beam has no meaning with units: pixel"),
        (["calibration.dk=1"], "calibration has no meaning"),
        (["truth=data.h5"], "truth has no meaning"),
        (["probe.start=null"], r"probe\.start is needed with units: pixel"),
        (["probe.aberrations=[defocus]"], r"probe\.aberrations has no meaning"),
        (["optimise.tilt.lr=1"], r"optimise\.tilt\.lr = 1 would do nothing: a single slice"),
        (["optimise.thickness.lr=1"], r"optimise\.thickness\.lr = 1 would do nothing"),
        (["constraints.probe_support=on"], r"probe_support\.z_range must be null"),
        (["object={slices: 2, thickness: 5}"], r"object\.slices = 2 needs units: angstrom"),
        (
            ["scan={positions: {path: a.npy, unit: angstrom}}"],
            r"scan\.positions\.unit must be pixel",
        ),
    ],
)
def test_pixel_units(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(*overrides, base=IN_PIXELS)


def test_in_pixel_units_an_earlier_probe_will_do() -> None:
    begun = ["probe.start=null", "start.file=a.h5"]
    assert check(*begun, base=IN_PIXELS).probe.start is None
    with pytest.raises(ConfigError, match=r"probe\.start is needed with units: pixel"):
        check(*begun, "start.take=[object]", base=IN_PIXELS)


def test_bounds_that_touch_are_allowed() -> None:
    config = check(
        "constraints.blur_xy={start: 5, stop: 5}",
        "optimise.probe={start: 5, stop: 5}",
        "constraints.probe_support.z_range=[7, 7]",
        "constraints.remove_leakage={amplitude: on, phase: on}",
        "constraints.probe_power=off",
        "loss.gaussian.power=1",
        "object.margin=0",
    )
    assert config.constraints.blur_xy.stop == config.constraints.blur_xy.start


CONSTRAINT_NAMES = list(CONSTRAINTS)
WITH_TILTS = apply_overrides(COMPLETE, ["object.tilt_per=position"])


@pytest.mark.parametrize("name", CONSTRAINT_NAMES)
@pytest.mark.parametrize("off", ["off", "false", "no", "null", "", "~"])
def test_off_switches_a_constraint_off(name: str, off: str) -> None:
    assert getattr(check(f"constraints.{name}={off}").constraints, name) is None


@pytest.mark.parametrize("name", CONSTRAINT_NAMES)
@pytest.mark.parametrize("given", ["on", "true", "{}"])
def test_on_means_its_defaults(name: str, given: str) -> None:
    section = getattr(check(f"constraints.{name}={given}", base=WITH_TILTS).constraints, name)
    assert section == type(section)()


@pytest.mark.parametrize("name", CONSTRAINT_NAMES)
def test_a_part_keeps_the_other_defaults(name: str) -> None:
    section = getattr(check(f"constraints.{name}.every=3", base=WITH_TILTS).constraints, name)
    assert section == type(section)(every=3)


@pytest.mark.parametrize("name", CONSTRAINT_NAMES)
def test_other_constraints_stay_as_they_are(name: str) -> None:
    config = check(f"constraints.{name}={{every: 3}}", base=WITH_TILTS)
    changed = config.constraints.model_dump(exclude={name})
    assert changed == check().constraints.model_dump(exclude={name})


@pytest.mark.parametrize("name", ["poisson", "pacbed", "sparse", "similarity"])
@pytest.mark.parametrize("given", ["on", "{}"])
def test_a_loss_is_switched_like_a_constraint(name: str, given: str) -> None:
    assert getattr(check().loss, name) is None
    section = getattr(check(f"loss.{name}={given}").loss, name)
    assert section == type(section)()
    assert getattr(check(f"loss.{name}.weight=2").loss, name) == type(section)(weight=2)
    off = check(f"loss.{name}={{weight: 2}}", f"loss.{name}=off")
    assert getattr(off.loss, name) is None


@pytest.mark.parametrize("other", ["poisson", "pacbed"])
def test_the_gaussian_loss_may_be_replaced(other: str) -> None:
    assert check().loss.gaussian is not None
    assert check("loss.gaussian=off", f"loss.{other}=on").loss.gaussian is None


@pytest.mark.parametrize("value", ["3", "yes please", "[1]"])
def test_a_constraint_is_a_mapping_or_a_switch(value: str) -> None:
    message = (
        r"^constraints\.blur_xy: must be a mapping with the fields start, stop, every, of, ker"
    )
    with pytest.raises(ConfigError, match=message):
        check(f"constraints.blur_xy={value}")


def fields_of(model: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, field in model.model_fields.items():
        found.append((prefix + name, field))
        for section in sections_of(field.annotation):
            found += fields_of(section, f"{prefix}{name}.")
    return found


FIELDS = fields_of(ReconConfig)


@pytest.mark.parametrize("name", [name for name, field in FIELDS if sections_of(field.annotation)])
def test_unknown_keys_at_every_depth(name: str) -> None:
    base = IN_PIXELS if name == "probe.start" else COMPLETE
    with pytest.raises(ConfigError, match=rf"{name}\.qqqqq: unknown key\. Known: \w+"):
        check(f"{name}.qqqqq=1", base=base)


@pytest.mark.parametrize("name", [name for name, _ in FIELDS])
def test_a_slip_of_the_pen_at_every_depth(name: str) -> None:
    head, dot, last = name.rpartition(".")
    message = rf"{head}{dot}{last}x: unknown key\. Did you mean '{last}'\?"
    with pytest.raises(ConfigError, match=message):
        check(f"{name}x=1")


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[name for name, _ in FIELDS])
def test_every_field_is_described(name: str, field: Any) -> None:
    assert field.description


def test_json_schema() -> None:
    """Editors get every section with its descriptions."""
    schema = ReconConfig.model_json_schema()
    assert set(schema["properties"]) == set(ReconConfig.model_fields)
    assert schema["additionalProperties"] is False
    blur = schema["$defs"]["BlurXYConfig"]["properties"]["std"]
    assert blur["description"] == "standard deviation, px"
    assert blur["exclusiveMinimum"] == 0


def test_a_ring_that_ends_before_it_starts() -> None:
    with pytest.raises(ConfigError, match=r"rings\.ADF ends at 2, not beyond its start 3"):
        check("output.virtual.rings={ADF: [3, 2]}")
    rings = check("output.virtual.rings={HAADF: [3, null]}").output.virtual.rings
    assert rings == {"HAADF": (3.0, None)}
