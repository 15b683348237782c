"""Copies among images: the same pixels, or the same picture after flips, quarter turns, brightness and light noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.api import Images, ImageSet, Metric
from bench.statistics.arrays import Floats, Integers, Mask, Singles
from bench.storage.mapped import mapped

Hashes = npt.NDArray[np.uint64]

SIDE = 64
GRID = 8
SYMMETRIES = 8
CELLS = 4_000_000
CANDIDATES = 8
MOST_AT_ONCE = 512
SAME_PICTURE = 0.999
ALIKE_FLOOR = 0.9  # less alike pictures are no copies, however little alike the real ones are

DUPLICATES = Metric(
    key="duplicates",
    title="Exact copies",
    better="lower",
    reference="SHA-256 of decoded pixels",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of the synthetic images whose pixels are exactly those of a training image.",
)
NEAR_DUPLICATES = Metric(
    key="near_duplicates",
    title="Near copies",
    better="lower",
    reference="dHash (Krawetz 2013), normalised cross-correlation",
    role="headline",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of the synthetic images more alike a training image than two real images of different patients are, "
    "flips and quarter turns included.",
)
NEAR_DUPLICATES_HOLDOUT = Metric(
    key="near_duplicates_holdout",
    title="Near copies of holdout (control)",
    better="neither",
    reference="dHash (Krawetz 2013), normalised cross-correlation",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="The same search among holdout images, which the generator never saw: what chance and low diversity give.",
)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What two pictures are compared by.

    Attributes:
        thumbnails: ``(N, 64, 64)`` uint8, area averages.
        hashes: ``(N, 2)`` uint64, ``difference_hash`` of the thumbnails.
    """

    thumbnails: Images
    hashes: Hashes

    def select(self, places: Integers) -> Fingerprints:
        """Those at ``places``, in that order; the thumbnails are mapped from disk again."""
        blocks = (self.thumbnails[places[start : start + 256]] for start in range(0, len(places), 256))
        return Fingerprints(mapped(blocks, (len(places), SIDE, SIDE), np.uint8), self.hashes[places])


@dataclass(frozen=True, slots=True)
class Closest:
    """The most alike reference of every query.

    Attributes:
        correlation: ``(Q,)`` in [-1, 1]; 0 for a constant picture.
        where: ``(Q,)`` the index of the reference.
        runner_up: ``(Q,)`` correlation of the most alike picture of anybody but the owner of that reference.
    """

    correlation: Floats
    where: Integers
    runner_up: Floats

    @property
    def ratio(self) -> Floats:
        """``(Q,)`` how far the closest picture is, in units of how far that of anybody else is (after Lowe 2004).

        Near 0 for a copy; near 1 for what is alike many pictures because it is plain, smooth or an average of them. 1
        where nobody else was listed.
        """
        gap = 1 - self.runner_up
        return np.divide(1 - self.correlation, gap, out=np.ones(len(gap)), where=(gap > 0) & (self.runner_up > -1))


@dataclass(frozen=True, slots=True)
class NearCopies:
    """Which synthetic pictures are alike a real one; nothing here depends on which real pictures are in which part.

    Hashes are often equally far: which of these candidates are looked at is decided by their order, so the real
    pictures have to stand in one that knows no parts, and ``listed`` names them by part afterwards.

    Attributes:
        made: the real picture closest to each of ``M`` synthetic ones, by place in the pooled real pictures.
        real: the picture of another patient closest to each of ``N`` real ones.
        threshold: the largest correlation of two real pictures of different patients, those of one picture left out;
            ``ALIKE_FLOOR`` at least.
        limit: the smallest ratio of a real picture, those again left out.
    """

    made: Closest
    real: Closest
    threshold: float
    limit: float

    @property
    def above(self) -> Mask:
        """``(M,)`` whether a synthetic picture is more alike a real one than those of two patients are."""
        return self.made.correlation > self.threshold

    @property
    def stands_out(self) -> Mask:
        """``(M,)`` whether it is, and so much more than alike anybody else's as no real picture is."""
        return self.above & (self.made.ratio < self.limit)

    def listed(self, order: Integers) -> NearCopies:
        """The same with the real pictures in another order, in which each one here has the place ``order (N,)``."""
        back = np.argsort(order)
        real = Closest(self.real.correlation[back], order[self.real.where[back]], self.real.runner_up[back])
        return replace(self, made=replace(self.made, where=order[self.made.where]), real=real)


