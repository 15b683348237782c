"""One shuffle of the patients' labels for every statistic: exact p-values of all that may tell of a leak.

If patients were put into train and holdout at random, and the generator kept nothing of its training patients beyond
what the population has in common, then which patients are training patients is exchangeable given the synthetic
images. Any statistic that looks at labels by patient then has an exact p-value, whatever the generator's quality or
diversity, the features, or the number of images of a patient: its rank among its values under shuffled labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics.arrays import Floats, Integers, Mask
from bench.statistics.resampling import holm
from evaluators.privacy.closeness import Closeness, closest_kept

LEVEL = 0.05
HALF = LEVEL / 2
SHARE = 0.01
FINEST_P = 0.001
POWER = 4
CHUNK = 2**22  # labels held at a time


@dataclass(frozen=True, slots=True)
class Weights:
    """Statistics that are sums over training patients: ``values = labels @ table``.

    Attributes:
        names: of the ``C`` statistics.
        table: ``(P, C)``, what each patient adds where he is a training patient.
    """

    names: tuple[str, ...]
    table: Floats


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the shuffled labels say.

    Attributes:
        copying: p-value of the copying test by encoder, corrected for their number (Holm).
        other: p-value of all other statistics together, corrected for their number (smallest p among shuffles).
        single: uncorrected p-value of every statistic.
    """

    copying: Mapping[str, float]
    other: float
    single: Mapping[str, float]

    @property
    def found(self) -> list[str]:
        """Where a leak was found: the encoders of the copying test, and the strongest of the other statistics."""
        names = [name for name, p in self.copying.items() if p <= HALF]
        return names or ([self.strongest] if self.other <= HALF else [])

    @property
    def strongest(self) -> str:
        """The statistic beside the copying tests with the smallest p."""
        others = {name: p for name, p in self.single.items() if not name.endswith(COPYING)}
        return min(others, key=lambda name: (others[name], name))


COPYING = "/copying"


def tail_size(images: int, member_share: float) -> int:
    """How many of ``images`` form the first tail: 1%, at least 5, and enough that ``member_share ** size`` is 0.001.

    The last keeps the test able to reject when most patients are training patients. It depends on the split and the
    number of images only, never on distances.
    """
    finest = math.ceil(math.log(FINEST_P) / math.log(member_share))
    return min(images, max(5, round(SHARE * images), finest))


def tails(images: int, member_share: float) -> list[int]:
    """The sizes of the tails: the first, doubled until all images are in."""
    sizes = [tail_size(images, member_share)]
    while sizes[-1] < images:
        sizes.append(min(2 * sizes[-1], images))
    return sizes


def copying_weights(close: Closeness, patients: int) -> Floats:
    """``(P,)`` the sum of ``margin ** 4`` over the synthetic images whose closest real image is the patient's.

    The power lets images that stand out from all other patients speak louder than the many that have to be next to
    somebody. Chosen among 1, 2, 3, 4 and 6 on planted copies of phantoms and radiographs, where it found most.
    """
    return np.bincount(close.owner, close.margins**POWER, minlength=patients).astype(np.float64)


def tail_weights(order: Integers, owner: Integers, patients: int, sizes: Sequence[int]) -> Floats:
    """``(P, T)`` how many of the first ``size`` images in ``order`` have their closest real image with each patient."""
    columns = [np.bincount(owner[order[:size]], minlength=patients) for size in sizes]
    return np.stack(columns, axis=1).astype(np.float64)


def attack_weights(least: Floats) -> Floats:
    """``(P,)`` ranks of patients by nearness to a synthetic image; their sum over members is Mann and Whitney's."""
    from scipy import stats

    ranks: Floats = stats.rankdata(-least).astype(np.float64)
    return ranks


def closest_first(values: Floats, rng: np.random.Generator) -> Integers:
    """Indices from the smallest value to the greatest, ties in random order."""
    return np.lexsort((rng.permutation(len(values)), values))


