"""Structural similarity of two images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SSIM_SIDE", "ssim"]

SSIM_SIDE = 11
"""Side of the weighted neighbourhood in px, and so the least side of an image."""
_STD = 1.5
"""Of its Gaussian weights, px."""
_K1, _K2 = 0.01, 0.03


def ssim(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean structural similarity, 1 for equal images.

    ``(2 mx my + C1) (2 sxy + C2) / ((mx^2 + my^2 + C1) (sx^2 + sy^2 + C2))`` with means m,
    variances and covariance s under Gaussian weights of 11 x 11 px and 1.5 px standard deviation,
    averaged over all places that have so many neighbours; C1 = (0.01 L)^2, C2 = (0.03 L)^2 (Z.
    Wang, A. C. Bovik, H. R. Sheikh & E. P. Simoncelli, IEEE Trans. Image Process. 13 (2004) 600).
    L is the range of the truth. Both images count from the truth's smallest value, as the formula
    is made for brightnesses, which are not negative.

    Parameters
    ----------
    image, truth : [Y, X], of one shape and unit, 11 px or more along each side.

    Raises
    ------
    ValueError : the images differ in shape, are not finite or too small, or the truth is flat.
    """
    x, y = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    if x.ndim != 2 or x.shape != y.shape or min(x.shape) < SSIM_SIDE:
        raise ValueError(
            f"image {x.shape} and truth {y.shape} must be of one shape [Y, X], with {SSIM_SIDE} px "
            "or more a side"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("image and truth must be finite")
    extent = float(np.ptp(y))
    if extent == 0:
        raise ValueError("the truth is flat, and has no range")
    x, y = x - y.min(), y - y.min()
    mean_x, mean_y = _weighted(x), _weighted(y)
    var_x, var_y = _weighted(x * x) - mean_x**2, _weighted(y * y) - mean_y**2
    covariance = _weighted(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * extent) ** 2, (_K2 * extent) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float((above / below).mean())


def _weighted(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means [Y - 10, X - 10], where all neighbours exist."""
    place = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weights = np.exp(-0.5 * (place / _STD) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(image, SSIM_SIDE, axis=axis)
        image = windows @ weights
    return image
