"""Inputs and comparisons that the tests of reference and ops share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.tolerances import tolerance

__all__ = ["CASES", "DTYPES", "OPTICS", "Case", "assert_near", "cases", "gradients", "real_of"]

DTYPES = [torch.complex64, torch.complex128]

# Non-square pixels throughout. At the long wavelength the detector's corners are evanescent.
OPTICS = {
    "angular_spectrum": {"wavelength": 0.0197, "pixel_size": (0.31, 0.23)},
    "evanescent": {"wavelength": 0.7, "pixel_size": (0.31, 0.29)},
    "fresnel": {"wavelength": 0.0197, "pixel_size": (0.31, 0.23), "model": "fresnel"},
}
for _optics in OPTICS.values():
    _optics.setdefault("model", "angular_spectrum")


def real_of(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.complex64 else torch.float64


@dataclass(frozen=True)
class Case:
    """Sizes of everything; the inputs follow from a seed."""

    B: int
    M: int
    No: int
    Nz: int
    window: tuple[int, int]
    extent: tuple[int, int]
    seed: int = field(default=0)

    def __str__(self) -> str:
        return f"{self.B}x{self.M}x{self.No}x{self.Nz}-{self.window[0]}x{self.window[1]}"

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def probe(self, dtype: torch.dtype) -> torch.Tensor:
        return torch.randn(self.M, *self.window, dtype=dtype, generator=self._generator())

    def wave(self, dtype: torch.dtype) -> torch.Tensor:
        shape = (self.B, self.M, self.No, *self.window)
        return torch.randn(shape, dtype=dtype, generator=self._generator())

    def amplitude(self, dtype: torch.dtype) -> torch.Tensor:
        """Also zero and negative in places: a fit may pass through both."""
        shape = (self.No, self.Nz, *self.extent)
        one = 1 + torch.randn(shape, dtype=real_of(dtype), generator=self._generator()) / 2
        one.flatten()[::7] = 0
        return one

    def phase(self, dtype: torch.dtype) -> torch.Tensor:
        shape = (self.No, self.Nz, *self.extent)
        generator = torch.Generator().manual_seed(self.seed + 1)
        return torch.randn(shape, dtype=real_of(dtype), generator=generator)

    def obj(self, dtype: torch.dtype) -> torch.Tensor:
        phase = self.phase(dtype)
        return self.amplitude(dtype) * torch.polar(torch.ones_like(phase), phase)

    def corner(self) -> torch.Tensor:
        """The first two are the extreme ones."""
        last = torch.tensor(self.extent) - torch.tensor(self.window)
        corner = (torch.rand(self.B, 2, generator=self._generator()) * (last + 1)).long()
        corner[:1] = 0
        corner[1:2] = last
        return corner

    def shift(self, dtype: torch.dtype) -> torch.Tensor:
        uniform = torch.rand(self.B, 2, dtype=real_of(dtype), generator=self._generator())
        return uniform - 0.5

    def thickness(self, dtype: torch.dtype) -> torch.Tensor:
        """Another one for every gap; one of them runs against the beam."""
        uniform = torch.rand(self.Nz - 1, dtype=real_of(dtype), generator=self._generator())
        thickness = 2 + 5 * uniform
        thickness[2:3] *= -1
        return thickness

    def tilt(self, dtype: torch.dtype, shared: bool = False) -> torch.Tensor:
        shape = (1 if shared else self.B, 2)
        return 20 * torch.randn(shape, dtype=real_of(dtype), generator=self._generator())

    def occupancy(self, dtype: torch.dtype) -> torch.Tensor:
        return 0.1 + torch.rand(self.No, dtype=real_of(dtype), generator=self._generator())

    def gradient_like(self, out: torch.Tensor) -> torch.Tensor:
        """What arrives from the loss: complex where the output is, so that nothing is blind."""
        return torch.randn(
            out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(self.seed + 2)
        )


CASES = [
    Case(3, 2, 2, 3, (5, 7), (11, 13)),  # odd
    Case(2, 1, 1, 2, (11, 13), (17, 19)),  # prime
    Case(2, 3, 3, 2, (4, 16), (9, 20)),  # rectangular, even
    Case(2, 1, 2, 4, (6, 5), (6, 5)),  # even by odd; the window is the object
    Case(2, 2, 1, 1, (4, 6), (8, 8)),  # one slice: nothing is propagated
    Case(1, 1, 1, 2, (1, 1), (1, 1)),  # a single pixel
    Case(0, 2, 2, 2, (4, 5), (8, 8)),  # no position
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small cases of any parity and shape."""
    window = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), "window")
    margin = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)), "margin")
    return Case(
        B=draw(st.integers(1, 3), "B"),
        M=draw(st.integers(1, 3), "M"),
        No=draw(st.integers(1, 3), "No"),
        Nz=draw(st.integers(1, 4), "Nz"),
        window=window,
        extent=(window[0] + margin[0], window[1] + margin[1]),
        seed=draw(st.integers(0, 1000), "seed"),
    )


def gradients(
    function: Callable[..., torch.Tensor], case: Case, *inputs: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """(out, gradient of every input) by torch's autograd, for a fixed gradient of the output."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    out = function(*leaves)
    found = torch.autograd.grad(out, leaves, case.gradient_like(out), materialize_grads=True)
    return out.detach(), *found


def assert_near(
    actual: torch.Tensor, expected: torch.Tensor | ArrayLike, kind: str, size: float = 0.0
) -> None:
    """Equal up to the tolerance of the actual dtype.

    It is relative to the largest expected value, or to ``size`` where sums may cancel below it.
    """
    expected = torch.as_tensor(np.asarray(expected))
    assert actual.shape == expected.shape
    assert actual.is_complex() == expected.is_complex()
    size = max(size, float(expected.abs().max()) if expected.numel() else 0.0)
    torch.testing.assert_close(
        actual, expected.to(actual.dtype), **tolerance(kind, actual.dtype, scale=size)
    )