def view_weights(name: str, close: Closeness, least: Floats, share: float, rng: np.random.Generator) -> Weights:
    """All statistics of one encoder that are sums over training patients.

    ``copying``; ``tail T``: how many of the ``T`` closest synthetic images training patients own, from the first tail
    doubled up to all images; ``attack``: ranks by the distance to the closest synthetic image.
    """
    close_by = close_weights(name, close, len(least), share, rng)
    return joined([close_by, Weights((f"{name}/attack",), attack_weights(least)[:, None])])


def close_weights(name: str, close: Closeness, patients: int, share: float, rng: np.random.Generator) -> Weights:
    """Those of them that need only the closest real image of every synthetic one: ``copying`` and ``tail T``."""
    sizes = tails(len(close), share)
    order = closest_first(close.distances[:, 0], rng)
    columns = [copying_weights(close, patients)[:, None], tail_weights(order, close.owner, patients, sizes)]
    return Weights((f"{name}{COPYING}", *(f"{name}/tail {size}" for size in sizes)), np.concatenate(columns, axis=1))


def joined(parts: Sequence[Weights]) -> Weights:
    """The statistics of several encoders side by side."""
    return Weights(
        tuple(name for part in parts for name in part.names), np.concatenate([part.table for part in parts], axis=1)
    )


def shuffles(member: Mask, rng: np.random.Generator, repeats: int) -> Iterator[Mask]:
    """The labels of patients, then ``repeats`` shuffles of them, a few rows ``(n, P)`` at a time."""
    step = max(1, CHUNK // len(member))
    yield member[None]
    for start in range(0, repeats, step):
        yield rng.permuted(np.tile(member, (min(step, repeats - start), 1)), axis=1)


def shuffled_values(
    weights: Weights, lists: Mapping[str, Closeness], member: Mask, rng: np.random.Generator, repeats: int
) -> tuple[tuple[str, ...], Floats]:
    """Every statistic of the labels and of ``repeats`` shuffles: names, and ``(1 + repeats, C)``, large if leaked."""
    rows = []
    for labels in shuffles(member, rng, repeats):
        sums = labels.astype(np.float64) @ weights.table
        rows.append(np.concatenate([sums, *(nearness(each, labels)[:, None] for each in lists.values())], axis=1))
    names = (*weights.names, *(f"{name}/distance ratio" for name in lists))
    return names, np.concatenate(rows)


def nearness(close: Closeness, labels: Mask) -> Floats:
    """``(n,)`` mean distance to the closest holdout image over that to the closest training image.

    ``labels``: ``(n, P)``.
    Where the listed neighbours are all of one part, the last of them stands for the closest of the other.
    """
    found = np.empty(len(labels))
    for row, own in enumerate(labels):
        ours = own[close.owners]
        theirs, own_part = (closest_kept(close.distances, each).mean() for each in (~ours, ours))
        found[row] = theirs / max(own_part, 1e-12)
    return found


def p_values(values: Floats) -> Floats:
    """``(1 + B, C)``: for each row and statistic the share of rows, itself included, with at least its value.

    In the first row, that of the labels themselves, these are p-values that are never 0 (Phipson & Smyth 2010).
    """
    found = np.empty_like(values)
    for column, own in enumerate(values.T):
        below = np.searchsorted(np.sort(own), own - 1e-9 * np.abs(own), side="left")
        found[:, column] = (len(own) - below) / len(own)
    return found


def smallest_p(p: Floats) -> float:
    """The p-value of the smallest p of several statistics, from the same shuffles (Westfall & Young 1993)."""
    least = p.min(axis=1)
    return float((least <= least[0] + 1e-12).mean())


def evidence(names: Sequence[str], values: Floats) -> Evidence:
    """What the values of the labels and of their shuffles say together.

    The copying tests of all encoders keep half of the level, corrected for their number (Holm 1979); all other
    statistics share the other half by their smallest p.
    """
    p = p_values(values)
    main = [place for place, name in enumerate(names) if name.endswith(COPYING)]
    rest = [place for place, name in enumerate(names) if not name.endswith(COPYING)]
    encoders = [names[place].removesuffix(COPYING) for place in main]
    copying = dict(zip(encoders, holm([float(p[0, place]) for place in main]), strict=True))
    single = {name: float(value) for name, value in zip(names, p[0], strict=True)}
    return Evidence(copying, smallest_p(p[:, rest]), single)
