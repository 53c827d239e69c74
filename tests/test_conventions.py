"""docs/conventions.md, statement by statement: each is pinned by the test that has its name."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastpty.config.data import AffineConfig, ScanConfig
from fastpty.config.solve import ConstraintConfig
from fastpty.constraints.probe import orthogonal_modes
from fastpty.io import RawScan
from fastpty.measurements import Patterns, raster_positions, rotate_positions
from fastpty.model import Model
from fastpty.ops import (
    fresnel_propagate,
    mixed_intensity,
    multislice_intensity,
    probe_shift,
    slice_transmit,
)
from fastpty.optics import (
    Aberrations,
    electron_wavelength,
    focused_probe,
    frequency_step,
    hermite_modes,
    interaction_parameter,
    propagator,
    spatial_frequencies,
)
from tests.tolerances import bound, tolerance

PAGE = Path(__file__).resolve().parents[1] / "docs" / "conventions.md"
STATEMENT = re.compile(r"^- \*\*C(\d+) `(\w+)`\*\* \S", re.MULTILINE)

DOUBLE = torch.complex128
WAVELENGTH = 0.0196875
BEAM = {"wavelength": WAVELENGTH, "pixel_size": (0.2, 0.25)}
WINDOW = (30, 25)


@pytest.mark.skipif(not PAGE.is_file(), reason="needs a source checkout, not an installation")
def test_every_statement_has_a_test_and_every_test_a_statement() -> None:
    text = PAGE.read_text(encoding="utf-8")
    codes, names = zip(*STATEMENT.findall(text), strict=True)
    assert list(codes) == [f"{i:02d}" for i in range(1, len(codes) + 1)]
    assert len(codes) == len(re.findall(r"^- ", text, re.MULTILINE))
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    tests.remove("every_statement_has_a_test_and_every_test_a_statement")
    assert list(names) == tests  # in the same order, too


def near(actual: object, expected: object, kind: str = "chain") -> None:
    """Equal up to the tolerance of double precision, relative to the largest value."""
    actual, expected = (torch.from_numpy(np.asarray(x)) for x in (actual, expected))
    size = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, **tolerance(kind, DOUBLE, scale=size))


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))


def real(*values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bump(
    shape: tuple[int, int] = WINDOW, centre: tuple[float, float] | None = None, width: float = 2.0
) -> torch.Tensor:
    """A Gaussian wave, by default about N//2."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    cy, cx = centre or (shape[0] // 2, shape[1] // 2)
    return torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2)).to(DOUBLE)


def centre_of(wave: torch.Tensor | NDArray[np.complex128]) -> tuple[float, float]:
    """Centre of mass of the intensity, (y, x) in pixels."""
    power = np.abs(np.asarray(wave)) ** 2
    power = power / power.sum()
    y, x = (np.arange(n) for n in power.shape)
    return float(power.sum(1) @ y), float(power.sum(0) @ x)


