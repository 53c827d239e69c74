"""Two reconstructions compared: their frames, their modes, and what is written."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from fastpty import figures
from fastpty.errors import DataError, OutputError
from fastpty.resolution import NAMES, compare_files, compare_results, write_resolution
from fastpty.results import Results, write_results
from tests.recon_cases import smooth_noise
from tests.tolerances import bound

CANVAS = (112, 120)
WINDOW = 32


def result(
    phase: NDArray[np.float64], *, corner: tuple[float, float] = (0, 0), **changes: Any
) -> Results:
    """Of phases [No, Y, X], scanned 16 px from all edges; ``corner`` moves the positions."""
    grid = np.stack(np.meshgrid(*(np.linspace(0, n - WINDOW, 9) for n in CANVAS), indexing="ij"))
    positions = grid.reshape(2, -1).T + corner
    volume = np.stack([0.4 * phase, 0.6 * phase], axis=1).astype(np.float32)  # two slices
    settings: dict[str, Any] = {"pixel_size": (0.25, 0.25), **changes}
    return Results(
        amplitude=np.ones_like(volume),
        phase=volume,
        probe=np.ones((1, WINDOW, WINDOW), np.complex64),
        positions=positions,
        positions_start=positions,
        **settings,
    )


def noisy(seed: int, std: float = 0.02) -> NDArray[np.float64]:
    """[1, Y, X] the same phase every time, with noise of its own, an offset and a ramp."""
    y, x = np.indices(CANVAS)
    random = np.random.default_rng([seed, 1])  # none that the phase is made of
    plane = random.normal() + 1e-2 * (random.normal() * y + random.normal() * x)
    return (smooth_noise(CANVAS, 1) + std * random.normal(size=CANVAS) + plane)[None]


def test_the_resolution_is_where_signal_and_noise_meet() -> None:
    """The spectrum exp(-(q / 0.12)^2) of both slices falls under the noise: SNR = 1/6 for 1/7."""
    found = compare_results(result(noisy(1)), result(noisy(2)))
    assert list(found.curves) == ["phase"]
    assert found.unit == "Å"
    assert found.shape == (81, 89)
    assert found.shift_px == pytest.approx((0, 0), abs=0.05)
    # Power in a coefficient: the signal's variance over its share of the plane, pi 0.12^2 / 2.
    peak = 0.15**2 / (math.pi * 0.12**2 / 2)
    expected = 0.12 / math.sqrt(2) * math.sqrt(math.log(6 * peak / 0.02**2)) / 0.25
    curve = found.curves["phase"]
    crossing = curve.crossing(curve.one_seventh)
    assert crossing is not None
    assert crossing.frequency == pytest.approx(expected, rel=bound("raster"))
    half = curve.crossing(curve.half_bit)
    assert half is not None
    assert half.frequency < crossing.frequency


def test_another_frame_and_a_drift_change_nothing() -> None:
    """The second object has 3 and 5 px less above and left, and its positions know it; and it has
    moved by a pixel, of which they do not know."""
    first, second = result(noisy(1, 0)), noisy(1, 0)
    moved = result(np.roll(second, (1, 0), axis=(1, 2))[:, 3:, 5:], corner=(-3, -5))
    found = compare_results(first, moved)
    assert found.correlation == pytest.approx(1, abs=bound("sampled"))
    assert found.shift_px == pytest.approx((1, 0), abs=bound("sampled"))
    assert not found.at_limit


def test_modes_are_compared_with_their_own() -> None:
    one, other = noisy(1, 0), -noisy(1, 0)
    noise = np.random.default_rng(3).normal(size=(1, *CANVAS))
    occupancy = np.array([0.75, 0.25], np.float32)
    first = result(np.concatenate([one, other]), occupancy=occupancy)
    second = result(np.concatenate([one, noise]), occupancy=occupancy)
    found = compare_results(first, second)
    assert list(found.curves) == ["phase", "mode 1", "mode 2"]
    low = slice(2, 6)
    assert found.curves["mode 1"].correlation[low].min() > 0.99
    assert np.abs(found.curves["mode 2"].correlation[low]).max() < 0.9
    names = [row.name for row in found.table()]
    assert names[1] == "FRC resolution, 1/7"
    assert names[5] == "FRC resolution, 1/7, mode 2"
    assert set(found.summary()["resolution"]) == {"phase", "mode 1", "mode 2"}


def test_pixel_units() -> None:
    found = compare_results(*(result(noisy(s), pixel_size=None) for s in (1, 2)))
    with_lengths = compare_results(result(noisy(1)), result(noisy(2)))
    assert found.unit == "px"
    in_px, in_angstrom = found.curves["phase"], with_lengths.curves["phase"]
    np.testing.assert_allclose(in_px.frequency, 0.25 * in_angstrom.frequency)
    np.testing.assert_allclose(in_px.correlation, in_angstrom.correlation)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (result(noisy(1), pixel_size=(0.25, 0.26)), r"0\.25 x 0\.25 and 0\.25 x 0\.26 A"),
        (result(noisy(1), pixel_size=None), "pixel units"),
        (result(np.concatenate([noisy(1)] * 2)), "has 1 object modes, the second 2"),
        (result(noisy(1)[:, :30, :30]), "cannot be compared .* share"),
        (result(np.zeros((1, *CANVAS))), "nothing is left .* but a plane"),
    ],
)
def test_what_cannot_be_compared(other: Results, message: str) -> None:
    with pytest.raises(DataError, match=rf"^frc: .*{message}"):
        compare_results(result(noisy(1)), other)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A file, and a folder with one."""
    (tmp_path / "run").mkdir()
    files = tmp_path / "a.h5", tmp_path / "run" / "reconstruction.h5"
    for seed, file in enumerate(files):
        write_results(result(noisy(seed)), file)
    return files[0], tmp_path / "run"


