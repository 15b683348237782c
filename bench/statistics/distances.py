"""Exact Euclidean distances between rows of features, in tiles that fit the cache.

A tile of ``x.y`` is a float32 matrix product of rows centred on a common centre, which is fast and off by a known
bound. Every consumer of a pass (nearest rows, balls, kernel sums) is handed the same tile, so a product is computed
once. Whatever the bound leaves open is computed again from the differences in float64, so the answers are those of
float64 and a copy is at distance exactly 0. Nothing is held but two blocks of rows, a tile and what consumers keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Floats, Indices, Mask, Reals, Singles

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "float64"]
HEIGHT, WIDTH = 256, 2048  # rows and columns of a tile: operands and result stay in the caches
SPARE = 4  # candidates kept beyond k, so that rounding seldom leaves the order open
EPSILON = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True, slots=True)
class Centred:
    """Rows less a common centre, made a block at a time.

    Attributes:
        rows: ``(N, D)`` as they came.
        centre: ``(D,)`` float32, so that a float32 row less the centre is rounded once.
        squares: ``(N,)`` squared lengths of the centred rows, computed in float64.
        precision: of the blocks.
    """

    rows: Rows
    centre: Singles
    squares: Floats
    precision: Precision

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Floats:
        return np.sqrt(self.squares)

    def block(self, part: slice) -> torch.Tensor:
        """Centred rows of a slice, in ``precision``."""
        import torch

        wide = np.promote_types(self.rows.dtype, self.precision)
        shifted = np.subtract(self.rows[part], self.centre, dtype=wide)
        return torch.from_numpy(shifted.astype(self.precision, copy=False))


class Tile(NamedTuple):
    """Products ``x.y`` of the rows of two slices.

    ``place`` is ``across`` for two different sets; within one set it is ``diagonal`` for a slice against itself and
    ``above`` for two slices, whose pairs then stand for both orders. ``products`` is read by every consumer of the
    pass and changed by none.
    """

    rows: slice
    columns: slice
    products: torch.Tensor
    place: Literal["across", "diagonal", "above"]


Consumer = Callable[[Tile], None]


def mean_row(rows: Rows) -> Floats:
    """Column means ``(D,)``, summed in float64 (numpy's own float32 mean loses digits)."""
    return rows.mean(axis=0, dtype=np.float64)


def centred(rows: Rows, centre: Floats, precision: Precision = "float32") -> Centred:
    """``rows - centre``, with the centre rounded to float32; float64 never holds them all."""
    rounded = centre.astype(np.float32)
    squares = np.empty(len(rows))
    for start in range(0, len(rows), HEIGHT):
        part = np.subtract(rows[start : start + HEIGHT], rounded, dtype=np.float64)
        squares[start : start + HEIGHT] = np.einsum("nd,nd->n", part, part)
    return Centred(rows, rounded, squares, precision)


def rounding(left_length: Floats, longest: float, columns: int, precision: Precision) -> Floats:
    """A bound on the error of ``|y|^2 - 2 x.y`` computed in ``precision``, for ``x`` of the given lengths.

    A product of length ``D`` is off by at most ``D eps |x||y|`` in any order of summation (Higham 2002, 3.5);
    centring and adding the square cost a few ``eps`` more.
    """
    reach = left_length + longest
    return EPSILON[precision] * ((2 * columns + 8) * left_length * longest + 8 * reach * reach)


def operand(rows: torch.Tensor) -> torch.Tensor:
    """Float32 rows as ``product`` wants them; worth keeping for rows multiplied more than once."""
    import torch

    if rows.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return rows
    return rows.to_mkldnn()


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """``left @ right.T`` of the operands of ``(N, D)`` and ``(M, D)`` rows.

    Float32 goes through oneDNN, which compiles for the processor it finds. BLAS libraries choose from a list, and
    where a processor is missing from it they run at half the speed.
    """
    import torch

    return torch.nn.functional.linear(left, right).to_dense() if left.is_mkldnn else left @ right.T


def slices(n: int, step: int, start: int = 0) -> Iterator[slice]:
    """Consecutive slices of ``start..n-1``, the last possibly shorter than ``step``."""
    for first in range(start, n, step):
        yield slice(first, min(first + step, n))


def across(left: Centred, right: Centred) -> Iterator[Tile]:
    """Tiles of all pairs of two sets about the same centre."""
    for columns in slices(len(right), WIDTH):
        panel = operand(right.block(columns))
        for rows in slices(len(left), HEIGHT):
            yield Tile(rows, columns, product(operand(left.block(rows)), panel), "across")


def within(points: Centred) -> Iterator[Tile]:
    """Tiles of all pairs of one set, those of two different slices once only."""
    for columns in slices(len(points), WIDTH):
        panel = points.block(columns)
        whole = operand(panel)
        for rows in slices(columns.start, HEIGHT):
            yield Tile(rows, columns, product(operand(points.block(rows)), whole), "above")
        for rows in slices(columns.stop, HEIGHT, columns.start):
            here, rest = rows.start - columns.start, rows.stop - columns.start
            block = operand(panel[here:rest])
            yield Tile(rows, rows, product(block, block), "diagonal")
            if rows.stop < columns.stop:
                yield Tile(rows, slice(rows.stop, columns.stop), product(block, operand(panel[rest:])), "above")


def sweep(tiles: Iterable[Tile], consumers: Sequence[Consumer]) -> None:
    """Hand every tile to every consumer."""
    for tile in tiles:
        for consumer in consumers:
            consumer(tile)


def pair_distances(left: Rows, right: Rows, i: Indices, j: Indices) -> Floats:
    """``|left[i] - right[j]|`` for listed pairs, from differences in float64; 0 exactly for equal rows."""
    result = np.empty(len(i))
    for part in slices(len(i), max(1, 2**16 // max(1, left.shape[1]))):
        difference = left[i[part]].astype(np.float64)
        difference -= right[j[part]]
        result[part] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
    return result


class Nearest:
    """Consumer that keeps the nearest rows of ``right`` for each row of ``left``.

    Attributes:
        own: ``(N,)`` the row of ``right`` that is not a neighbour of each row of ``left``, -1 for none. Within one
            set no row is its own neighbour.
        scores: ``(N, keep)`` the smallest ``|y|^2 - 2 x.y`` met so far, in no order.
        indices: ``(N, keep)`` their rows of ``right``.
        worst: ``(N,)`` the greatest score kept.
    """

    def __init__(self, left: Centred, right: Centred, k: int, own: Indices | None = None) -> None:
        self.left, self.right, self.k, self.own = left, right, k, own
        keep = min(k + SPARE, len(right))
        dtype = np.dtype(left.precision)
        self.scores = np.full((len(left), keep), np.inf, dtype)
        self.indices = np.full((len(left), keep), -1, np.int64)
        self.worst = np.full(len(left), np.inf, dtype)
        self._left_squares, self._right_squares = left.squares.astype(dtype), right.squares.astype(dtype)

    def __call__(self, tile: Tile) -> None:
        import torch

        rows, columns, products, place = tile
        scores = torch.sub(torch.from_numpy(self._right_squares[columns]), products, alpha=2)
        if place == "diagonal":
            scores.fill_diagonal_(torch.inf)
        if self.own is not None:
            own = self.own[rows]
            inside = np.flatnonzero((own >= columns.start) & (own < columns.stop))
            scores[inside, own[inside] - columns.start] = torch.inf
        self._offer(scores.numpy(), rows, columns)
        if place == "above":
            mirrored = torch.sub(torch.from_numpy(self._left_squares[rows, None]), products, alpha=2)
            self._offer(mirrored.numpy().T, columns, rows)

    def _offer(self, scores: Reals, rows: slice, columns: slice) -> None:
        """Scores of a tile, or of its transpose, to the rows of ``left`` in ``rows``."""
        import torch

        worst = self.worst[rows]
        if not np.isfinite(worst).all():
            table = torch.from_numpy(np.ascontiguousarray(scores))
            near, at = torch.topk(table, min(self.scores.shape[1], scores.shape[1]), largest=False)
            who = np.repeat(np.arange(rows.start, rows.stop), near.shape[1])
            self._merge(who, at.numpy().ravel() + columns.start, near.numpy().ravel())
            return
        i, j = where(scores < worst[:, None])
        self._merge(i + rows.start, j + columns.start, scores[i, j])

    def _merge(self, who: Indices, others: Indices, scores: Reals) -> None:
        """Keep the best of what was kept and of the scores offered to rows ``who``."""
        if not len(who):
            return
        order = np.argsort(who, kind="stable")
        who, others, scores = who[order], others[order], scores[order]
        starts = np.flatnonzero(np.append(True, who[1:] != who[:-1]))
        sizes = np.diff(np.append(starts, len(who)))
        line, place = np.repeat(np.arange(len(starts)), sizes), np.arange(len(who)) - np.repeat(starts, sizes)
        who, keep = who[starts], self.scores.shape[1]
        table = np.full((len(who), keep + int(sizes.max())), np.inf, self.scores.dtype)
        names = np.full(table.shape, -1, np.int64)
        table[:, :keep], names[:, :keep] = self.scores[who], self.indices[who]
        table[line, keep + place], names[line, keep + place] = scores, others
        best = np.argpartition(table, keep - 1, axis=1)[:, :keep]
        kept = np.take_along_axis(table, best, 1)
        self.scores[who], self.indices[who] = kept, np.take_along_axis(names, best, 1)
        self.worst[who] = kept.max(axis=1)

    def exact(self) -> tuple[Floats, Indices]:
        """Distances ``(N, k)``, ascending, and indices ``(N, k)``, after a pass; exact as ``nearest`` promises."""
        distances, indices, unsettled = self._settle()
        if len(unsettled):
            own = self.own[unsettled] if self.own is not None else None
            if own is None and self.left is self.right:
                own = unsettled
            again = _pass(self.left.rows[unsettled], self.right.rows, self.k, own, "float64")
            distances[unsettled], indices[unsettled], _ = again._settle()
        return distances, indices

    def _settle(self) -> tuple[Floats, Indices, Indices]:
        """Candidates in the order of their float64 distances, and the rows whose order the rounding leaves open."""
        n, keep = self.indices.shape
        left, right = self.left, self.right
        distances = pair_distances(left.rows, right.rows, np.repeat(np.arange(n), keep), self.indices.ravel())
        distances = distances.reshape(n, keep)
        distances[np.isinf(self.scores)] = np.inf
        order = np.lexsort((self.indices, distances), axis=1)[:, : self.k]
        distances, indices = np.take_along_axis(distances, order, 1), np.take_along_axis(self.indices, order, 1)
        bound = rounding(left.lengths, float(right.lengths.max()), left.rows.shape[1], left.precision)
        certain = self.worst.astype(np.float64) + left.squares - bound >= distances[:, -1] ** 2
        settled = certain | (distances[:, -1] == 0) | (keep >= len(right))
        return distances, indices, np.flatnonzero(~settled)


def where(mask: Mask) -> tuple[Indices, Indices]:
    """``numpy.nonzero`` of a table in which little is true, several times as fast; any order."""
    if not mask.flags.c_contiguous:
        j, i = where(mask.T)
        return i, j
    i, j = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return i, j


def _pass(queries: Rows, references: Rows, k: int, own: Indices | None, precision: Precision) -> Nearest:
    """All tiles of queries and references, through a ``Nearest``."""
    centre = mean_row(references)
    left, right = centred(queries, centre, precision), centred(references, centre, precision)
    found = Nearest(left, right, k, own)
    sweep(across(left, right), [found])
    return found


def nearest(queries: Rows, references: Rows, k: int = 1, *, exclude_self: bool = False) -> tuple[Floats, Indices]:
    """The ``k`` nearest references of each query by Euclidean distance, exactly.

    ``exclude_self`` leaves out reference ``i`` for query ``i``: for a set against itself, which takes half the time
    where both are the same array.

    Returns:
        Distances ``(Q, k)``, ascending, and indices into ``references`` ``(Q, k)``. An exact copy is at distance 0.
        Among equal distances any of the references may be named, always the same ones for the same input.

    Raises:
        ValueError: fewer than ``k`` references, differing numbers of columns, or values that are not finite.
    """
    same = queries is references and exclude_self
    queries, references = np.atleast_2d(queries), np.atleast_2d(references)
    available = len(references) - exclude_self
    if queries.shape[1] != references.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} columns, references {references.shape[1]}")
    if not 1 <= k <= available:
        raise ValueError(f"asked for {k} neighbours among {available}")
    if not (finite(queries) and finite(references)):
        raise ValueError("features hold values that are not finite")
    if not len(queries):
        return np.empty((0, k)), np.empty((0, k), np.int64)
    if not same:
        own = np.arange(len(queries)) if exclude_self else None
        return _pass(queries, references, k, own, "float32").exact()
    points = centred(references, mean_row(references))
    found = Nearest(points, points, k)
    sweep(within(points), [found])
    return found.exact()


def finite(rows: Rows) -> bool:
    """Whether every value is finite, looked at a block at a time."""
    return all(bool(np.isfinite(rows[part]).all()) for part in slices(len(rows), WIDTH))
