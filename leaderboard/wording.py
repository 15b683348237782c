"""How numbers, their intervals and what they are compared with are put into words."""

from __future__ import annotations

import math
import re
from urllib.parse import quote

from leaderboard.compare import ScoreDifference
from leaderboard.estimate import Estimate

LEAST_P = 1e-4  # below which the tails of a distribution are not known so well
# in which order the values of a column stand when the best come first
BEST_FIRST = {"lower": "ascending", "higher": "descending", "target": "other"}
MINUS, TIMES, DASH, INFINITE = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{EN DASH}", "\N{INFINITY}"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, scale: float | None = None) -> str:
    """Three significant digits of ``scale`` (``value`` itself by default), plain where that is short."""
    if math.isinf(value):
        return INFINITE if value > 0 else MINUS + INFINITE
    size = abs(value if scale is None else scale)
    if size and not 1e-4 <= size < 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}{TIMES}10{str(int(exponent)).translate(RAISED)}".replace("-", MINUS)
    decimals = 2 - math.floor(math.log10(size)) if size else 0
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def plain(value: float) -> str:
    """A stated constant, such as a bound or a target, in as few digits as it has."""
    return f"{value:g}".replace("-", MINUS)


def exact(value: float) -> str:
    """A number whose last digits matter, in nine significant ones."""
    return f"{value:.9g}".replace("-", MINUS)


def scale(estimate: Estimate) -> float:
    """What the digits of a value and its interval are counted from.

    Three of the value, but none beyond the second of the interval's half-width, for those say nothing.
    """
    value, low, high = estimate[:3]
    return abs(value) if low is None or high is None else max(abs(value), 10 * (high - low) / 2)


def interval(estimate: Estimate) -> str:
    """``[low, high]``, rounded like its value; empty if there is none."""
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return ""
    size = scale(estimate)
    return f"[{number(low, size)}, {number(high, size)}]"


def duration(seconds: float | None) -> str:
    """``3.2 s``, ``12 min``, ``4.5 h``; a dash where nothing was measured."""
    if seconds is None:
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def compared(leader: str, behind: ScoreDifference) -> str:
    """Whether a contender is worse than ``leader``, by how much, and whether the two were paired."""
    found = Estimate(behind.value, behind.low, behind.high)
    said = "worse than" if behind.beyond_doubt else "not told apart from"
    how = "the intervals are apart" if behind.beyond_doubt else "the intervals overlap"
    how = f"unpaired: {how}" if behind.p is None else f"paired on the same real images: {chance(behind.p)}"
    return f"{said} {leader}: by {number(found.value, scale(found))} {interval(found)}, {how}"


def from_null(found: ScoreDifference) -> str:
    """How far a number lies above that of the null, with half of the 95% interval: ``+0.0210 ± 0.0140``."""
    half = (found.high - found.low) / 2
    size = max(abs(found.value), 10 * half)
    sign = MINUS if found.value < 0 else "+"
    return f"{sign}{number(abs(found.value), size)} ± {number(half, size)}"


def from_null_in_full(null: str, found: ScoreDifference) -> str:
    """The same with the ends of the interval, the row and whether the two were paired."""
    ends = interval(Estimate(found.value, found.low, found.high))
    how = "paired on the same real images" if found.paired else "as if independent, which is wider than need be"
    return f"{from_null(found)} from {null}, where nothing leaked: 95% interval {ends}, {how}"


def chance(p: float) -> str:
    """``p = 0.0123``, ``p < 0.0001``."""
    return f"p < {LEAST_P:.4f}" if p < LEAST_P else f"p = {number(p)}"


def source(reference: str) -> str | None:
    """The address of an arXiv id, a DOI or an http(s) address; ``None`` for anything else."""
    if found := re.fullmatch(r"(?:arxiv:\s*)?(\d{4}\.\d{4,5}(?:v\d+)?)", reference.strip(), re.IGNORECASE):
        return f"https://arxiv.org/abs/{found[1]}"
    if found := re.fullmatch(
        r"(?:doi:\s*|https://doi\.org/)?(10\.\d{4,9}/[^\s<>\"']+)", reference.strip(), re.IGNORECASE
    ):
        return f"https://doi.org/{quote(found[1], safe='/().;:-_')}"
    return reference.strip() if re.fullmatch(r"https?://[^\s<>\"']+", reference.strip()) else None
