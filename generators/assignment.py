"""Drawing real images for requests: the asked conditions first, then the asked groups, without replacement."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from bench.api import DatasetInfo, ImageSet, Purpose, Request

Conditions = npt.NDArray[np.int32]  # (N, columns) numbers, UNKNOWN where a label is not known
Shares = dict[str, dict[str, float]]  # by column and asked value
UNKNOWN = int(np.iinfo(np.int32).min)


def asked_columns(info: DatasetInfo) -> tuple[str, ...]:
    """The conditions, then the group columns that are none."""
    return tuple(dict.fromkeys((*info.conditions, *info.groups)))


def draw(requests: Sequence[Request], pool: ImageSet) -> dict[str, int]:
    """One row of ``pool`` for every request, by ``request_id``; within a purpose no row twice until all are used.

    Conditions and groups are matched in the order of ``assign``. Requests are served in the order of their seeds, so
    neither their order nor the block matters.
    """
    names = pool.info.conditions
    groups = asked_columns(pool.info)[len(names) :]
    held, held_texts = conditions_of_images(pool), [pool.group(name) for name in groups]
    drawn: dict[str, int] = {}
    for _, asking in requests_by_purpose(requests):
        texts = [[value_of_request(pool.info, each, name) for each in asking] for name in groups]
        pairs = [numbered(*both) for both in zip(texts, held_texts, strict=True)]
        asked = np.column_stack([conditions_of_requests(asking, names), *(ours for ours, _ in pairs)])
        there = np.column_stack([held, *(theirs for _, theirs in pairs)])
        rows = assign(asked, there, shuffle_by_seeds(asking), len(groups))
        drawn.update(zip((each.request_id for each in asking), rows.tolist(), strict=True))
    return drawn


def shares_met(requests: Sequence[Request], pool: ImageSet, drawn: Mapping[str, int]) -> dict[Purpose, Shares]:
    """Of the requests of each purpose that asked for a value of a condition or group, the share that got it.

    ``shares_met(...)["fidelity"]["view"]["AP"]`` is 0.9 where nine in ten images given to requests for ``AP`` are AP.
    """
    return shares_of(pool.info, requests, {name: pool.group(name) for name in asked_columns(pool.info)}, drawn)


def shares_of(
    info: DatasetInfo, requests: Sequence[Request], held: Mapping[str, Sequence[str]], drawn: Mapping[str, int]
) -> dict[Purpose, Shares]:
    """The same of images of which ``held`` tells by column, as ``ImageSet.group`` writes it, what they are."""
    found: dict[Purpose, Shares] = {}
    for purpose, asking in requests_by_purpose(requests):
        shares = found[purpose] = {}
        for name, values in held.items():
            asked = [value_of_request(info, each, name) for each in asking]
            given = (values[drawn[each.request_id]] for each in asking)
            met = Counter(value for value, got in zip(asked, given, strict=True) if value == got)
            shares[name] = {value: met[value] / count for value, count in sorted(Counter(asked).items())}
    return found


def value_of_request(info: DatasetInfo, request: Request, column: str) -> str:
    """What the request asks for in a label or attribute, as ``ImageSet.group`` writes it."""
    if column in request.attributes:
        return request.attributes[column] or "unknown"
    return info.label(column).text(request.labels.get(column))


def assign(asked: Conditions, held: Conditions, rng: np.random.Generator, groups: int = 0) -> npt.NDArray[np.int64]:
    """For each row of ``asked`` (R, L) the index of a row of ``held`` (N, L), in rounds without replacement.

    The last ``groups`` columns are groups, those before them conditions. In each round an unused row is taken

    1. by requests for which one has the same conditions and groups;
    2. then by those for which one has the same conditions: the fewer groups differ, the earlier;
    3. then by the others, in order: one that differs in the fewest conditions, and among those in the fewest groups.

    So conditions always come before groups: as many requests as can be get the same conditions. Among equally good
    kinds of rows the most plentiful is taken, and of a kind a row at random. A new round starts when every row has been
    used.

    Raises:
        ValueError: ``held`` has no rows.
    """
    if not len(held):
        raise ValueError("there is no image to draw from")
    kinds, stacks = _stacks(held, rng)
    result = np.full(len(asked), -1, np.int64)
    waiting = list(range(len(asked)))
    while waiting:
        pool = _Round(asked, kinds, stacks, groups, result)
        waiting = pool.nearest(pool.same_conditions(pool.same(waiting)))
    return result


def conditions_of_images(images: ImageSet) -> Conditions:
    """The condition labels of every image, in the order of ``info.conditions``."""
    return table_of([images.column(name) for name in images.info.conditions], len(images))


def conditions_of_requests(requests: Sequence[Request], names: Sequence[str]) -> Conditions:
    """The labels ``names`` every request asks for."""
    return table_of([[each.labels.get(name) for each in requests] for name in names], len(requests))


def shuffle_by_seeds(requests: Sequence[Request]) -> np.random.Generator:
    """A source of randomness decided by the seeds of ``requests`` as a set."""
    seeds = ",".join(str(seed) for seed in sorted(each.seed for each in requests))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seeds.encode()).digest()[:16], "big"))


def requests_by_purpose(requests: Sequence[Request]) -> Iterator[tuple[Purpose, list[Request]]]:
    """The requests of each purpose in the order in which they are served."""
    ordered = sorted(requests, key=lambda each: (each.purpose, each.seed, each.request_id))
    for purpose, asking in groupby(ordered, key=lambda each: each.purpose):
        yield purpose, list(asking)


def table_of(columns: Sequence[Sequence[int | None]], length: int) -> Conditions:
    """``(length, columns + 1)`` numbers."""
    # the constant column keeps data sets without conditions in the same code
    table = np.zeros((length, len(columns) + 1), np.int32)
    for position, column in enumerate(columns):
        table[:, position] = [UNKNOWN if value is None else value for value in column]
    return table


def numbered(asked: Sequence[str], held: Sequence[str]) -> tuple[Conditions, Conditions]:
    """The same number for the same text on both sides."""
    _, places = np.unique([*asked, *held], return_inverse=True)
    numbers = places.reshape(-1).astype(np.int32)
    return numbers[: len(asked)], numbers[len(asked) :]


def _stacks(held: Conditions, rng: np.random.Generator) -> tuple[Conditions, list[npt.NDArray[np.int64]]]:
    shuffled = rng.permutation(len(held))
    kinds, kind_of = np.unique(held[shuffled], axis=0, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    order = np.argsort(kind_of, kind="stable")
    ends = np.cumsum(np.bincount(kind_of, minlength=len(kinds)))[:-1]
    return np.ascontiguousarray(kinds), np.split(shuffled[order], ends)


class _Round:
    """Serves requests from rows of which none is used yet.

    Each method takes the requests that wait and returns those that still do; ``result`` holds what the others got.
    """

    def __init__(
        self,
        asked: Conditions,
        kinds: Conditions,
        stacks: Sequence[npt.NDArray[np.int64]],
        groups: int,
        result: npt.NDArray[np.int64],
    ) -> None:
        self.asked, self.kinds, self.stacks, self.result = asked, kinds, stacks, result
        self.groups, self.conditions = groups, kinds.shape[1] - groups
        self.left = np.array([len(stack) for stack in stacks])

    def same(self, waiting: Sequence[int]) -> list[int]:
        """Conditions and groups as asked."""
        index = {kind.tobytes(): position for position, kind in enumerate(self.kinds)}
        unserved = []
        for request in waiting:
            kind = index.get(self.asked[request].tobytes())
            if kind is None or not self.left[kind]:
                unserved.append(request)
            else:
                self._give(request, kind)
        return unserved

    def same_conditions(self, waiting: Sequence[int]) -> list[int]:
        """Conditions as asked; whoever can have more groups as asked comes before whoever has fewer."""
        alike: dict[bytes, list[int]] = {}
        for position, kind in enumerate(self.kinds[:, : self.conditions]):
            alike.setdefault(kind.tobytes(), []).append(position)
        for most in range(1, self.groups + 1):
            unserved = []
            for request in waiting:
                kinds = np.array(alike.get(self.asked[request, : self.conditions].tobytes(), []), np.int64)
                fit = kinds[(self._groups_differing(request, kinds) == most) & (self.left[kinds] > 0)]
                if len(fit):
                    self._give(request, int(fit[np.argmax(self.left[fit])]))
                else:
                    unserved.append(request)
            waiting = unserved
        return list(waiting)

    def nearest(self, waiting: Sequence[int]) -> list[int]:
        """The fewest conditions that differ, then the fewest groups, until no row is left."""
        many, every = int(self.left.max(initial=0)) + 1, np.arange(len(self.kinds))
        for position, request in enumerate(waiting):
            if not self.left.any():
                return list(waiting[position:])
            differing = (self.kinds[:, : self.conditions] != self.asked[request, : self.conditions]).sum(axis=1)
            distance = differing * (self.groups + 1) + self._groups_differing(request, every)
            order = np.where(self.left > 0, distance * many - self.left, np.iinfo(np.int64).max)
            self._give(request, int(np.argmin(order)))
        return []

    def _groups_differing(self, request: int, kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        differing = self.kinds[kinds, self.conditions :] != self.asked[request, self.conditions :]
        return differing.sum(axis=1, dtype=np.int64)

    def _give(self, request: int, kind: int) -> None:
        self.left[kind] -= 1
        self.result[request] = self.stacks[kind][self.left[kind]]
