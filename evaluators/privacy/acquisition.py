"""How an image was taken and stored, apart from what it shows: what gives a scanner, a site or a program away."""

from __future__ import annotations

import numpy as np

from bench.api import Images, ImageSet, Rows
from bench.statistics.arrays import Floats, Mask, Singles

DARK = 2  # grey levels up to this one count as border
BLOCK = 8  # side of the squares JPEG compresses
BRIGHTNESS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
CUES = (
    "mean",
    "standard deviation",
    "share of black",
    "share of white",
    *(f"grey level under which {share:.0%} lie" for share in BRIGHTNESS),
    "darkest level",
    "brightest level",
    "share of levels used between them",
    "roughness of the histogram",
    "entropy",
    "dark border above",
    "dark border below",
    "dark border on the left",
    "dark border on the right",
    "proportion of the rest",
    "mean of the outermost lines",
    "sharpness",
    "median noise",
    "mean noise",
    "steps across",
    "steps down",
    "blocks across",
    "blocks down",
)


def acquisition_rows(images: ImageSet) -> Rows:
    """``acquisition_cues`` of a whole set, decoded in blocks: ``(N, C)`` float32."""
    return np.concatenate([acquisition_cues(block) for block in images.blocks(256)])


def acquisition_cues(images: Images) -> Rows:
    """What each of ``(N, H, W)`` uint8 images tells of its acquisition: ``(N, C)`` float32, columns as in ``CUES``.

    Grey levels: moments, quantiles, ends, shares of 0 and 255, entropy, and what a remapped histogram shows: levels
    left out, and the sum of the differences of adjacent counts (a comb). Frame: the share of either side that is lines
    no brighter than ``DARK``, the logarithm of the proportion of what remains, and the mean of the outermost lines.
    Fineness: logarithms of the variance of the Laplacian and of mean steps to the next pixel; the median and the mean
    of the diagonal detail of 2 x 2 pixels, in which smooth anatomy cancels (Donoho & Johnstone 1994). JPEG: the
    logarithm of third differences across borders of 8 x 8 squares over those elsewhere, counted from the first pixel
    (after Wang, Bovik & Evans 2000, doi:10.1109/ICIP.2000.899622). Images need 8 pixels a side.
    """
    pixels = images.astype(np.float32)
    return np.concatenate([_levels(images, pixels), _frame(pixels), _fineness(pixels)], axis=1, dtype=np.float32)


def _levels(images: Images, pixels: Singles) -> Floats:
    counts = np.stack([np.bincount(each.ravel(), minlength=256) for each in images]) / images[0].size
    below = counts.cumsum(axis=1)
    quantiles = [(below < share - 1e-9).sum(axis=1) for share in BRIGHTNESS]
    used = counts > 0
    darkest, brightest = used.argmax(axis=1), 255 - used[:, ::-1].argmax(axis=1)
    inner = counts[:, 1:-1]
    rough = np.abs(np.diff(inner, axis=1)).sum(axis=1) / np.maximum(inner.sum(axis=1), 1 / images[0].size)
    entropy = -(counts * np.log2(np.where(used, counts, 1.0))).sum(axis=1)
    moments = [pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2)), counts[:, 0], counts[:, 255]]
    share_used = used.sum(axis=1) / (brightest - darkest + 1)
    return np.stack([*moments, *quantiles, darkest, brightest, share_used, rough, entropy], axis=1)


def _frame(pixels: Singles) -> Floats:
    height, width = pixels.shape[1:]
    rows, columns = (pixels.max(axis=axis) <= DARK for axis in (2, 1))
    borders = [_leading(lines) for lines in (rows, rows[:, ::-1], columns, columns[:, ::-1])]
    tall = np.maximum(height * (1 - borders[0] - borders[1]), 1)
    wide = np.maximum(width * (1 - borders[2] - borders[3]), 1)
    outermost = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    return np.stack([*borders, np.log(tall / wide), outermost.mean(axis=1)], axis=1)


def _leading(lines: Mask) -> Floats:
    """The share of ``(N, L)`` lines that comes before the first false one."""
    return np.where(lines.all(axis=1), lines.shape[1], (~lines).argmax(axis=1)) / lines.shape[1]


def _fineness(pixels: Singles) -> Floats:
    across, down = np.diff(pixels, axis=2), np.diff(pixels, axis=1)
    bend = np.diff(across, axis=2)[:, 1:-1] + np.diff(down, axis=1)[:, :, 1:-1]
    detail = np.abs(np.diff(across, axis=1)).reshape(len(pixels), -1) / 2
    steps = [np.log1p(np.abs(each).mean(axis=(1, 2))) for each in (across, down)]
    thirds = [np.abs(np.diff(across, n=2, axis=2)).mean(axis=1), np.abs(np.diff(down, n=2, axis=1)).mean(axis=2)]
    noise = [np.median(detail, axis=1), np.log1p(detail.mean(axis=1))]
    return np.stack([np.log1p(bend.var(axis=(1, 2))), *noise, *steps, *map(_blocks, thirds)], axis=1)


def _blocks(thirds: Singles) -> Floats:
    """Third differences ``(N, L - 3)`` whose middle lies between two squares over the others, as a logarithm."""
    between = (np.arange(thirds.shape[1]) + 2) % BLOCK == 0
    return np.log((thirds[:, between].mean(axis=1) + 0.1) / (thirds[:, ~between].mean(axis=1) + 0.1))