def width_of(wave: torch.Tensor | NDArray[np.complex128]) -> float:
    """Mean square distance from the centre of the window, in pixels squared."""
    power = np.abs(np.asarray(wave)) ** 2
    y, x = (np.arange(n) - n // 2 for n in power.shape)
    return float((power * (y[:, None] ** 2 + x**2)).sum() / power.sum())


def model_of(corner: list[list[int]], shift: list[list[float]], canvas: int = 40) -> Model:
    start = np.array(corner, float) + np.array(shift)
    return Model(
        amplitude=torch.ones(1, 1, canvas, canvas),
        phase=torch.zeros(1, 1, canvas, canvas),
        probe=torch.ones(1, 8, 9, dtype=torch.complex64),
        corner=torch.tensor(corner),
        shift=torch.tensor(shift),
        positions_start=start,
        power_start=1.0,
    )


def patterns_of(data: NDArray[np.float32], zero_frequency: str = "centre") -> Patterns:
    scan = RawScan("test", data.shape, data.dtype, lambda start, stop: data[start:stop])
    return Patterns.load(scan, zero_frequency=zero_frequency)


# Arrays


def test_axes_are_y_then_x() -> None:
    ky, kx = spatial_frequencies((4, 6), (0.1, 0.2))
    assert ky.shape == (4, 1)
    assert kx.shape == (1, 6)
    near(frequency_step((4, 6), (0.1, 0.2)), (1 / 0.4, 1 / 1.2))
    near(probe_shift(bump()[None], real([2, 0]))[0, 0], bump().roll(2, 0))
    tilted = fresnel_propagate(bump()[None], 10.0, real([60, 0]), **BEAM)[0]
    assert centre_of(tilted)[0] < 15 - 1
    assert abs(centre_of(tilted)[1] - 12) < bound("sampled")


def test_windows_may_be_rectangular() -> None:
    for window in ((8, 5), (7, 12), (13, 2), (1, 6)):
        probe, obj = random(2, *window), random(1, 2, window[0] + 3, window[1] + 1)
        patterns = multislice_intensity(
            probe, obj, torch.tensor([[3, 1]]), real([0.2, 0.4]), 5.0, **BEAM
        )
        assert patterns.shape == (1, *window)


@pytest.mark.parametrize("shape", [(32, 32), (33, 32), (32, 45), (47, 31)])
def test_window_centre_is_index_n_over_2(shape: tuple[int, int]) -> None:
    probe = focused_probe(shape, 0.3, semiangle_mrad=15, wavelength=WAVELENGTH)
    peak = np.unravel_index(np.abs(probe).argmax(), shape)
    assert peak == (shape[0] // 2, shape[1] // 2)


# Positions


def test_positions_name_the_top_left_corner() -> None:
    """A dark object with one bright pixel: the probe's centre sees it from the position that is
    N//2 up and left of it."""
    obj = torch.zeros(1, 20, 20, dtype=DOUBLE)
    obj[0, 12, 9] = 1
    corner = torch.tensor([[12 - 8 // 2, 9 - 7 // 2]])
    seen = slice_transmit(bump((8, 7))[None, None], obj, corner)[0, 0, 0]
    assert int(seen.abs().argmax()) == 4 * 7 + 3
    near(seen.abs().sum(), 1.0)  # where the probe has its maximum, 1


def test_position_is_corner_plus_shift() -> None:
    model = model_of([[1000, 3]], [[0.1, -0.25]])
    assert model.positions.dtype == np.float64
    near(model.positions, [[1000 + float(np.float32(0.1)), 2.75]], "product")
    assert np.float32(1000) + np.float32(0.1) != model.positions[0, 0]  # one float32 loses digits
    obj = bump((20, 20), (9.3, 8.6))[None, None]
    one = {"thickness": 0.0, **BEAM}
    probe = random(1, 8, 8)
    shifted = multislice_intensity(probe, obj, torch.tensor([[4, 5]]), real([1.0, -2.0]), **one)
    moved = probe.roll((1, -2), (1, 2))
    near(shifted, multislice_intensity(moved, obj, torch.tensor([[4, 5]]), real([0, 0]), **one))


def test_positive_shift_moves_to_higher_indices() -> None:
    moved = probe_shift(bump()[None], real([1.25, -0.5]))[0, 0]
    near(centre_of(moved), (15 + 1.25, 12 - 0.5), "chain")


def test_shift_uses_the_negative_nyquist_frequency() -> None:
    nyquist = torch.tensor([1, -1] * 4, dtype=DOUBLE)[:, None]
    shifted = probe_shift(nyquist[None], real([0.25, 0]))[0, 0]
    near(shifted, nyquist * np.exp(-2j * np.pi * -0.5 * 0.25))


def test_corners_are_rechosen_beyond_half_a_pixel() -> None:
    model = model_of([[10, 10], [12, 9], [9, 9]], [[0.4, -0.45], [0.75, -0.625], [3.25, -2.875]])
    before = model.positions
    assert model.rechoose_corners() == 0
    assert model.corner.tolist() == [[10, 10], [13, 8], [12, 6]]
    assert bool((model.shift.abs() <= 0.5).all())
    assert np.array_equal(model.positions, before)  # these shifts are exact in float32
    assert model.shift[1].tolist() == [-0.25, 0.375]


def test_positions_are_held_at_the_edge() -> None:
    model = model_of([[0, 31], [5, 5]], [[-0.75, 2.0], [0.0, 0.0]])  # a window of 8 x 9 in 40
    assert model.rechoose_corners() == 1
    assert model.corner.tolist() == [[0, 31], [5, 5]]
    assert model.shift.tolist() == [[-0.5, 0.5], [0.0, 0.0]]


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (7, 0), (0, 8)])
def test_windows_lie_inside_the_object(corner: tuple[int, int]) -> None:
    wave, obj = random(2, 1, 4, 3), random(1, 10, 10)
    slice_transmit(wave, obj, torch.tensor([(0, 0), (6, 7)]))
    with pytest.raises(ValueError, match=r"corner\[1\]: .* must lie inside the object"):
        slice_transmit(wave, obj, torch.tensor([(0, 0), corner]))


def test_fast_scan_axis_is_x() -> None:
    positions = raster_positions((2, 3), (10.0, 1.0))
    assert positions.tolist() == [[0, 0], [0, 1], [0, 2], [10, 0], [10, 1], [10, 2]]


def test_scan_rotation_acts_on_y_x() -> None:
    y, x = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    angle = math.radians(30)
    turned = rotate_positions(np.stack([y, x]), 30)
    near(turned[0], [math.cos(angle), math.sin(angle)])
    near(turned[1], [-math.sin(angle), math.cos(angle)])


def test_affine_acts_before_the_rotation() -> None:
    """(y, x) = (1, 0), doubled in y, then turned by 90 degrees: 2 along x."""
    near(rotate_positions(np.array([[1.0, 0.0]]), 90, ((2, 0), (0, 1))), [[0.0, 2.0]])
    scan = ScanConfig(
        step=1.0, affine=((2, 0), (0, 1)), affine_parts=AffineConfig(rotation_deg=90, shear_deg=45)
    )
    near(scan.matrix, [[2.0, -1.0], [2.0, 0.0]])  # doubled, turned to (0, 2), sheared to (2, 2)
    stretch = AffineConfig(scale=3, asymmetry=0.5).matrix
    near(stretch, [[3.75, 0.0], [0.0, 2.25]])


# Fourier space


def test_forward_transform_has_a_negative_exponent() -> None:
    """exp(+2 pi i k.r) appears in the pattern at +k."""
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    wave = torch.exp(2j * math.pi * (3 * y / 8 + 2 * x / 10)).to(DOUBLE)
    pattern = mixed_intensity(wave[None, None, None])[0]
    assert divmod(int(pattern.argmax()), 10) == (3, 2)


def test_frequencies_are_in_cycles() -> None:
    ky, kx = spatial_frequencies((8, 5), (0.5, 0.25))
    near(ky[:, 0], np.array([0, 1, 2, 3, -4, -3, -2, -1]) / (8 * 0.5))
    near(kx[0], np.array([0, 1, 2, -2, -1]) / (5 * 0.25))
    near(frequency_step((8, 5), (0.5, 0.25)), (ky[1, 0], kx[0, 1]))


def test_detector_transform_is_unitary() -> None:
    wave = random(3, 2, 1, 7, 6)
    near(mixed_intensity(wave).sum((1, 2)), wave.abs().square().sum((1, 2, 3, 4)))


def test_ops_put_zero_frequency_at_index_0() -> None:
    flat = torch.ones(1, 1, 1, 6, 5, dtype=DOUBLE)
    assert int(mixed_intensity(flat)[0].argmax()) == 0
    ky, kx = spatial_frequencies((6, 5), 0.1)
    assert ky[0, 0] == kx[0, 0] == 0


@pytest.mark.parametrize("shape", [(6, 6), (7, 6), (5, 9)])
def test_files_put_zero_frequency_at_n_over_2(shape: tuple[int, int]) -> None:
    centred = np.zeros((1, *shape), np.float32)
    centred[0, shape[0] // 2, shape[1] // 2] = 1
    centred[0, shape[0] // 2 + 1, shape[1] // 2] = 0.5  # one step along +ky
    loaded = patterns_of(centred).batch(torch.tensor([0]))[0]
    assert loaded[0, 0] == 1
    assert loaded[1, 0] == 0.5
    corner = patterns_of(loaded[None].numpy(), "corner").batch(torch.tensor([0]))[0]
    assert torch.equal(corner, loaded)


def test_scaled_mean_pattern_has_maximum_1() -> None:
    counts = np.random.default_rng(0).poisson(50, (4, 6, 6)).astype(np.float32)
    patterns = patterns_of(counts)
    scaled = patterns.batch(torch.arange(4)).double()
    torch.testing.assert_close(scaled.mean(0).max(), real(1)[0], **tolerance("sum", torch.float32))
    ratio = scaled.sum() / counts.sum(dtype=np.float64)
    torch.testing.assert_close(
        float(ratio), float(patterns.scale), **tolerance("sum", torch.float32, scale=0)
    )


# Units


def test_lengths_are_in_angstrom() -> None:
    """A defocus of 100 Angstrom at 10 mrad: pi 100 (10e-3)^2 / lambda rad."""
    k = 10e-3 / WAVELENGTH
    phase = Aberrations({"defocus": 100}).chi(0.0, k, WAVELENGTH)
    near(float(phase), -math.pi * 100 * 1e-4 / WAVELENGTH)
    transfer = propagator(
        (1, 8), real(100)[0], wavelength=WAVELENGTH, pixel_size=1, model="fresnel"
    )
    near(transfer[0, 1], np.exp(-1j * math.pi * WAVELENGTH * 100 / 8**2))


def test_angles_are_in_mrad() -> None:
    probe = focused_probe((64, 64), 0.25, semiangle_mrad=20, wavelength=WAVELENGTH)
    disc = np.abs(np.fft.fft2(probe)) > 0.5 * np.abs(np.fft.fft2(probe)).max()
    radius = math.sqrt(disc.sum() / math.pi) / (64 * 0.25)  # 1/Angstrom
    assert abs(radius * WAVELENGTH / 20e-3 - 1) < bound("disc") * 10  # whole pixels only
    tilted = fresnel_propagate(bump()[None], 20.0, real([-20, 0]), **BEAM)[0]
    near(centre_of(tilted)[0] - 15, 20 * math.tan(20e-3) / 0.2, "chain")


def test_azimuths_are_in_degrees_from_x_to_y() -> None:
    lens = Aberrations({"C12": 50.0, "phi12": 30.0})
    phi = np.radians(np.arange(0, 180, 1))
    chi = lens.chi(0.5 * np.sin(phi), 0.5 * np.cos(phi), WAVELENGTH)
    assert chi.argmax() == 30
    near(rotate_positions(np.array([[0.0, 1.0]]), 90), [[-1.0, 0.0]])


def test_wavelength_is_relativistic() -> None:
    assert round(electron_wavelength(300), 7) == 0.0196875


def test_interaction_parameter_is_relativistic() -> None:
    assert round(interaction_parameter(300) * 1e4, 3) == 6.526


# Probe


def test_aberrations_follow_krivanek() -> None:
    ky, kx = spatial_frequencies((9, 8), 0.5)
    theta, phi = WAVELENGTH * np.hypot(ky, kx), np.arctan2(ky, kx)
    lens = Aberrations({"C10": -80, "C30": 1e5, "C23": 700, "phi23": 25, "C41a": 300, "C41b": -90})
    length = (
        -80 * theta**2 / 2
        + 1e5 * theta**4 / 4
        + 700 * theta**3 / 3 * np.cos(3 * (phi - math.radians(25)))
        + theta**5 / 5 * (300 * np.cos(phi) - 90 * np.sin(phi))
    )
    near(lens.chi(ky, kx, WAVELENGTH), 2 * math.pi / WAVELENGTH * length)


def test_haider_names_are_converted() -> None:
    factors = {
        "B2": ("C21", 3), "S3": ("C32", 4), "B4": ("C41", 5),
        "D4": ("C43", 5), "S5": ("C52", 6), "R5": ("C54", 6),
    }  # fmt: skip
    plain = {
        "A1": "C12", "A2": "C23", "C3": "C30", "A3": "C34",
        "A4": "C45", "C5": "C50", "A5": "C56", "C1": "C10",
    }  # fmt: skip
    factors |= {name: (krivanek, 1) for name, krivanek in plain.items()}
    for name, (krivanek, factor) in factors.items():
        assert Aberrations({name: 7.0}).cartesian == {krivanek: (7.0 * factor, 0.0)}
    turned = Aberrations({"B2": 7.0, "phi_B2": 40}).cartesian
    assert turned == Aberrations({"C21": 21.0, "phi21": 40}).cartesian


def test_defocus_is_minus_c10() -> None:
    assert Aberrations({"defocus": 30}).cartesian == {"C10": (-30.0, 0.0)}


def test_probe_is_aperture_times_exp_minus_i_chi() -> None:
    lens = Aberrations({"defocus": 100, "C12": 40, "phi12": 20, "Cs": 1e5})
    ky, kx = spatial_frequencies((40, 40), 0.3)
    probe = focused_probe((40, 40), 0.3, semiangle_mrad=20, wavelength=WAVELENGTH, aberrations=lens)
    spectrum = np.fft.fft2(np.roll(probe, (-20, -20), (0, 1)))
    inside = np.hypot(ky, kx) < 18e-3 / WAVELENGTH
    expected = np.exp(-1j * lens.chi(ky, kx, WAVELENGTH))
    near(spectrum[inside] / np.abs(spectrum[inside]), expected[inside])


def test_positive_defocus_converges_downstream() -> None:
    given = {"semiangle_mrad": 20, "wavelength": WAVELENGTH}
    probe = torch.from_numpy(
        focused_probe((96, 96), 0.25, **given, aberrations=Aberrations({"defocus": 150}))
    )
    peak = {
        distance: float(
            fresnel_propagate(probe[None], distance, wavelength=WAVELENGTH, pixel_size=0.25)
            .abs()
            .max()
        )
        for distance in (-150.0, 0.0, 100.0, 150.0, 200.0, 300.0)
    }
    assert max(peak, key=peak.get) == 150.0
    assert peak[-150.0] < peak[0.0]
    there = fresnel_propagate(
        probe[None], 150.0, wavelength=WAVELENGTH, pixel_size=0.25, model="fresnel"
    )
    near(there[0], focused_probe((96, 96), 0.25, **given))


def test_optics_normalise_the_probe() -> None:
    probe = focused_probe((30, 41), 0.3, semiangle_mrad=20, wavelength=WAVELENGTH)
    near((np.abs(probe) ** 2).sum(), 1.0)


def test_modes_are_ordered_by_power() -> None:
    powers = (np.abs(hermite_modes(bump().numpy(), 4, 0.1)) ** 2).sum((1, 2))
    near(powers / powers.sum(), [0.7, 0.1, 0.1, 0.1])
    model = model_of([[0, 0]], [[0.0, 0.0]])
    model.probe = (random(3, 8, 9) * real([[1.0]], [[3.0]], [[2.0]])).to(torch.complex64)
    orthogonal_modes(model, ConstraintConfig())
    after = model.probe.abs().square().sum((1, 2)).tolist()
    assert after == sorted(after, reverse=True)


# Ops


def test_ops_have_these_shapes() -> None:
    B, M, No, Nz, Ny, Nx, Y, X = 3, 2, 4, 5, 6, 7, 10, 9
    probe, shift = random(M, Ny, Nx), torch.zeros(B, 2, dtype=torch.float64)
    amplitude = torch.ones(No, Nz, Y, X, dtype=torch.float64)
    corner = torch.zeros(B, 2, dtype=torch.int64)
    wave = probe_shift(probe, shift)
    assert wave.shape == (B, M, Ny, Nx)
    wave = slice_transmit(wave, amplitude[:, 0].to(DOUBLE), corner)
    assert wave.shape == (B, M, No, Ny, Nx)
    assert slice_transmit(wave, amplitude[:, 1].to(DOUBLE), corner).shape == wave.shape
    for tilt in (None, torch.zeros(1, 2).double(), torch.zeros(B, 2).double()):
        assert fresnel_propagate(wave, 1.0, tilt, **BEAM).shape == wave.shape
        for thickness in (1.0, torch.ones(Nz - 1).double()):
            for obj in (amplitude.to(DOUBLE), (amplitude, 0 * amplitude)):
                occupancy = torch.ones(No).double()
                patterns = multislice_intensity(
                    probe, obj, corner, shift, thickness, tilt, occupancy, **BEAM
                )
                assert patterns.shape == (B, Ny, Nx)
    assert mixed_intensity(wave, torch.ones(No).double()).shape == (B, Ny, Nx)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_ops_keep_the_precision(dtype: torch.dtype) -> None:
    single = torch.float32 if dtype == torch.complex64 else torch.float64
    other = torch.float64 if dtype == torch.complex64 else torch.float32
    probe, obj = random(1, 4, 4).to(dtype), random(1, 2, 4, 4).to(dtype)
    corner, shift = torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=single)
    assert probe_shift(probe, shift).dtype == dtype
    assert multislice_intensity(probe, obj, corner, shift, 1.0, **BEAM).dtype == single
    with pytest.raises(TypeError, match="shift: must be"):
        multislice_intensity(probe, obj, corner, shift.to(other), 1.0, **BEAM)


def test_gradients_follow_torch() -> None:
    """L = |psi|^2 has the gradient 2 psi; through psi O it is 2 psi |O|^2."""
    wave, obj = random(1, 1, 3, 3).requires_grad_(), random(1, 3, 3).requires_grad_()
    out = slice_transmit(wave, obj, torch.zeros(1, 2, dtype=torch.int64))
    grad_wave, grad_obj = torch.autograd.grad(out.abs().square().sum(), (wave, obj))
    near(grad_wave[0, 0], (2 * wave[0, 0] * obj[0].abs() ** 2).detach())
    near(grad_obj[0], (2 * obj[0] * wave[0, 0].abs() ** 2).detach())
    (grad_wave,) = torch.autograd.grad(mixed_intensity(wave[:, :, None]).sum(), wave)
    near(grad_wave, 2 * wave.detach())


def test_probe_shift_is_a_phase_ramp() -> None:
    probe, s = random(1, 6, 5), (0.3, -0.4)
    fy, fx = np.fft.fftfreq(6)[:, None], np.fft.fftfreq(5)
    ramp = np.exp(-2j * np.pi * (fy * s[0] + fx * s[1]))
    near(probe_shift(probe, real(s))[0, 0], np.fft.ifft2(np.fft.fft2(probe[0].numpy()) * ramp))


def test_object_multiplies_the_window() -> None:
    wave, obj = random(1, 2, 3, 4), random(2, 8, 9)
    out = slice_transmit(wave, obj, torch.tensor([[5, 2]]))
    near(out[0, 1, 0], wave[0, 1] * obj[0, 5:8, 2:6])
    near(out[0, 0, 1], wave[0, 0] * obj[1, 5:8, 2:6])


def test_object_is_amplitude_and_phase() -> None:
    phase = random(1, 1, 6, 6).real
    amplitude = random(1, 1, 6, 6).imag
    amplitude[0, 0, 2, 2] = 0
    amplitude.requires_grad_()
    probe, corner = random(1, 6, 6), torch.zeros(1, 2, dtype=torch.int64)
    rest = {"corner": corner, "shift": real([0, 0]), "thickness": 0.0, **BEAM}
    pair = multislice_intensity(probe, (amplitude, phase), **rest)
    whole = multislice_intensity(probe, amplitude.detach() * torch.exp(1j * phase), **rest)
    near(pair.detach(), whole)
    pair[0, 0, 0].backward()
    assert amplitude.grad[0, 0, 2, 2] != 0  # a pixel that is zero can come back


def test_positive_phase_is_positive_potential() -> None:
    """A potential well for electrons, that is a positive potential, works as a converging lens."""
    potential = 400 * bump((64, 64), width=9).real  # V Angstrom
    obj = torch.polar(torch.ones_like(potential), interaction_parameter(300) * potential)
    wave = (bump((64, 64), width=6) * obj)[None]
    beam = {"wavelength": WAVELENGTH, "pixel_size": 0.5}
    behind = fresnel_propagate(wave, 300.0, **beam)[0]
    assert width_of(behind) < width_of(wave[0])
    repelled = fresnel_propagate(bump((64, 64), width=6)[None] * obj.conj(), 300.0, **beam)[0]
    assert width_of(repelled) > width_of(wave[0])


def test_propagator_is_the_angular_spectrum() -> None:
    dz = 3.0
    ky, kx = spatial_frequencies(WINDOW, BEAM["pixel_size"])
    k, lateral2 = 2 * math.pi / WAVELENGTH, 4 * math.pi**2 * (ky**2 + kx**2)
    transfer = np.exp(1j * dz * (np.sqrt(k**2 - lateral2) - k))
    near(propagator(WINDOW, real(dz)[0], **BEAM), transfer)
    expected = np.fft.ifft2(np.fft.fft2(bump().numpy()) * transfer)
    near(fresnel_propagate(bump()[None], dz, **BEAM)[0], expected)


def test_fresnel_propagator_is_the_paraxial_limit() -> None:
    dz = 100.0
    ky, kx = spatial_frequencies((16, 16), 4.0)  # up to 3.5 mrad
    paraxial = propagator((16, 16), real(dz)[0], **BEAM | {"pixel_size": 4.0}, model="fresnel")
    near(paraxial, np.exp(-1j * math.pi * WAVELENGTH * dz * (ky**2 + kx**2)))
    exact = propagator((16, 16), real(dz)[0], **BEAM | {"pixel_size": 4.0})
    assert float((exact - paraxial).abs().max()) < bound("paraxial")


def test_evanescent_waves_are_removed() -> None:
    ky, kx = spatial_frequencies((16, 16), 0.2)
    transfer = propagator((16, 16), real(1.0)[0], wavelength=0.5, pixel_size=0.2)
    evanescent = torch.from_numpy(np.hypot(ky, kx) >= 1 / 0.5)
    assert bool(evanescent.any())
    assert not transfer[evanescent].any()
    near(transfer[~evanescent].abs(), torch.ones(int((~evanescent).sum())).double())


def test_positive_thickness_follows_the_beam() -> None:
    """A diverging spherical wave has a phase that grows outwards, exp(i pi r^2 / lambda R)."""
    y, x = torch.meshgrid(torch.arange(-32.0, 32.0), torch.arange(-32.0, 32.0), indexing="ij")
    diverging = torch.exp(1j * math.pi * 0.25 * (y**2 + x**2) / (WAVELENGTH * 2000)).to(DOUBLE)
    wave = (bump((64, 64), width=5) * diverging)[None]
    beam = {"wavelength": WAVELENGTH, "pixel_size": 0.5}
    sizes = [width_of(fresnel_propagate(wave, dz, **beam)[0]) for dz in (-200.0, 0.0, 200.0)]
    assert sizes == sorted(sizes)


def test_positive_tilt_moves_the_wave_backwards() -> None:
    dz, tilt = 20.0, (15.0, -8.0)
    level = fresnel_propagate(bump()[None], dz, **BEAM)
    tilted = fresnel_propagate(bump()[None], dz, real(tilt), **BEAM)
    pixels = [-dz * math.tan(t * 1e-3) / d for t, d in zip(tilt, (0.2, 0.25), strict=True)]
    near(tilted, probe_shift(level, real(pixels))[0])


def test_thickness_is_the_distance_to_the_next_slice() -> None:
    probe, obj = random(1, 6, 7), random(1, 3, 6, 7)
    corner, shift = torch.zeros(1, 2, dtype=torch.int64), real([0, 0])
    wave = probe * obj[0, 0]
    wave = fresnel_propagate(wave, 4.0, **BEAM) * obj[0, 1]
    wave = fresnel_propagate(wave, 9.0, **BEAM) * obj[0, 2]
    patterns = multislice_intensity(probe, obj, corner, shift, real(4, 9), **BEAM)
    near(patterns, mixed_intensity(wave[:, None, None]))


def test_last_slice_is_not_propagated() -> None:
    """One slice takes no thickness; and the gradient with respect to two gaps has two entries."""
    probe, obj = random(1, 6, 7), random(1, 1, 6, 7)
    corner, shift = torch.zeros(1, 2, dtype=torch.int64), real([0, 0])
    thickness = real(5.0).requires_grad_()
    patterns = multislice_intensity(probe, obj, corner, shift, thickness, **BEAM)
    assert not patterns.requires_grad
    near(patterns, mixed_intensity((probe * obj[0])[:, None, None]))
    with pytest.raises(ValueError, match=r"thickness: .* \[Nz - 1\] with Nz = 3, found \[3\]"):
        multislice_intensity(probe, random(1, 3, 6, 7), corner, shift, real(1, 2, 3), **BEAM)


def test_intensity_is_the_sum_over_modes() -> None:
    wave, occupancy = random(2, 3, 2, 5, 4), real(0.3, 0.9)
    power = torch.fft.fft2(wave, norm="ortho").abs().square()
    expected = sum(occupancy[n] * power[:, m, n] for m in range(3) for n in range(2))
    near(mixed_intensity(wave, occupancy), expected)


def test_no_occupancy_is_a_plain_sum() -> None:
    wave = random(2, 3, 2, 5, 4)
    near(mixed_intensity(wave), mixed_intensity(wave, real(1, 1)))
