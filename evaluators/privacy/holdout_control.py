"""What copies tell without shuffled labels: of training pictures, a leak; of the holdout, that it is no control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet
from bench.statistics.arrays import Integers
from evaluators.privacy.near_duplicates import NearCopies

VOID_LEVEL = 0.001
REPEATED_LEVEL = 0.01
SMALLEST_P = 1e-12


def void_control(images: ImageSet, train: ImageSet, holdout: ImageSet, near: NearCopies) -> str | None:
    """Why the holdout cannot be what the generator never saw, if so; ``near`` is of ``train``, then ``holdout``.

    One exact copy of a holdout picture that is neither constant nor a training picture is enough. Else the holdout
    pictures are counted of which there are near copies that stand out, each once, however often it is repeated. No real
    picture stands out, for the extremes of the real ones are the limits: the count is judged by the exact test of
    exceedances (Gumbel & von Schelling 1950) at ``VOID_LEVEL``, in which a chance likeness is one to a holdout picture
    as often as the holdout's share of the real ones says. Where there are more synthetic than real pictures, as many
    of them, evenly spaced, are judged.
    """
    return _exactly(images, train, holdout, near) or _nearly(images, train, holdout, near)


def _exactly(images: ImageSet, train: ImageSet, holdout: ImageSet, near: NearCopies) -> str | None:
    keys, ours = images.pixel_keys, holdout.pixel_keys
    exact = np.isin(keys, ours) & ~np.isin(keys, train.pixel_keys) & (near.made.correlation > 0)
    if not exact.any():
        return None
    place = int(exact.argmax())
    found = int((ours == keys[place]).argmax())
    return (
        f"the holdout is no control: {int(exact.sum())} of {len(images)} synthetic images have exactly the pixels "
        f"of a holdout image, which the generator must not have seen; first synthetic {images.ids[place]} and holdout "
        f"{holdout.ids[found]}"
    )


def _nearly(images: ImageSet, train: ImageSet, holdout: ImageSet, near: NearCopies) -> str | None:
    first, real = len(train), len(near.real.where)
    ours = outstanding(near, range(first, real))
    if not ours.hits or ours.p >= VOID_LEVEL:
        return None
    allowed = next(count - 1 for count in range(1, ours.hits + 1) if exceedance_p(count, *ours.chance) < VOID_LEVEL)
    trained = len(outstanding(near, range(first)).copies)
    place, found = int(ours.copies[0]), int(near.made.where[ours.copies[0]]) - first
    return (
        f"the holdout is no control: {len(ours.copies)} of {ours.chance[0]} synthetic images are near copies of "
        f"{ours.hits} holdout images, which the generator must not have seen ({ours.expected:.2g} expected, {allowed} "
        f"allowed by chance, p {ours.said}; {trained} are near copies of training images, and none of {real} real "
        f"images is one of another patient's); first synthetic {images.ids[place]} and holdout {holdout.ids[found]} "
        f"(correlation {near.made.correlation[place]:.4f}, above {near.threshold:.4f})"
    )


def plain_leak(exact: int, near: NearCopies, train: int) -> str | None:
    """Why there is a leak whatever the holdout may be and whatever is known of the training, if so.

    One exact copy is enough. Near copies are counted and judged as those of the holdout are in ``void_control``.

    Args:
        exact: number of images that are exactly training images.
        near: of the ``train`` training pictures, then the holdout's.
    """
    if exact:
        return f"{exact} exact {'copy' if exact == 1 else 'copies'} of training images"
    theirs = outstanding(near, range(train))
    if not theirs.hits or theirs.p >= VOID_LEVEL:
        return None
    return (
        f"{len(theirs.copies)} of {theirs.chance[0]} synthetic images are near copies of {theirs.hits} training images "
        f"({theirs.expected:.2g} expected, p {theirs.said}), and none of {theirs.chance[1]} real images is one of "
        "another patient's"
    )


def repeated(near: NearCopies, train: int) -> str | None:
    """That more images are near copies of training pictures than chance allows, counting every one, if so.

    Copies of a few pictures are few different ones, which ``plain_leak`` counts, and few patients, whom no shuffle of
    labels tells. A generator that repeats itself may do this by chance: a reason not to clear it and no leak.
    """
    theirs = outstanding(near, range(train))
    count = len(theirs.copies)
    if not count or exceedance_p(count, *theirs.chance) >= REPEATED_LEVEL:
        return None
    pictures = f"{theirs.hits} training image{'s' if theirs.hits > 1 else ''}"
    return (
        f"{count} of {theirs.chance[0]} synthetic images are near copies of {pictures}, and none of {theirs.chance[1]} "
        "real images is one of another patient's"
    )


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Near copies of the pictures of one part that stand out as no real picture does.

    Attributes:
        copies: ``(n,)`` which synthetic images they are.
        hits: of how many different pictures.
        chance: how many synthetic and how many real ones were judged, and the part's share of the real ones.
    """

    copies: Integers
    hits: int
    chance: tuple[int, int, float]

    @property
    def expected(self) -> float:
        """``hits`` by chance, about."""
        made, real, share = self.chance
        return made * share / (real + 1)

    @property
    def p(self) -> float:
        """That chance gives so many ``hits``."""
        return exceedance_p(self.hits, *self.chance)

    @property
    def said(self) -> str:
        """``p`` in words, below what the sum is exact to never as 0."""
        return f"= {self.p:.1g}" if self.p >= SMALLEST_P else f"< {SMALLEST_P:.0e}"


def outstanding(near: NearCopies, part: range) -> Outstanding:
    """Those of the real pictures at the places of ``part``, among at most as many synthetic ones as there are real."""
    made, real = len(near.made.where), len(near.real.where)
    judged = np.unique(np.linspace(0, made - 1, min(made, real)).astype(np.int64))
    where = near.made.where[judged]
    copies = judged[near.stands_out[judged] & (where >= part.start) & (where < part.stop)]
    hits = len(np.unique(near.made.where[copies]))
    return Outstanding(copies, hits, (len(judged), real, len(part) / real))


def exceedance_p(hits: int, made: int, real: int, share: float) -> float:
    """The chance that ``hits`` or more of ``made`` images stand out beyond all of ``real`` exchangeable ones, towards a
    part that holds ``share`` of the real ones."""
    from scipy import stats

    towards = np.arange(made + 1)
    beyond = stats.hypergeom.sf(hits - 1, real + towards, towards, hits)
    return float((stats.binom.pmf(towards, made, share) * np.where(towards >= hits, beyond, 0.0)).sum())
