"""``calibration.png``: what a calibration was found from, on one page."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from fastpty.calibrate.orientation import without_plane
from fastpty.calibrate.solve import Calibration
from fastpty.figures.common import (
    PAGE,
    Scale,
    add_scale_bar,
    complex_to_rgb,
    hide_ticks,
    new_figure,
    robust_limits,
    style,
)

__all__ = ["draw_calibration"]

_BLUE, _ORANGE = "#0072B2", "#E69F00"


@style()
def draw_calibration(found: Calibration) -> Figure:
    """Mean pattern with the disc, centre of mass before and after, curl, shifts, phases."""
    figure = new_figure(PAGE, 0.62 * PAGE + 0.3)
    axes = figure.subplots(2, 4)
    _draw_disc(axes[0, 0], found)
    turned = without_plane(found.gathered.virtual.centre_of_mass)
    _draw_field(axes[0, 1], found, turned, "centre of mass")
    along = np.einsum("ij,ikl->jkl", found.lens.orientation, turned)
    _draw_field(axes[0, 2], found, along, "turned to the scan")
    _draw_curl(axes[0, 3], found)
    _draw_shifts(axes[1, 0], found)
    for panel, image, title in (
        (axes[1, 1], found.aligned, "bright field, aligned"),
        (axes[1, 2], found.phase, "phase (weak-phase fit)"),
        (axes[1, 3], found.integrated, "phase (iCoM)"),
    ):
        _draw_image(panel, found, image, title)
    lens = found.lens
    figure.suptitle(
        f"{found.gathered.source}: rotation {lens.rotation_deg:.2f}°"
        + (", mirrored" if lens.mirrored else "")
        + f", defocus {-lens.c10:.4g} Å, disc {found.gathered.disc.radius:.2f} px"
    )
    return figure


def _draw_disc(axes: Axes, found: Calibration) -> None:
    mean, disc = found.gathered.mean, found.gathered.disc
    top = robust_limits(mean)[1]
    axes.imshow(mean, cmap="inferno", norm=PowerNorm(0.5, 0.0, top if top > 0 else 1.0))
    axes.add_patch(
        Ellipse(
            (disc.centre[1], disc.centre[0]),
            2 * disc.radii[0],
            2 * disc.radii[1],
            angle=disc.angle_deg,
            fill=False,
            edgecolor="#56B4E9",
            linewidth=1.0,
        )
    )
    axes.plot(disc.centre[1], disc.centre[0], "+", color="#56B4E9", markersize=6)
    hide_ticks(axes)
    mrad = 1e3 * found.wavelength * found.dk
    add_scale_bar(axes, mean.shape, Scale((mrad, mrad), "mrad"))
    axes.set_title("mean pattern, disc")


def _draw_field(axes: Axes, found: Calibration, field: NDArray[np.float64], title: str) -> None:
    """Direction as hue, length as brightness."""
    wave = field[1] + 1j * field[0]
    largest = float(np.quantile(np.abs(wave), 0.99)) or 1.0
    axes.imshow(complex_to_rgb(wave, largest), aspect=_scan_scale(found).aspect)
    hide_ticks(axes)
    add_scale_bar(axes, wave.shape, _scan_scale(found))
    axes.set_title(title)


def _draw_curl(axes: Axes, found: Calibration) -> None:
    angles = np.linspace(-180, 180, 361)
    for mirrored, colour, label in ((False, _BLUE, "as recorded"), (True, _ORANGE, "mirrored")):
        axes.plot(angles, found.curl.curve(angles, mirrored), color=colour, label=label)
    axes.axvline(found.lens.rotation_deg, color="black", linewidth=0.8, linestyle="--")
    axes.set_xticks([-180, -90, 0, 90, 180])
    axes.set_ylim(0, 1)
    axes.set_xlabel("rotation (°)")
    axes.set_ylabel("curl, share of the power")
    axes.legend(loc="upper center", handlelength=1.2)
    axes.set_title("curl of the centre of mass")


def _draw_shifts(axes: Axes, found: Calibration) -> None:
    shifts = found.parallax
    fitted = shifts.k @ shifts.slope.T
    middle = (shifts.shifts - fitted).mean(axis=0)
    for (y, x), (fy, fx) in zip(shifts.shifts, fitted + middle, strict=True):
        axes.plot([x, fx], [y, fy], color="0.6", linewidth=0.5)
    axes.plot(*fitted.T[::-1] + middle[::-1, None], ".", color=_BLUE, markersize=4, label="fit")
    axes.plot(*shifts.shifts.T[::-1], ".", color=_ORANGE, markersize=2.5, label="measured")
    reach = 1.35 * float(np.abs(np.vstack([shifts.shifts, fitted])).max(initial=0.1))
    axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    axes.set_xlabel("fast (scan steps)")
    axes.set_ylabel("slow (scan steps)")
    axes.legend(loc="upper right", handlelength=0.6, borderpad=0.0, handletextpad=0.2)
    axes.set_title("parallax shifts")


def _draw_image(axes: Axes, found: Calibration, image: NDArray[np.float64], title: str) -> None:
    low, high = robust_limits(image)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=_scan_scale(found).aspect)
    hide_ticks(axes)
    add_scale_bar(axes, image.shape, _scan_scale(found))
    axes.set_title(title)


def _scan_scale(found: Calibration) -> Scale:
    slow, fast = np.linalg.norm(found.gathered.basis, axis=0)
    return Scale((float(slow), float(fast)), "Å")
