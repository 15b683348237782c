"""Exact Euclidean distances between rows of features, in tiles that fit the cache.

A tile of ``x.y`` is a float32 matrix product of rows centred on the references' mean, which is fast and off by a
known bound. Whatever the bound leaves open is computed again from the differences in float64, so the answers are
those of float64 and a copy is at distance exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.api import Rows
from bench.stats import Floats

if TYPE_CHECKING:
    import torch

Indices = npt.NDArray[np.int64]
TILE = (256, 2048)  # rows and columns: operands and result stay in a second-level cache
SPARE = 4  # candidates kept beyond k, so that rounding seldom leaves the order open
EPSILON = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True, slots=True)
class Centred:
    """Rows less a common centre, with their squared lengths: what tiles are made of.

    Attributes:
        rows: ``(N, D)`` tensor, float32 or float64.
        squares: ``(N,)`` squared lengths, computed in float64, in the dtype of ``rows``.
        longest: the greatest length.
    """

    rows: torch.Tensor
    squares: torch.Tensor
    longest: float

    def __len__(self) -> int:
        return len(self.rows)


def mean_row(rows: Rows) -> Floats:
    """Column means ``(D,)``, summed in float64 (numpy's own float32 mean loses digits)."""
    return rows.mean(axis=0, dtype=np.float64)


def centred(rows: Rows, centre: Floats, precision: str = "float32") -> Centred:
    """``rows - centre``, 8192 rows at a time so that float64 never holds them all."""
    import torch

    dtype = getattr(torch, precision)
    shifted = torch.empty(rows.shape, dtype=dtype)
    squares = torch.empty(len(rows), dtype=torch.float64)
    for start in range(0, len(rows), 8192):
        part = torch.from_numpy(rows[start : start + 8192] - centre)
        shifted[start : start + 8192] = part
        squares[start : start + 8192] = part.square().sum(dim=1)
    longest = float(squares.max().sqrt()) if len(rows) else 0.0
    return Centred(shifted, squares.to(dtype), longest)


def rounding(left_length: Floats, longest: float, columns: int, precision: str) -> Floats:
    """A bound on the error of ``|y|^2 - 2 x.y`` computed in ``precision``, for ``x`` of the given lengths.

    A product of length ``D`` is off by at most ``D eps |x||y|`` in any order of summation (Higham 2002, 3.5);
    centring and adding the square cost a few ``eps`` more.
    """
    reach = left_length + longest
    return EPSILON[precision] * ((2 * columns + 8) * left_length * longest + 8 * reach * reach)


def tiles(left: Centred, right: Centred, *, upper: bool = False) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Products ``x.y`` of all pairs, a tile at a time: row slice, column slice, ``(rows, columns)`` tensor.

    The tensor is valid until the next step. ``upper`` leaves out the tiles wholly below the diagonal, for a set
    against itself.
    """
    import torch

    height, width = TILE
    buffer = torch.empty(height * width, dtype=left.rows.dtype)
    for top in range(0, len(left), height):
        rows = slice(top, min(top + height, len(left)))
        for start in range(0, len(right), width):
            columns = slice(start, min(start + width, len(right)))
            if upper and columns.stop <= rows.start:
                continue
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            out = buffer[: shape[0] * shape[1]].view(shape)
            yield rows, columns, torch.mm(left.rows[rows], right.rows[columns].T, out=out)


def pair_distances(left: Rows, right: Rows, i: Indices, j: Indices) -> Floats:
    """``|left[i] - right[j]|`` for listed pairs, from differences in float64; 0 exactly for equal rows."""
    result = np.empty(len(i))
    step = max(1, 2**21 // max(1, left.shape[1]))
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        difference = left[i[part]].astype(np.float64) - right[j[part]]
        result[part] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
    return result


def nearest(queries: Rows, references: Rows, k: int = 1, *, exclude_self: bool = False) -> tuple[Floats, Indices]:
    """The ``k`` nearest references of each query by Euclidean distance, exactly.

    ``exclude_self`` leaves out reference ``i`` for query ``i``: for a set against itself.

    Returns:
        Distances ``(Q, k)``, ascending, and indices into ``references`` ``(Q, k)``. An exact copy is at distance 0.
        Among equal distances any of the references may be named, always the same ones for the same input.

    Raises:
        ValueError: fewer than ``k`` references, differing numbers of columns, or values that are not finite.
    """
    queries, references = np.atleast_2d(queries), np.atleast_2d(references)
    available = len(references) - exclude_self
    if queries.shape[1] != references.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} columns, references {references.shape[1]}")
    if not 1 <= k <= available:
        raise ValueError(f"asked for {k} neighbours among {available}")
    if not (np.isfinite(queries).all() and np.isfinite(references).all()):
        raise ValueError("features hold values that are not finite")
    if not len(queries):
        return np.empty((0, k)), np.empty((0, k), np.int64)
    self_of = np.arange(len(queries)) if exclude_self else np.full(len(queries), -1)
    distances, indices, open_ = _nearest(queries, references, k, self_of, "float32")
    if len(open_):
        distances[open_], indices[open_], _ = _nearest(queries[open_], references, k, self_of[open_], "float64")
    return distances, indices


def _nearest(
    queries: Rows, references: Rows, k: int, self_of: Indices, precision: str
) -> tuple[Floats, Indices, Indices]:
    """Neighbours by tiles in ``precision``, and the queries whose order the rounding leaves open."""
    centre = mean_row(references)
    left, right = centred(queries, centre, precision), centred(references, centre, precision)
    keep = min(k + SPARE, len(references))
    values, indices = _candidates(left, right, keep, self_of)
    rough = values[:, -1].astype(np.float64)
    distances = pair_distances(queries, references, np.repeat(np.arange(len(queries)), keep), indices.ravel())
    distances = distances.reshape(-1, keep)
    distances[np.isinf(values)] = np.inf
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    distances, indices = np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)
    squares = left.squares.double().numpy()
    bound = rounding(np.sqrt(squares), right.longest, queries.shape[1], precision)
    everything = keep >= len(references)
    settled = everything | (distances[:, -1] == 0) | (rough + squares - bound >= distances[:, -1] ** 2)
    return distances, indices, np.flatnonzero(~settled)


def _candidates(left: Centred, right: Centred, keep: int, self_of: Indices) -> tuple[npt.NDArray[np.floating], Indices]:
    """The ``keep`` smallest ``|y|^2 - 2 x.y`` of each row, ascending, and where they are."""
    import torch

    values = torch.full((len(left), keep), torch.inf, dtype=left.rows.dtype)
    indices = torch.full((len(left), keep), -1, dtype=torch.int64)
    own = torch.from_numpy(self_of)
    for rows, columns, products in tiles(left, right):
        tile = products.mul_(-2).add_(right.squares[columns])
        inside = ((own[rows] >= columns.start) & (own[rows] < columns.stop)).nonzero()[:, 0]
        tile[inside, own[rows][inside] - columns.start] = torch.inf
        better = (tile.amin(dim=1) < values[rows, -1]).nonzero()[:, 0]
        if not len(better):
            continue
        near, at = torch.topk(tile[better], min(keep, tile.shape[1]), dim=1, largest=False)
        at += columns.start
        better += rows.start
        near = torch.cat((values[better], near), dim=1)
        at = torch.cat((indices[better], at), dim=1)
        near, order = torch.topk(near, keep, dim=1, largest=False)
        values[better], indices[better] = near, at.gather(1, order)
    return values.numpy(), indices.numpy()
