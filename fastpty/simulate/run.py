"""``simulate``: from a config to a 4D data file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import fastpty
from fastpty.errors import ConfigError
from fastpty.optics import focused_probe, interaction_parameter
from fastpty.simulate.config import SimulateConfig
from fastpty.simulate.crystal import add_crystal_patterns, crystal_memory, scatter
from fastpty.simulate.detector import count_type
from fastpty.simulate.fourd import add_patterns, batch_memory, prepare_optics
from fastpty.simulate.geometry import RIM_A, Geometry, lay_out
from fastpty.simulate.potential import (
    assign_slices,
    frozen_slices,
    projected_potential,
    smeared_slices,
    transmission_function,
)
from fastpty.simulate.scan import actual_positions, nominal_positions
from fastpty.simulate.scratch import Scratch
from fastpty.simulate.structure import Structure, load_structure
from fastpty.simulate.writer import PATTERNS_PER_CHUNK, check_output, write_file

__all__ = ["simulate"]

# Bytes for each pixel of the box while a transmission function is made from its potential.
WORK_BYTES = 130


def simulate(
    config: SimulateConfig,
    output: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulate a 4D-STEM scan and write it as HDF5; an existing file is replaced.

    Parameters
    ----------
    config : the experiment.
    output : file to write; its folder exists.
    progress : called as ``progress(done, total)``, counted in patterns times phonon
        configurations, or by the method "crystal" in frequencies plus patterns.

    Returns
    -------
    output : the path of the file.

    Raises
    ------
    ConfigError : the probe outgrows its window, the arrays outgrow the memory limit, or the
        counts do not fit their type.
    DataError : the structure file cannot be used.
    OutputError : the file cannot be written.

    Memory holds the box, not the patterns: these lie in a :class:`Scratch` beside the output,
    4 bytes for each pixel of each, until the brightest is known and counts are drawn.
    """
    output = Path(output)
    check_output(output)
    cell = load_structure(config.specimen)
    cells = cell_count(config, cell)
    thickness = cells * cell.cell[2]
    if config.grid.method == "window":
        _check_spread(config, thickness)

    # One stream each, so that switching one effect on does not change the draws of another.
    jitter, phonons, noise = (
        np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(3)
    )
    nominal = nominal_positions(config.scan.shape, config.scan.step_A, config.scan.rotation_deg)
    centre = np.array(cell.cell[:2]) / 2 + np.array(config.scan.offset_A)
    positions = actual_positions(nominal, centre, config.scan.drift_A, config.scan.jitter_A, jitter)
    geometry = lay_out(config, positions)
    _check_memory(config, geometry, cell, cells)

    pixels = config.detector.pixels
    dtype = config.detector.dtype
    widest = np.dtype("float32" if dtype == "auto" else dtype).itemsize
    reserve = len(positions) * pixels**2 * widest
    with Scratch(output, len(positions), pixels, reserve) as patterns:
        if config.grid.method == "crystal":
            potential = _by_crystal(patterns, config, cell, cells, geometry, positions, progress)
        else:
            potential = _by_windows(patterns, config, cell, cells, geometry, phonons, progress)
        _write(output, config, thickness, patterns, nominal, potential, geometry, noise)
    return output


def _write(
    output: Path,
    config: SimulateConfig,
    thickness: float,
    patterns: Scratch,
    nominal: NDArray[np.float64],
    potential: NDArray[np.float64],
    geometry: Geometry,
    noise: np.random.Generator,
) -> None:
    electrons, pixels = config.electrons_per_pattern, config.detector.pixels
    brightest = None if electrons is None else electrons * _brightest(patterns)
    kind = count_type(config.detector.dtype, brightest)
    phase, corner = _truth(config, potential, geometry)
    probe = focused_probe(
        (pixels, pixels),
        config.pixel_size,
        semiangle_mrad=config.optics.semiangle_mrad,
        wavelength=config.wavelength,
        aberrations=config.lens(),
    )
    patterns.release()
    write_file(
        output,
        {
            "energy_kv": config.optics.energy_kv,
            "semiangle_mrad": config.optics.semiangle_mrad,
            "defocus_A": config.optics.defocus_A,
            "dk_invA": config.frequency_step,
            "pixel_size_A": config.pixel_size,
            "scan_step_A": np.array(config.scan.step_A),
            "scan_rotation_deg": config.scan.rotation_deg,
            "dose_e_per_A2": config.detector.dose_e_per_A2 or math.nan,
            "thickness_A": thickness,
            "seed": config.seed,
            "fastpty_version": fastpty.__version__,
            "config": config.model_dump_json(),
        },
        patterns,
        config.scan.shape,
        {
            "positions_A": (nominal, "Angstrom"),
            "truth/phase": (phase, "rad"),
            "truth/positions_px": (corner, "pixel"),
            "truth/probe": (probe.astype(np.complex64), "1"),
        },
        electrons=electrons,
        kind=kind,
        rng=noise,
    )


def _brightest(patterns: Scratch) -> float:
    """The largest value, from a few patterns at a time."""
    starts = range(0, len(patterns), PATTERNS_PER_CHUNK)
    return max(float(patterns[start : start + PATTERNS_PER_CHUNK].max()) for start in starts)


def cell_count(config: SimulateConfig, cell: Structure) -> int:
    """Cells along the beam that come nearest to the wanted thickness, at least one."""
    if config.specimen.thickness_A is None:
        return 1
    return max(1, round(config.specimen.thickness_A / cell.cell[2]))


