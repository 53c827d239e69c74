"""``simulate`` from config to file, and the file against docs/file-formats.md."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

import fastpty
from fastpty.errors import ConfigError, DataError, OutputError
from fastpty.reference import multislice_intensity
from fastpty.simulate import SimulateConfig, simulate
from fastpty.simulate.run import fourier_resample

DEMO = Path(__file__).parents[2] / "configs" / "demo_simulate.yaml"


@pytest.fixture
def run(tmp_path, make_config):
    """Simulate the small experiment with changes; return the open file."""
    opened = []

    def simulate_with(**changes):
        path = tmp_path / f"{len(opened)}.h5"
        file = h5py.File(simulate(make_config(**changes), path))
        opened.append(file)
        return file

    yield simulate_with
    for file in opened:
        file.close()


NOISY = {"dose_e_per_A2": 1e4}
MOVING = {"drift_A": (0.6, -0.4), "jitter_A": 0.1, "rotation_deg": 10.0}


# --- the file ---------------------------------------------------------------------------------


def test_root_attributes(run):
    file = run(detector=NOISY, seed=11, optics={"defocus_A": 25.0})
    attrs = dict(file.attrs)
    assert attrs["format"] == "fastpty-4dstem"
    assert attrs["format_version"] == 1
    assert attrs["energy_kv"] == 300
    assert attrs["semiangle_mrad"] == 20
    assert attrs["defocus_A"] == 25
    assert attrs["dk_invA"] == pytest.approx(2 * 0.040 / 0.0196875 / 32, rel=1e-4)
    assert attrs["pixel_size_A"] == pytest.approx(1 / (32 * attrs["dk_invA"]))
    assert attrs["scan_step_A"].tolist() == [0.5, 0.7]
    assert attrs["scan_rotation_deg"] == 0
    assert attrs["dose_e_per_A2"] == 1e4
    assert attrs["thickness_A"] == pytest.approx(3.905)
    assert attrs["seed"] == 11
    assert attrs["fastpty_version"] == fastpty.__version__


def test_the_config_in_the_file_repeats_the_run(run, make_config):
    file = run(detector=NOISY)
    assert SimulateConfig(**json.loads(file.attrs["config"])) == make_config(detector=NOISY)


def test_every_dataset_has_units_and_its_documented_shape(run):
    found = {}
    file = run(detector=NOISY)
    file.visititems(
        lambda name, item: (
            found.update({name: (item.shape, str(item.dtype), item.attrs["units"])})
            if isinstance(item, h5py.Dataset)
            else None
        )
    )
    shape = found.pop("truth/phase")
    assert len(shape[0]) == 2 and shape[1:] == ("float32", "rad")
    assert found == {
        "data": ((3, 4, 32, 32), "uint16", "electrons"),
        "positions_A": ((12, 2), "float64", "Angstrom"),
        "truth/positions_px": ((12, 2), "float64", "pixel"),
        "truth/probe": ((32, 32), "complex64", "1"),
    }


def test_data_are_compressed_in_chunks_of_few_patterns(run):
    data = run()["data"]
    assert data.chunks == (1, 4, 32, 32)
    assert (data.compression, data.compression_opts, data.shuffle) == ("gzip", 1, True)


def test_without_a_dose_patterns_are_fractions(run):
    file = run()
    assert file["data"].dtype == np.float32
    assert np.isnan(file.attrs["dose_e_per_A2"])
    np.testing.assert_allclose(file["data"][()].sum(axis=(2, 3)), 1, atol=0.01)


def test_counts_are_the_dose_times_the_area_of_a_step(run):
    counts = run(detector=NOISY)["data"][()].sum(axis=(2, 3)).mean()
    # 12 patterns of 3500 electrons: the mean is known to 0.5 %; a percent leaves the detector.
    assert counts == pytest.approx(1e4 * 0.5 * 0.7, rel=0.02)


# --- the truth --------------------------------------------------------------------------------


def forward(file, offset=(0.0, 0.0)):
    """Patterns of a single slice with the stored truth, by the reference, [P, N, N] centred."""
    position = file["truth/positions_px"][()] + offset
    corner = np.rint(position).astype(np.int64)
    phase = torch.from_numpy(file["truth/phase"][()])[None, None]
    patterns = multislice_intensity(
        torch.from_numpy(file["truth/probe"][()])[None],
        (torch.ones_like(phase), phase),
        torch.from_numpy(corner),
        torch.from_numpy((position - corner).astype(np.float32)),
        1.0,
        wavelength=0.0196875,
        pixel_size=float(file.attrs["pixel_size_A"]),
    )
    return np.fft.fftshift(patterns.numpy(), axes=(1, 2))


def misfit(file, *args):
    data = file["data"][()].reshape(-1, 32, 32)
    return np.abs(forward(file, *args) - data).sum() / data.sum()


def test_truth_explains_the_data_of_a_thin_crystal(run):
    """One cell is nearly a single slice: phase, probe, corners and data share one frame."""
    file = run(scan={**MOVING, "shape": (6, 6)}, optics={"defocus_A": 40.0})
    # The reference samples the diffraction that the simulation integrates over pixels.
    assert misfit(file) < 0.06
    steps = np.array([-1.0, 0.0, 1.0])
    for axis in np.eye(2):
        curve, slope, _ = np.polyfit(steps, [misfit(file, step * axis) for step in steps], 2)
        # The best place of all windows: where the file says, to a tenth of a pixel (25 pm).
        assert -slope / (2 * curve) == pytest.approx(0, abs=0.1)
        assert curve > 0.01


def test_truth_positions_hold_drift_and_jitter(run):
    still, moving = run(scan={"rotation_deg": 10.0}), run(scan=MOVING)
    pixel = still.attrs["pixel_size_A"]
    np.testing.assert_array_equal(still["positions_A"][()], moving["positions_A"][()])
    nominal = still["positions_A"][()] / pixel
    np.testing.assert_allclose(
        np.ptp(still["truth/positions_px"][()] - nominal, axis=0), 0, atol=1e-9
    )
    displaced = moving["truth/positions_px"][()] - nominal
    drift = np.arange(12)[:, None] / 11 * [0.6, -0.4] / pixel
    rest = (displaced - drift) * pixel  # jitter of 0.1 A, up to a constant
    assert rest.std(axis=0) == pytest.approx(0.1, rel=0.6)  # twelve deviates


def test_truth_windows_lie_inside_the_phase(run):
    file = run(scan=MOVING)
    corner = file["truth/positions_px"][()]
    beyond = 16  # half the difference of the two windows, 32 and 64 coarse pixels
    assert corner.min() >= beyond
    assert (corner + 32 + beyond <= file["truth/phase"].shape).all()


def test_truth_phase_is_linear_in_the_thickness(run):
    thin, thick = run(), run(specimen={"thickness_A": 3 * 3.905})
    np.testing.assert_allclose(thick["truth/phase"], 3 * thin["truth/phase"][()], rtol=1e-5)


def test_truth_probe_is_normalised(run):
    assert np.sum(np.abs(run()["truth/probe"][()]) ** 2) == pytest.approx(1, abs=1e-5)


def test_resampling_keeps_low_frequencies_and_the_origin():
    rng = np.random.default_rng(0)
    spectrum = np.zeros((24, 30), complex)
    low_y, low_x = np.ix_([-3, -2, -1, 0, 1, 2, 3], [-4, -3, -2, -1, 0, 1, 2, 3, 4])
    spectrum[low_y, low_x] = rng.normal(size=(7, 9)) + 1j * rng.normal(size=(7, 9))
    image = np.fft.ifft2(spectrum).real
    np.testing.assert_allclose(fourier_resample(image, (8, 10)), image[::3, ::3], atol=1e-12)


# --- no inverse crime -------------------------------------------------------------------------


def test_the_simulation_is_finer_than_the_reconstruction(make_config):
    config = make_config()
    fine = config.pixel_size / config.grid.refine
    assert fine <= config.pixel_size / 2
    assert config.window_pixels * fine == pytest.approx(
        2 * config.detector.pixels * config.pixel_size
    )
    # Scattering is kept to 2/3 of the fine Nyquist frequency, beyond the detector's edge.
    assert 2 / 3 / (2 * fine) > 1.3 * config.frequency_step * config.detector.pixels / 2


# --- chance and progress ----------------------------------------------------------------------


def test_one_seed_gives_one_file_to_the_bit(run):
    options = {
        "specimen": {"frozen_phonons": 2},
        "scan": {**MOVING, "shape": (2, 2)},
        "detector": NOISY,
        "seed": 4,
    }
    first, second = run(**options), run(**options)
    np.testing.assert_array_equal(first["data"], second["data"])
    np.testing.assert_array_equal(first["truth/positions_px"], second["truth/positions_px"])


def test_seeds_differ(run):
    first, second = run(detector=NOISY, seed=1), run(detector=NOISY, seed=2)
    assert (first["data"][()] != second["data"][()]).any()


def test_phonons_do_not_change_the_jitter(run):
    still, shaking = run(scan=MOVING), run(scan=MOVING, specimen={"frozen_phonons": 1})
    np.testing.assert_array_equal(still["truth/positions_px"], shaking["truth/positions_px"])


def test_frozen_phonons_are_averaged(run):
    """The mean of configurations: intensity stays that of one incident electron."""
    total = run(specimen={"frozen_phonons": 3})["data"][()].sum(axis=(2, 3))
    np.testing.assert_allclose(total, 1, atol=0.01)


def test_progress_ends_at_its_total(tmp_path, make_config):
    seen = []
    config = make_config(specimen={"frozen_phonons": 2})
    simulate(config, tmp_path / "a.h5", lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (24, 24)


# --- structure files and a scan larger than the cell -------------------------------------------


def test_a_structure_file_gives_what_the_built_in_crystal_gives(run, tmp_path):
    from ase import Atoms
    from ase.io import write

    places = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5)]
    path = tmp_path / "sto.xyz"
    write(path, Atoms("SrOTiO2", scaled_positions=places, cell=[3.905] * 3, pbc=True))
    by_file = run(
        specimen={"structure": str(path), "debye_waller_B_A2": {"Sr": 0.62, "Ti": 0.44, "O": 0.71}}
    )
    built_in = run()
    np.testing.assert_allclose(by_file["data"], built_in["data"], atol=1e-7)


def test_vacuum_round_the_specimen_is_empty(run):
    file = run(specimen={"vacuum_A": 20.0}, scan={"offset_A": (20.0, 0.0)})
    phase = file["truth/phase"][()]
    # Tails of the atoms 10 Angstrom away and ringing of the band limit.
    assert np.abs(phase[phase.shape[0] // 2]).max() < 0.01


# --- the user's mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optics": {"semiangle_mrad": 41.0}}, r"optics\.semiangle_mrad: .*does not fit on the"),
        ({"optics": {"aberrations": {"C33": 1.0}}}, r"optics\.aberrations: .*unknown name 'C33'"),
        (
            {"optics": {"aberrations": {"defocus": 1.0}}},
            r"optics\.aberrations: .*optics\.defocus_A",
        ),
        (
            {"optics": {"defocus_A": 5.0, "aberrations": {"C10": 1.0}}},
            r"optics\.aberrations: .*both set C10",
        ),
        ({"specimen": {"debye_waller_B_A2": {"Xx": 1.0}}}, r"debye_waller_B_A2: 'Xx' is not"),
        ({"detector": {"dtype": "uint16"}}, r"detector\.dtype: .*without a dose"),
        (
            {"detector": {"dtype": "uint8", "dose_e_per_A2": 1e7}},
            r"detector\.dtype: .*more than the 255",
        ),
    ],
)
def test_contradictions_are_refused_with_the_field(make_config, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optics": {"defocus_A": 900.0}}, r"optics\.defocus_A: the probe spreads to a radius"),
        ({"specimen": {"thickness_A": 900.0}}, r"optics\.defocus_A: the probe spreads"),
        ({"grid": {"memory_limit_GiB": 1e-4}}, r"grid\.memory_limit_GiB: the run needs about"),
    ],
)
def test_runs_that_cannot_work_are_refused(make_config, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        simulate(make_config(**changes), tmp_path / "a.h5")


@pytest.mark.parametrize(
    "section, field, value",
    [
        ("specimen", "thickness_A", 0.0),
        ("specimen", "slice_thickness_A", -1.0),
        ("specimen", "thicknes_A", 10.0),
        ("optics", "energy_kv", float("nan")),
        ("scan", "shape", (0, 3)),
        ("scan", "step_A", (0.5, 0.0)),
        ("detector", "dose_e_per_A2", 0.0),
        ("grid", "refine", 1),
    ],
)
def test_fields_out_of_bounds_are_refused(make_config, section, field, value):
    with pytest.raises(ValidationError, match=rf"{section}\.{field}"):
        make_config(**{section: {field: value}})


def fields(model):
    """(name, description) of every field, those of the sections included."""
    for name, field in model.model_fields.items():
        yield name, field.description
        if hasattr(field.annotation, "model_fields"):
            yield from fields(field.annotation)


def test_every_field_says_what_it_is():
    assert [name for name, description in fields(SimulateConfig) if not description] == []


def test_every_field_is_in_the_guide():
    guide = (DEMO.parents[1] / "docs" / "simulation.md").read_text(encoding="utf-8")
    assert [name for name, _ in fields(SimulateConfig) if f"`{name}`" not in guide] == []


def test_every_attribute_and_dataset_is_in_the_format(run):
    text = (DEMO.parents[1] / "docs" / "file-formats.md").read_text(encoding="utf-8")
    file = run(detector=NOISY)
    names = [*file.attrs]
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_output_is_checked_before_the_work(make_config, tmp_path):
    with pytest.raises(OutputError, match="there is no such folder"):
        simulate(make_config(), tmp_path / "missing" / "a.h5")
    with pytest.raises(OutputError, match="is a folder"):
        simulate(make_config(), tmp_path)


def test_a_missing_structure_is_a_data_error(make_config, tmp_path):
    config = make_config(specimen={"structure": "gone.cif"})
    with pytest.raises(DataError, match=r"no file gone\.cif"):
        simulate(config, tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


# --- the demo ---------------------------------------------------------------------------------


@pytest.fixture
def demo():
    return yaml.safe_load(DEMO.read_text())


def test_the_demo_has_a_bright_field_disc_of_16_pixels(demo):
    config = SimulateConfig(**demo)
    radius = config.optics.semiangle_mrad * 1e-3 / (config.wavelength * config.frequency_step)
    assert radius == pytest.approx(16)


@pytest.mark.parametrize("name", [DEMO.name, "srtio3_study_simulate.yaml"])
def test_every_value_of_an_example_has_its_comment(name):
    for line in DEMO.with_name(name).read_text().splitlines():
        if line.startswith("#") or line.endswith(":") or not line.strip():
            continue
        assert "# " in line, line


@pytest.mark.slow
def test_the_demo_runs(demo, tmp_path):
    """About half a minute on two cores; the patterns carry the dose."""
    with h5py.File(simulate(SimulateConfig(**demo), tmp_path / "demo.h5")) as file:
        assert file["data"].shape == (24, 24, 64, 64)
        assert file["data"].dtype == np.uint16
        electrons = file["data"][()].sum(axis=(2, 3), dtype=np.int64).mean()
    assert electrons == pytest.approx(1e6 * 0.16, rel=0.01)