def exact_copies(images: ImageSet, originals: ImageSet) -> int:
    """How many of ``images`` have exactly the pixels of one of ``originals`` (by SHA-256 of shape and pixels)."""
    return int(np.isin(images.pixel_keys, originals.pixel_keys).sum())


def fingerprints(*sets: ImageSet) -> Fingerprints:
    """Thumbnails and hashes of sets, one after the other, decoded in blocks; the thumbnails are mapped from disk."""
    hashes = [np.empty((0, 2), np.uint64)]

    def small() -> Iterator[Images]:
        for block in (block for images in sets for block in images.blocks(256)):
            part = thumbnails(block)
            hashes.append(difference_hash(part))
            yield part

    shown = mapped(small(), (sum(map(len, sets)), SIDE, SIDE), np.uint8)
    return Fingerprints(shown, np.concatenate(hashes))


def thumbnails(images: Images) -> Images:
    """``(N, H, W)`` to ``(N, 64, 64)`` uint8 by area averaging."""
    from PIL import Image

    if images.shape[1:] == (SIDE, SIDE):
        return images
    resized = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def difference_hash(small: Images) -> Hashes:
    """``(N, 64, 64)`` to ``(N, 2)``: signs of the differences of adjacent cells of an 8 x 8 grid, across and down.

    56 bits each way (dHash, Krawetz 2013, in both directions): unchanged by brightness and contrast.
    """
    step = SIDE // GRID
    means = small.reshape(-1, GRID, step, GRID, step).mean(axis=(2, 4), dtype=np.float64)
    across = (np.diff(means, axis=2) > 0).reshape(len(small), -1)
    down = (np.diff(means, axis=1) > 0).reshape(len(small), -1)
    packed = [np.packbits(bits, axis=1) for bits in (across, down)]
    padded = np.concatenate([np.pad(part, ((0, 0), (0, 1))) for part in packed], axis=1)
    return np.ascontiguousarray(padded).view(np.uint64)


def symmetry(small: Images, number: int) -> Images:
    """One of the 8 flips and quarter turns of ``(N, S, S)``: ``number`` 0 changes nothing."""
    turned = np.rot90(small, number % 4, axes=(1, 2))
    return turned if number < 4 else turned[:, :, ::-1]


def closest_pictures(
    queries: Fingerprints, references: Fingerprints, owners: Integers, own: Integers | None = None
) -> Closest:
    """The most alike reference of every query over 8 flips and quarter turns, and how alike anybody else's is.

    The ``CANDIDATES`` references and symmetries nearest in Hamming distance of the hashes are compared by
    correlation of the thumbnails; where they are all of one owner, those of everybody else are searched as well.

    Args:
        owners: ``(N,)`` whose picture a reference is.
        own: ``(Q,)`` whose a query is, where nobody is to be compared with themselves.
    """
    count = len(queries.hashes)
    best, where, runner_up = np.full(count, -1.0), np.zeros(count, np.int64), np.full(count, -1.0)
    lengths = np.concatenate([_lengths(references.thumbnails[at : at + 1024]) for at in range(0, len(owners), 1024)])
    for rows, numbers, places in _candidates(queries, references, owners, own):
        value = _correlations(queries.thumbnails[rows], numbers, references.thumbnails, places) / lengths[places]
        if own is not None:
            value[owners[places] == own[rows, None]] = -1.0
        at = value.argmax(axis=1)[:, None]
        where[rows] = np.take_along_axis(places, at, 1)[:, 0]
        best[rows] = np.take_along_axis(value, at, 1)[:, 0]
        runner_up[rows] = np.where(owners[places] == owners[where[rows], None], -1.0, value).max(axis=1)
    if own is None and len(alone := np.flatnonzero(runner_up == -1)) and len(np.unique(owners)) > 1:
        rest = Fingerprints(queries.thumbnails[alone], queries.hashes[alone])
        runner_up[alone] = closest_pictures(rest, references, owners, owners[where[alone]]).correlation
    return Closest(best, where, runner_up)


