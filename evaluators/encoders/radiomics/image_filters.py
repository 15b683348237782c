"""Filters applied before radiomic features are taken (IBSI 2, arXiv:2006.05470)."""

from __future__ import annotations

import numpy as np

from bench.statistics.arrays import Floats, Levels

COIFLET_1 = np.array(
    [
        -0.0156557281354645,
        -0.0727326195128539,
        0.384864846864203,
        0.852572020212255,
        0.337897662457809,
        -0.0727326195128539,
    ]
)


def laplacian_of_gaussian(images: Floats, sigma: float) -> Floats:
    """``sigma^2 * (d^2/dx^2 + d^2/dy^2) G_sigma * image``, the borders mirrored: ``(N, H, W)``.

    The factor ``sigma^2`` makes responses at different scales comparable (Lindeberg 1998). ``sigma`` is in pixels;
    the kernel is cut at four sigma.
    """
    from scipy.ndimage import gaussian_filter1d

    down = gaussian_filter1d(gaussian_filter1d(images, sigma, axis=1, order=2), sigma, axis=2)
    across = gaussian_filter1d(gaussian_filter1d(images, sigma, axis=2, order=2), sigma, axis=1)
    return sigma**2 * (down + across)


def high_pass(low: Floats) -> Floats:
    """The quadrature mirror ``g[k] = (-1)^k h[n-1-k]`` of an orthogonal wavelet's low-pass filter."""
    return low[::-1] * (-1.0) ** np.arange(len(low))


def wavelet(images: Floats, band: str) -> Floats:
    """One band of the undecimated coiflet-1 transform, the borders mirrored: ``(N, H, W)``.

    Args:
        band: ``ll``, ``lh``, ``hl`` or ``hh``: the filter along x, then along y; ``l`` low-pass, ``h`` high-pass.
            Filters are scaled by ``1/sqrt(2)``, so ``ll`` keeps the mean.
    """
    from scipy.ndimage import convolve1d

    filters = {"l": COIFLET_1 / np.sqrt(2), "h": high_pass(COIFLET_1) / np.sqrt(2)}
    return convolve1d(convolve1d(images, filters[band[0]], axis=2), filters[band[1]], axis=1)


def removes_mean(name: str) -> bool:
    """Whether the filter called ``name`` answers 0 to a flat image."""
    return name not in ("original", "wavelet_ll")


def filtered(images: Levels, name: str) -> Floats:
    """The images after the filter called ``name``: ``log_<sigma in pixels>`` or ``wavelet_<band>``.

    Responses are rounded to a millionth of a grey level: a flat image must give a flat response, which the rounding
    errors of a convolution would otherwise turn into texture.

    Raises:
        ValueError: no such filter.
    """
    kind, _, setting = name.partition("_")
    values = images.astype(np.float64)
    if kind == "log":
        response = laplacian_of_gaussian(values, float(setting))
    elif kind == "wavelet" and setting in ("ll", "lh", "hl", "hh"):
        response = wavelet(values, setting)
    else:
        raise ValueError(f"no image filter called {name!r}: there are log_<sigma> and wavelet_<ll|lh|hl|hh>")
    return np.round(response, 6)
