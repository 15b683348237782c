"""Drawing of mammograms: oblique (MLO) views with prescribed density, area and contrast.

Lengths are in units of the image height, which stands for 632 pixels of 0.455 mm (CSAW-M's preprocessed images)
whatever the height in pixels. The looks follow VICTRE's breast model (Badano 2018, doi
10.1001/jamanetworkopen.2018.5474) without its physics; the spectrum follows Burgess's power law, with the exponent of
about -3.1 that is measured on mammograms (Chen 2012, doi 10.1118/1.3685462).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import map_coordinates
from scipy.special import expit

from bench.datasets.positioning import Field, Positioning
from bench.statistics.arrays import Mask

HEIGHT_PIXELS = 632
PIXEL_MM = 0.455
WHITE = 4095
FLOOR = 0.012


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What to draw.

    Attributes:
        percent_density: share of the breast, pectoral muscle excluded, that is dense tissue, 0 to 95.
        breast_area: cm2, pectoral muscle excluded; kept as far as the frame allows.
        contrast: 0 (even, dark tissue) to 1 (bright, patchy tissue that hides lesions).
        laterality: ``L`` has the chest wall on the left of the picture, ``R`` on the right.
    """

    percent_density: float
    breast_area: float
    contrast: float
    laterality: Literal["L", "R"] = "L"


@dataclass(frozen=True, slots=True)
class Mammogram:
    """A drawn mammogram and the truth about it, all ``(H, W)``.

    Attributes:
        raw: uint16 detector values 0 to 4095; background exactly 0, breast above 0.
        breast: share of each pixel that is breast (with its nipple, without the pectoral muscle), 0 to 1.
        dense: share of each pixel that is dense tissue of the breast, 0 to 1.
    """

    raw: npt.NDArray[np.uint16]
    breast: Field
    dense: Field

    @property
    def percent_density(self) -> float:
        """100 x dense area / breast area."""
        return 100.0 * float(self.dense.sum()) / float(self.breast.sum())

    @property
    def breast_area(self) -> float:
        """cm2."""
        return float(self.breast.sum()) * (pixel_mm(self.raw.shape[0]) / 10) ** 2

    @property
    def dense_area(self) -> float:
        """cm2."""
        return float(self.dense.sum()) * (pixel_mm(self.raw.shape[0]) / 10) ** 2


def pixel_mm(height: int) -> float:
    """Size of a pixel, in mm, of a mammogram ``height`` pixels high."""
    return PIXEL_MM * HEIGHT_PIXELS / height


def draw(
    anatomy: Anatomy, size: tuple[int, int], rng: np.random.Generator, exam: np.random.Generator | None = None
) -> Mammogram:
    """Draw one mammogram of ``size`` (height, width), at most 632x512 wanted, any aspect ratio.

    The same anatomy, size and state of ``rng`` give the same picture. Its percent density is the one asked for to
    within one pixel's worth. Pictures up to 256 pixels high are drawn at twice their size and averaged.

    With ``exam``, the picture is one of several of the same breast: the same state of ``rng`` gives the same tissue,
    and ``exam`` decides position, exposure and noise; density and area are then those asked for to within a few
    percent.
    """
    fine = 2 if size[0] <= 256 else 1
    height, width = size[0] * fine, size[1] * fine
    outline = _Outline.drawn(anatomy.breast_area, width / height, rng)
    canvas = _Canvas.of(outline, height, width)
    tissue = _tissue(anatomy, outline, canvas, rng)
    light = _light(anatomy, outline, canvas, tissue, rng)
    fields = canvas.mask, canvas.breast.astype(np.float32), tissue.dense.astype(np.float32)
    if exam is not None:
        position = Positioning.drawn((height, width), exam)
        light, fields = position(light, order=3), (position(fields[0]), position(fields[1]), position(fields[2]))
    mask, breast, dense = (_shrink(field, fine) for field in fields)
    light = np.clip(_shrink(_exposed(light, rng if exam is None else exam), fine), FLOOR, 1) * (mask >= 0.5)
    raw = np.round(light * WHITE).astype(np.uint16)
    if anatomy.laterality == "R":
        raw, breast, dense = raw[:, ::-1], breast[:, ::-1], dense[:, ::-1]
    return Mammogram(np.ascontiguousarray(raw), np.ascontiguousarray(breast), np.ascontiguousarray(dense))