def _units(small: Images) -> Singles:
    """``(N, S * S)`` pictures of mean 0 and length 1; all 0 where a picture is constant."""
    rows = _centred(small)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-3)


def _centred(small: Images) -> Singles:
    rows = small.reshape(len(small), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows


def _lengths(small: Images) -> Floats:
    """``(N,)`` lengths of pictures of mean 0; infinite where a picture is constant, whose correlations are 0."""
    rows = _centred(small)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows)).astype(np.float64)
    return np.where(length > 1e-3, length, np.inf)


def _correlations(small: Images, numbers: Integers, real: Images, places: Integers) -> Floats:
    """``(q, c)`` products of pictures, each turned by symmetry ``numbers (q, c)`` and of mean 0 and length 1, with the
    real ones at ``places``: correlations but for the length of the real one, whose mean falls out."""
    value = np.empty(places.shape)
    for number in range(SYMMETRIES):
        row, column = np.nonzero(numbers == number)
        turned = _units(symmetry(small, number))
        for start in range(0, len(row), 1024):
            pair = row[start : start + 1024], column[start : start + 1024]
            pictures = real[places[pair]].reshape(len(pair[0]), -1).astype(np.float32)
            value[pair] = np.einsum("ij,ij->i", turned[pair[0]], pictures)
    return value


def _candidates(
    queries: Fingerprints, references: Fingerprints, owners: Integers, own: Integers | None
) -> Iterator[tuple[slice, Integers, Integers]]:
    """Blocks of queries: symmetries and references, each ``(q, c)``, with the smallest Hamming distances."""
    total = len(references.hashes)
    count = min(CANDIDATES, SYMMETRIES * total)
    step = max(1, min(MOST_AT_ONCE, CELLS // (SYMMETRIES * total)))
    for start in range(0, len(queries.hashes), step):
        rows = slice(start, start + step)
        small = queries.thumbnails[rows]
        bits = np.stack([difference_hash(symmetry(small, number)) for number in range(SYMMETRIES)], axis=1)
        differ = np.bitwise_count(bits[:, :, None, 0] ^ references.hashes[None, None, :, 0])
        differ += np.bitwise_count(bits[:, :, None, 1] ^ references.hashes[None, None, :, 1])
        if own is not None:
            np.copyto(differ, 255, where=(own[rows, None] == owners)[:, None])
        near = np.argpartition(differ.reshape(len(small), -1), count - 1, axis=1)[:, :count]
        yield rows, near // total, near % total


def near_copies(
    made: Fingerprints, pooled: Fingerprints, patients: Sequence[str], same_picture: float = SAME_PICTURE
) -> NearCopies:
    """The real picture closest to each synthetic one, beside what chance gives: the same search among real pictures.

    Args:
        pooled: the real pictures of all parts.
        patients: whose they are, of two patients or more.
        same_picture: real pictures of different patients this alike are one picture filed twice: no measure of chance.
    """
    owners = np.unique(np.asarray(patients, np.str_), return_inverse=True)[1].astype(np.int64)
    real = closest_pictures(pooled, pooled, owners, owners)
    chance = (real.correlation < same_picture) & (real.correlation > -1)
    threshold = float(real.correlation[chance].max(initial=ALIKE_FLOOR))
    limit = float(real.ratio[chance].min(initial=1.0))
    return NearCopies(closest_pictures(made, pooled, owners), real, threshold, limit)


def same_pictures(near: NearCopies, train: int, same_picture: float = SAME_PICTURE) -> list[tuple[int, int]]:
    """Pairs of pooled places, of a holdout and a training picture that are one; the first ``train`` are training."""
    here, where = np.arange(len(near.real.where)), near.real.where
    across = (near.real.correlation >= same_picture) & ((here < train) != (where < train))
    pairs = np.stack([np.maximum(here, where), np.minimum(here, where)], axis=1)[across]
    return [(int(one), int(other)) for one, other in np.unique(pairs, axis=0)]
