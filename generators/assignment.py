"""Drawing real images for requests: the asked conditions first, without replacement."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from bench.api import ImageSet, Request

Conditions = npt.NDArray[np.int32]  # (N, number of condition labels), UNKNOWN where a label is not known
UNKNOWN = int(np.iinfo(np.int32).min)


def draw(requests: Sequence[Request], pool: ImageSet) -> dict[str, int]:
    """One row of ``pool`` for every request, by ``request_id``; within a purpose no row twice until all are used.

    Requests are served in the order of their seeds, so neither their order nor the block matters.
    """
    held = conditions_of_images(pool)
    names = pool.info.conditions
    drawn: dict[str, int] = {}
    ordered = sorted(requests, key=lambda each: (each.purpose, each.seed, each.request_id))
    for _, group in groupby(ordered, key=lambda each: each.purpose):
        asking = list(group)
        rows = assign(conditions_of_requests(asking, names), held, shuffle_by_seeds(asking))
        drawn.update(zip((each.request_id for each in asking), rows.tolist(), strict=True))
    return drawn


def assign(asked: Conditions, held: Conditions, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """For each row of ``asked`` (R, L) the index of a row of ``held`` (N, L), in rounds without replacement.

    In each round requests with an unused row of the same conditions take one at random; then the others, in order,
    take one that differs in the fewest labels, among those one of the most plentiful. A new round starts when every
    row has been used.

    Raises:
        ValueError: ``held`` has no rows.
    """
    if not len(held):
        raise ValueError("there is no image to draw from")
    kinds, stacks = _stacks(held, rng)
    index = {kind.tobytes(): position for position, kind in enumerate(kinds)}
    result = np.full(len(asked), -1, np.int64)
    waiting = list(range(len(asked)))
    while waiting:
        left = np.array([len(stack) for stack in stacks])
        waiting = _same(waiting, asked, index, stacks, left, result)
        waiting = _nearest(waiting, asked, kinds, stacks, left, result)
    return result


def conditions_of_images(images: ImageSet) -> Conditions:
    """The condition labels of every image, in the order of ``info.conditions``."""
    return _table([images.column(name) for name in images.info.conditions], len(images))


def conditions_of_requests(requests: Sequence[Request], names: Sequence[str]) -> Conditions:
    """The labels ``names`` every request asks for."""
    return _table([[each.labels.get(name) for each in requests] for name in names], len(requests))


def shuffle_by_seeds(requests: Sequence[Request]) -> np.random.Generator:
    """A source of randomness decided by the seeds of ``requests`` as a set."""
    seeds = ",".join(str(seed) for seed in sorted(each.seed for each in requests))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seeds.encode()).digest()[:16], "big"))


def _table(columns: Sequence[Sequence[int | None]], length: int) -> Conditions:
    # the constant column keeps data sets without conditions in the same code
    table = np.zeros((length, len(columns) + 1), np.int32)
    for position, column in enumerate(columns):
        table[:, position] = [UNKNOWN if value is None else value for value in column]
    return table


def _stacks(held: Conditions, rng: np.random.Generator) -> tuple[Conditions, list[npt.NDArray[np.int64]]]:
    shuffled = rng.permutation(len(held))
    kinds, kind_of = np.unique(held[shuffled], axis=0, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    order = np.argsort(kind_of, kind="stable")
    ends = np.cumsum(np.bincount(kind_of, minlength=len(kinds)))[:-1]
    return np.ascontiguousarray(kinds), np.split(shuffled[order], ends)


def _same(
    waiting: list[int],
    asked: Conditions,
    index: dict[bytes, int],
    stacks: list[npt.NDArray[np.int64]],
    left: npt.NDArray[np.int64],
    result: npt.NDArray[np.int64],
) -> list[int]:
    unserved = []
    for request in waiting:
        kind = index.get(asked[request].tobytes())
        if kind is None or not left[kind]:
            unserved.append(request)
            continue
        left[kind] -= 1
        result[request] = stacks[kind][left[kind]]
    return unserved


def _nearest(
    waiting: list[int],
    asked: Conditions,
    kinds: Conditions,
    stacks: list[npt.NDArray[np.int64]],
    left: npt.NDArray[np.int64],
    result: npt.NDArray[np.int64],
) -> list[int]:
    many = int(left.max(initial=0)) + 1
    for position, request in enumerate(waiting):
        if not left.any():
            return waiting[position:]
        differing = (kinds != asked[request]).sum(axis=1)
        kind = int(np.argmin(np.where(left > 0, differing * many - left, np.iinfo(np.int64).max)))
        left[kind] -= 1
        result[request] = stacks[kind][left[kind]]
    return []
