"""What became of the detector's pixels since they were recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Detector"]


@dataclass(frozen=True)
class Detector:
    """The present pixels in terms of the recorded ones.

    Parameters
    ----------
    recorded : (Ny, Nx) of the file.
    axes : the recorded axis along each present one.
    width : of a present pixel along each present axis, in recorded pixels.
    centre : where the zero frequency lies now, if it was at N//2 when nobody had sought it.
    """

    recorded: tuple[int, int]
    axes: tuple[int, int] = (0, 1)
    width: tuple[float, float] = (1.0, 1.0)
    centre: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Detector:
        """As recorded."""
        return cls(shape, centre=(float(shape[0] // 2), float(shape[1] // 2)))

    def moved(self, y: float, x: float) -> Detector:
        """The pixels' indices have grown by (y, x)."""
        return replace(self, centre=(self.centre[0] + y, self.centre[1] + x))