def _by_windows(
    patterns: Scratch,
    config: SimulateConfig,
    cell: Structure,
    cells: int,
    geometry: Geometry,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float64]:
    """Add up the patterns; the total projected potential [Y, X] in V Angstrom on the fine box.

    The transmission functions of a configuration are held, all patterns go through them, then
    comes the next: so each is made once. A potential is held only until it has been used.
    """
    wanted, fine = config.specimen.slice_thickness_A, geometry.fine_pixel
    atoms = cell.fill(geometry.origin, np.array(geometry.fine_shape) * fine)
    sigma = interaction_parameter(config.optics.energy_kv)
    potential = np.zeros(geometry.fine_shape)
    smeared = []
    for layer in smeared_slices(atoms, wanted, geometry.fine_shape, fine):
        potential += layer
        if not config.specimen.frozen_phonons:
            smeared.append(transmission_function(layer, sigma, fine))

    optics = prepare_optics(config, assign_slices(atoms, wanted)[2])
    count, runs = len(geometry.corner), max(1, config.specimen.frozen_phonons)
    for run in range(runs):
        slices = smeared * cells or [
            transmission_function(layer, sigma, fine)
            for layer in frozen_slices(atoms, wanted, cells, geometry.fine_shape, fine, rng)
        ]

        def report(done: int, before: int = run * count) -> None:
            if progress is not None:
                progress(before + done, runs * count)

        add_patterns(patterns, optics, slices, geometry, scale=1 / runs, progress=report)
        del slices  # before the next ones are made
    return cells * potential


def _by_crystal(
    patterns: Scratch,
    config: SimulateConfig,
    cell: Structure,
    cells: int,
    geometry: Geometry,
    positions: NDArray[np.float64],
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float64]:
    """The same by one multislice calculation for each fine frequency of the detector."""
    total = 0

    def scattered(done: int, frequencies: int) -> None:
        nonlocal total
        total = frequencies + len(positions)
        if progress is not None:
            progress(done, total)

    def report(done: int) -> None:
        if progress is not None:
            progress(total - len(positions) + done, total)

    scattering = scatter(config, cell, cells, scattered)
    add_crystal_patterns(patterns, scattering, config, positions, progress=report)
    fine = geometry.fine_pixel
    atoms = cell.fill(geometry.origin, np.array(geometry.fine_shape) * fine)
    return cells * projected_potential(atoms, geometry.fine_shape, fine)


def _truth(
    config: SimulateConfig, potential: NDArray[np.float64], geometry: Geometry
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(phase [Y, X] in rad on the reconstruction's pixels, corners [P, 2] of its windows).

    The phase is ``sigma sum_z V_z`` with the frequencies that the coarse grid can hold: all of
    the box but its rim, so that it reaches beyond the windows and a reconstruction can be
    shifted against it. The thermal mean is taken in the potential.
    """
    phase = interaction_parameter(config.optics.energy_kv) * fourier_resample(
        potential, geometry.shape
    )
    rim = math.ceil(RIM_A / geometry.pixel)
    return phase[rim:-rim, rim:-rim].astype(np.float32), geometry.coarse - rim


def fourier_resample(image: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Sample a periodic image [Y, X] on fewer pixels, from the frequencies these can hold.

    Pixel (0, 0) stays where it is. The Nyquist frequency of an even axis, whose phase such a
    grid cannot hold, is dropped.
    """
    spectrum = np.fft.fft2(image)
    for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
        index = np.rint(np.fft.fftfreq(new, 1 / new)).astype(int)
        spectrum = np.take(spectrum, index % old, axis=axis)
        if new % 2 == 0:
            spectrum[(slice(None),) * axis + (new // 2,)] = 0
    return np.fft.ifft2(spectrum).real * (shape[0] * shape[1] / image.size)


def _check_spread(config: SimulateConfig, thickness: float) -> None:
    """The geometric cone must not leave the simulated window anywhere in the specimen."""
    distance = max(abs(config.optics.defocus_A), abs(thickness - config.optics.defocus_A))
    radius = distance * math.tan(config.optics.semiangle_mrad * 1e-3)
    half = config.pixel_size * config.detector.pixels * config.grid.oversample / 2
    if radius > half:
        raise ConfigError(
            "optics.defocus_A",
            f"the probe spreads to a radius of {radius:.3g} Angstrom in the specimen, and the "
            f"simulated window reaches {half:.3g} Angstrom from its centre.",
            "Use less defocus, more detector.pixels, or a larger grid.oversample.",
        )


def _check_memory(config: SimulateConfig, geometry: Geometry, cell: Structure, cells: int) -> None:
    """Refuse a run whose large arrays would not fit."""
    wanted = config.specimen.slice_thickness_A
    _, per_cell, _ = assign_slices(cell, wanted)
    crystal = config.grid.method == "crystal"
    held = per_cell * (cells if config.specimen.frozen_phonons else 1)
    box = geometry.fine_shape[0] * geometry.fine_shape[1]
    # Transmission (complex64) of each slice held, the total potential, some complex128 work arrays
    # of the box, and what each thread works on. Patterns lie on the disk.
    threads = torch.get_num_threads()
    need = box * (8 * held * (not crystal) + 8 + WORK_BYTES)
    if crystal:
        need += crystal_memory(config, cell)
    else:
        need += threads * batch_memory(geometry.window)
    limit = config.grid.memory_limit_GiB
    if need > limit * 2**30:
        raise ConfigError(
            "grid.memory_limit_GiB",
            f"the run needs about {need / 2**30:.3g} GiB for a box of {geometry.fine_shape[0]} x "
            f"{geometry.fine_shape[1]} pixels and {held} slices; the limit is {limit:g} GiB.",
            "Scan a smaller area, use thicker slices, or raise the limit."
            + (" method: window needs no more for large cells." if crystal else ""),
        )