@dataclass(frozen=True, slots=True)
class _Outline:
    """Two half super-ellipses against the chest wall at x = 0, joined at the nipple's row.

    ``x / (length * wobble)`` and ``|y - row| / reach`` raised to ``power`` sum to one on the skin.
    """

    length: float
    row: float
    reach: tuple[float, float]
    power: tuple[float, float]
    phases: tuple[float, float]
    nipple: tuple[float, float]
    muscle: tuple[float, float]
    fold: float

    @staticmethod
    def drawn(area: float, aspect: float, rng: np.random.Generator) -> _Outline:
        """Draw a shape, then solve the length from the area, of which it is a linear function."""
        target = area * (10 / (PIXEL_MM * HEIGHT_PIXELS)) ** 2
        growth = (target / 0.24) ** 0.5
        row = float(rng.uniform(0.50, 0.58))
        below = float(np.clip(rng.uniform(0.27, 0.35) * growth, 0.2, 0.97 - row))
        above = row + float(rng.uniform(0.0, 0.22)) * growth
        power = (float(rng.uniform(1.4, 1.8)), float(rng.uniform(1.9, 2.4)))
        across, down = float(rng.uniform(0.38, 0.78)), float(rng.uniform(0.34, 0.66))
        rows = (np.arange(256) + 0.5) / 256
        upper = rows < row
        t = np.clip(np.where(upper, (row - rows) / above, (rows - row) / below), 0, 1)
        exponent = np.where(upper, power[0], power[1])
        profile = (1 - t**exponent) ** (1 / exponent)
        free = float(np.clip(profile - across * np.clip(1 - rows / down, 0, None), 0, None).mean())
        length = float(np.clip(target / free, 0.16, 0.78 * aspect))
        phases = (float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0, 2 * math.pi)))
        nipple = (row + float(rng.normal(0, 0.018)), float(rng.uniform(0.0145, 0.0185)))
        fold = float(rng.uniform(0.02, 0.07)) if rng.random() < 0.4 else 0.0
        return _Outline(length, row, (above, below), power, phases, nipple, (across * length, down), fold)

    def wobble(self, y: Field) -> Field:
        """Factor on the length at the rows ``y``: the skin is no perfect curve."""
        first, second = self.phases
        return (1 + 0.014 * np.sin(8.2 * y + first) + 0.008 * np.sin(17 * y + second)).astype(np.float32)

    def tip(self) -> tuple[float, float]:
        """Row and column where the nipple leaves the skin."""
        y = self.nipple[0]
        side = 0 if y < self.row else 1
        t = abs(y - self.row) / self.reach[side]
        edge = self.length * (1 - t ** self.power[side]) ** (1 / self.power[side])
        return y, edge * float(self.wobble(np.array([y], np.float32))[0])


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The geometry of an outline on a grid; ``y`` is (H, 1), ``x`` is (1, W), the rest (H, W)."""

    y: Field
    x: Field
    depth: Field
    nipple: Field
    mask: Field
    muscle: Field

    @property
    def breast(self) -> Mask:
        return (self.mask > 0.5) & (self.muscle < 0.5)

    @staticmethod
    def of(outline: _Outline, height: int, width: int) -> _Canvas:
        """Depth under the skin, first order; soft mask of the foreground; soft mask of the pectoral muscle."""
        y, x = _grid(height, width)
        upper = y < outline.row
        p = np.where(upper, outline.power[0], outline.power[1]).astype(np.float32)
        reach = np.where(upper, outline.reach[0], outline.reach[1]).astype(np.float32)
        length = outline.length * outline.wobble(y)
        across, down = x / length, np.abs(y - outline.row) / reach
        inner_across, inner_down = across ** (p - 1), down ** (p - 1)
        total = inner_across * across + inner_down * down + 1e-6
        f = total ** (1 / p)
        slope = np.hypot(inner_across / length, inner_down / reach) * f / total
        depth = (1 - f) / np.maximum(slope, 0.5)
        if outline.fold:
            below = (y - outline.row - outline.reach[1]) / 0.3
            strip = outline.fold * np.clip(below + 0.25, -0.3, 1.2) - x
            depth = _union(depth, strip, 0.02)
        tip_y, tip_x = outline.tip()
        radius = outline.nipple[1]
        nipple = radius - np.hypot((x - tip_x + 0.3 * radius) * 0.8, y - tip_y)
        depth = _union(depth, nipple, 0.004).astype(np.float32)
        mask = expit(depth * height * 3).astype(np.float32)
        return _Canvas(y, x, depth, nipple.astype(np.float32), mask, _muscle(outline, y, x, height) * (mask > 0.5))


@dataclass(frozen=True, slots=True)
class _Tissue:
    """What the breast is made of, each (H, W): soft dense share, hard dense map and the fields it came from."""

    gland: Field
    dense: Mask
    texture: Field
    ducts: Field
    strands: Field


def _muscle(outline: _Outline, y: Field, x: Field, height: int) -> Field:
    """Soft mask of the pectoral muscle: a slightly bulging triangle in the upper corner at the chest wall."""
    across, down = outline.muscle
    bulge = 0.04 * across * np.sin(math.pi * np.clip(y / down, 0, 1))
    return expit((across * (1 - y / down) + bulge - x) * min(150.0, height * 1.2)).astype(np.float32)


def _tissue(anatomy: Anatomy, outline: _Outline, canvas: _Canvas, rng: np.random.Generator) -> _Tissue:
    """Lay out dense tissue as a fan behind the nipple, broken into lobes and streaks along the ducts."""
    shape = canvas.depth.shape
    share, contrast = anatomy.percent_density / 100, anatomy.contrast
    length, row = outline.length, outline.row
    tilt = float(rng.normal(-0.25, 0.2))
    lobes = _power_law(shape, 3.4, 3.0, rng, stretch=float(rng.uniform(0.6, 0.9)), angle=tilt)
    texture = _power_law(shape, 3.15, 3.0, rng)
    strands = np.exp(-((_power_law(shape, 2.8, 4.0, rng, stretch=0.45, angle=tilt) / 0.16) ** 2))
    ducts = _ducts(outline, canvas, rng)
    centre_x, centre_y = length * float(rng.uniform(0.44, 0.58)), row - float(rng.uniform(0.0, 0.07))
    reach_x, reach_y = length * (0.38 + 0.35 * share), (0.6 * outline.reach[1]) * (0.8 + 0.9 * share)
    fan = 1 - np.hypot((canvas.x - centre_x) / reach_x, (canvas.y - centre_y) / reach_y)
    skin = np.clip(1 - canvas.depth / 0.05, 0, 1)
    field = (1.2 - 0.35 * contrast) * fan + (0.30 + 0.30 * contrast) * lobes + 0.27 * ducts - 1.6 * skin
    values = field[canvas.breast]
    cut = round((1 - share) * (values.size - 1))
    threshold = np.partition(values, cut)[cut]
    gland = expit((field - threshold) / (0.26 - 0.10 * contrast)).astype(np.float32) * (1 - canvas.muscle)
    return _Tissue(gland, canvas.breast & (field > threshold), texture, ducts, strands.astype(np.float32))


def _ducts(outline: _Outline, canvas: _Canvas, rng: np.random.Generator) -> Field:
    """Streaks that converge on the nipple: a field drawn in polar co-ordinates round a point behind it."""
    height = canvas.depth.shape[0]
    tip_y, tip_x = outline.tip()
    right, down = (tip_x + 0.06) - canvas.x, canvas.y - tip_y
    radius, angle = np.hypot(right, down), np.arctan2(down, right)
    polar = _power_law((height, height), 2.9, 3.0, rng, stretch=0.35)
    where = np.stack([(angle / math.pi + 0.5) * (height - 1), np.minimum(radius, 1.2) * ((height - 1) / 1.2)])
    return np.asarray(map_coordinates(polar, where, order=1, mode="grid-wrap"), np.float32)


def _light(anatomy: Anatomy, outline: _Outline, canvas: _Canvas, tissue: _Tissue, rng: np.random.Generator) -> Field:
    """What the tissue would show without noise, about 0 to 1, background not yet cut away."""
    contrast = anatomy.contrast
    texture, ducts, strands, gland = tissue.texture, tissue.ducts, tissue.strands, tissue.gland
    fat = 0.26 + 0.040 * texture + 0.030 * strands + 0.024 * ducts
    fibre = 0.45 + 0.17 * contrast + (0.05 + 0.05 * contrast) * texture + 0.05 * ducts + 0.03 * strands
    light = fat + (fibre - fat) * gland
    margin = np.clip(canvas.depth / float(rng.uniform(0.07, 0.12)), 0, 1)
    thickness = np.sqrt(1 - (1 - margin) ** 2)
    light = light * (0.34 + 0.66 * thickness)
    light = light + _veins(outline, canvas, rng) * (1 - 0.7 * gland)
    thin = max(0.005, 0.6 / canvas.depth.shape[0])
    light = light + 0.07 * np.exp(-(((canvas.depth - thin) / thin) ** 2))
    light = light + 0.13 * expit(canvas.nipple / (0.25 * outline.nipple[1])) * (1 - 0.5 * thickness)
    meat = float(rng.uniform(0.46, 0.58)) + 0.022 * texture + 0.03 * strands + 0.02 * ducts
    light = light + canvas.muscle * (meat - 0.45 * light - 0.12) * (0.5 + 0.5 * thickness)
    return np.asarray(np.clip(light + _calcifications(outline, canvas, rng), 0, 1.4), np.float32)


def _exposed(light: Field, rng: np.random.Generator) -> Field:
    """Grey levels 0 to 1 of the whole picture at a random exposure, with quantum noise."""
    exposed = light.clip(min=0) * float(rng.normal(1.10, 0.05))
    quantum = rng.standard_normal(light.shape, dtype=np.float32) * 0.005 * np.sqrt(exposed)
    return np.asarray(exposed + quantum, np.float32)


def _veins(outline: _Outline, canvas: _Canvas, rng: np.random.Generator) -> Field:
    """Up to two smooth bright curves under the skin."""
    light = np.zeros_like(canvas.depth)
    for _ in range(int(rng.integers(0, 3))):
        start = outline.row + float(rng.uniform(-0.6, 0.5)) * outline.reach[1]
        away = canvas.x - 0.3 * outline.length
        curve = start + float(rng.normal(0, 0.35)) * away + float(rng.normal(0, 0.6)) * away**2
        thin = max(0.0042, 0.6 / canvas.depth.shape[0])
        light += 0.06 * np.exp(-(((canvas.y - curve) / thin) ** 2)) * expit((canvas.depth - 0.03) / 0.01)
    return light


def _calcifications(outline: _Outline, canvas: _Canvas, rng: np.random.Generator) -> Field | float:
    """Now and then a few benign bright specks."""
    if rng.random() >= 0.12:
        return 0.0
    light = np.zeros_like(canvas.depth)
    wide = max(0.0028, 0.6 / canvas.depth.shape[0])
    for _ in range(int(rng.integers(1, 4))):
        x = outline.length * float(rng.uniform(0.25, 0.7))
        y = outline.row + float(rng.normal(0, 0.09))
        light += 0.3 * np.exp(-((canvas.x - x) ** 2 + (canvas.y - y) ** 2) / (2 * wide**2))
    return light


def _power_law(
    shape: tuple[int, int],
    beta: float,
    roll_off: float,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Field:
    """Gaussian field with power spectrum ``f ** -beta``, mean 0, standard deviation 1.

    ``roll_off``, in cycles an image height, is where the spectrum flattens towards low frequencies; ``stretch`` below
    1 lengthens the grain across ``angle`` (radians).
    """
    height, width = shape
    down, across = _frequencies(height, width)
    cosine, sine = math.cos(angle), math.sin(angle)
    square = (across * cosine + down * sine) ** 2 + ((down * cosine - across * sine) * stretch) ** 2
    square += (roll_off / height) ** 2
    noise = rng.standard_normal((height, width // 2 + 1, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum = noise * square ** np.float32(-beta / 4)
    spectrum[0, 0] = 0
    field = fft.irfft2(spectrum, s=shape)
    return np.asarray(field / field.std(), np.float32)


@lru_cache(maxsize=8)
def _frequencies(height: int, width: int) -> tuple[Field, Field]:
    return fft.fftfreq(height)[:, None].astype(np.float32), fft.rfftfreq(width)[None].astype(np.float32)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[Field, Field]:
    """Pixel centres in units of the height: rows (H, 1), columns (1, W)."""
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    return (rows[:, None] / height).astype(np.float32), (columns[None] / height).astype(np.float32)


def _union(first: Field, second: Field, rounding: float) -> Field:
    """Smooth maximum: the union of two shapes given by depth, with a fillet of about ``rounding``."""
    return np.asarray(rounding * np.logaddexp(first / rounding, second / rounding), np.float32)


def _shrink(field: Field, factor: int) -> Field:
    """Mean over blocks of ``factor`` x ``factor``."""
    if factor == 1:
        return field
    height, width = field.shape
    return np.asarray(field.reshape(height // factor, factor, width // factor, factor).mean((1, 3)), np.float32)
