"""Copies among images: the same pixels, or the same picture after flips, quarter turns, brightness and light noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.api import Images, ImageSet, Metric
from bench.statistics.arrays import Floats, Integers
from bench.storage.mapped import mapped

Hashes = npt.NDArray[np.uint64]

SIDE = 64
GRID = 8
SYMMETRIES = 8
CELLS = 4_000_000

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
    summary="Share of the synthetic images more alike a training image than any holdout image is, flips and quarter "
    "turns included.",
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


def exact_copies(images: ImageSet, originals: ImageSet) -> int:
    """How many of ``images`` have exactly the pixels of one of ``originals`` (by SHA-256 of shape and pixels)."""
    return int(np.isin(images.pixel_keys, originals.pixel_keys).sum())


def fingerprints(images: ImageSet) -> Fingerprints:
    """Thumbnails and hashes of a whole set, decoded in blocks; the thumbnails are mapped from disk."""
    hashes = [np.empty((0, 2), np.uint64)]

    def small() -> Iterator[Images]:
        for block in images.blocks(256):
            part = thumbnails(block)
            hashes.append(difference_hash(part))
            yield part

    shown = mapped(small(), (len(images), SIDE, SIDE), np.uint8)
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


def correlation(first: Images, second: Images) -> Floats:
    """Normalised cross-correlation ``(N,)`` in [-1, 1] of ``(N, S, S)`` pairs; 0 where an image is constant."""
    left, right = (each.reshape(len(each), -1).astype(np.float64) for each in (first, second))
    left, right = left - left.mean(axis=1, keepdims=True), right - right.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right))
    product = np.einsum("ij,ij->i", left, right)
    return np.clip(np.divide(product, norm, out=np.zeros(len(left)), where=norm > 0), -1.0, 1.0)


def closest_pictures(queries: Fingerprints, references: Fingerprints, candidates: int = 8) -> tuple[Floats, Integers]:
    """The most alike reference of every query over 8 flips and quarter turns.

    The ``candidates`` references and symmetries nearest in Hamming distance of the hashes are compared by
    correlation of the thumbnails.

    Returns:
        ``(Q,)`` correlations and ``(Q,)`` indices of the references.
    """
    best, where = np.full(len(queries.hashes), -1.0), np.zeros(len(queries.hashes), np.int64)
    for rows, numbers, found in _candidates(queries, references, candidates):
        for number in range(SYMMETRIES):
            chosen = np.flatnonzero(numbers == number)
            for part in (chosen[start : start + 1024] for start in range(0, len(chosen), 1024)):
                turned = symmetry(queries.thumbnails[rows[part]], number)
                value = correlation(turned, references.thumbnails[found[part]])
                ascending = np.argsort(value, kind="stable")
                value, row, place = value[ascending], rows[part][ascending], found[part][ascending]
                last = len(row) - 1 - np.unique(row[::-1], return_index=True)[1]
                better = last[value[last] > best[row[last]]]
                best[row[better]], where[row[better]] = value[better], place[better]
    return best, where


def _candidates(
    queries: Fingerprints, references: Fingerprints, count: int
) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Blocks of equally long (query, symmetry, reference) triples with the smallest Hamming distances."""
    total = len(references.hashes)
    count = min(count, SYMMETRIES * total)
    step = max(1, CELLS // (SYMMETRIES * total))
    for start in range(0, len(queries.hashes), step):
        small = queries.thumbnails[start : start + step]
        bits = np.stack([difference_hash(symmetry(small, number)) for number in range(SYMMETRIES)], axis=1)
        differ = np.bitwise_count(bits[:, :, None, 0] ^ references.hashes[None, None, :, 0])
        differ += np.bitwise_count(bits[:, :, None, 1] ^ references.hashes[None, None, :, 1])
        near = np.argpartition(differ.reshape(len(small), -1), count - 1, axis=1)[:, :count]
        yield np.repeat(np.arange(start, start + len(small)), count), near.ravel() // total, near.ravel() % total