def test_what_is_written(pair: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra report is not installed")
    stream = io.StringIO()
    output = tmp_path / "out"
    found = compare_files(*pair, output, Console(file=stream, width=200))
    assert sorted(path.name for path in output.iterdir()) == sorted(NAMES)
    assert json.loads((output / "frc.json").read_text(encoding="utf-8")) == found.summary()
    with (output / "frc.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["frequency (1/Å)", "phase", "half-bit", "1/7", "independent coefficients"]
    columns = np.array(lines, float).T
    curve = found.curves["phase"]
    for column, expected in zip(
        columns,
        (curve.frequency, curve.correlation, curve.half_bit, curve.one_seventh, curve.count),
        strict=True,
    ):
        np.testing.assert_array_equal(column, expected)
    crossing = curve.crossing(curve.half_bit)
    assert crossing is not None
    with (output / "quality.csv").open(encoding="utf-8", newline="") as file:
        rows = {name: value for name, value, _ in csv.reader(file)}
    assert float(rows["FRC resolution, half-bit"]) == crossing.resolution
    assert f"FRC resolution, half-bit: {crossing.resolution:.4g} Å" in stream.getvalue()
    assert (output / "frc.png").stat().st_size > 0
    with pytest.raises(OutputError, match=r"holds an earlier frc\.csv.*--overwrite"):
        compare_files(*pair, output, Console(file=stream))
    compare_files(*pair, output, Console(file=stream), overwrite=True)


def test_equal_results_are_limited_by_the_sampling(tmp_path: Path) -> None:
    same = result(noisy(1))
    found = compare_results(same, same)
    assert found.table()[0].name == "FRC resolution, half-bit (at most)"
    assert found.summary()["resolution"]["phase"]["half_bit"]["at_limit"]


def test_without_matplotlib_the_numbers_are_written(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    stream = io.StringIO()
    compare_files(*pair, tmp_path / "out", Console(file=stream, width=200))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        set(NAMES) - {"frc.png"}
    )
    assert "No figure: matplotlib: is not installed" in stream.getvalue()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = compare_results(result(noisy(1)), result(noisy(2)))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"No space left on device.*Make room"):
        write_resolution(found, tmp_path)
    assert not list(tmp_path.iterdir())
