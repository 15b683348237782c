"""The baseline: Gaussian scores on the principal components of the training images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Generator, Images, ImageSet, Label, Request
from bench.runtime.progress import track
from bench.runtime.setting_types import Count, Portion
from bench.statistics.arrays import Floats, Singles
from bench.storage.files import content_key, write_atomic
from generators.assignment import UNKNOWN, Conditions, conditions_of_images, conditions_of_requests

TILE = 8192  # pixels per product: bounds the float64 copy of a column of the data


@dataclass(frozen=True)
class Model:
    """A Gaussian over principal components with a mean that is additive in the conditions.

    ``mean`` (D,) and ``components`` (K, D) in grey levels; ``effects`` (C, K) mean scores for each column of the
    indicator table; ``spread`` (K, K) lower Cholesky factor of the covariance of the residual scores.
    """

    mean: Singles
    components: Singles
    effects: Floats
    spread: Floats


class Pca(Generator):
    """Samples blurry averages of the right conditions: cheap, honest, and hard to beat on some metrics.

    Image = mean + components · scores, scores ~ N(indicators · effects, residual covariance). Jolliffe, Principal
    Component Analysis, 2002, doi:10.1007/b98835.
    """

    control: ClassVar[Literal["baseline"]] = "baseline"

    def __init__(
        self, components: Count = 256, variance: Portion = 0.95, images: int = 1024, block: Count = 64
    ) -> None:
        """Keep the fewest components that explain ``variance`` (0-1], at most ``components``, of ``images`` images."""
        if components < 1 or images < 2 or not 0 < variance <= 1:
            raise BenchError(
                f"generator: components={components}, images={images}, variance={variance}; "
                "needed: components of at least 1, images of at least 2, variance above 0 and at most 1"
            )
        self.block = block
        self._settings = {"components": components, "variance": variance, "images": images}
        self._limit, self._variance, self._images = components, variance, images

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        self.uses = train.info.conditions
        self._size = train.size
        self.facts = {"own_size": (train.size, train.size)}
        self._labels = [train.info.label(name) for name in train.info.conditions]
        key = content_key({**self._settings, "train": train.digest, "seed": seed})
        path = folder / "pca.npz"
        kept = _load(path, key)
        self._model = kept if kept else self._learn(train, seed)
        if not kept:
            _save(path, self._model, key)

    def sample(self, requests: Sequence[Request]) -> Images:
        table = indicators(conditions_of_requests(requests, self.uses), self._labels)
        pairs = zip(table, requests, strict=True)
        return np.stack([sample(self._model, row, each.seed).reshape(self._size) for row, each in pairs])

    def _learn(self, train: ImageSet, seed: int) -> Model:
        if len(train) < 2:
            raise BenchError(f"generator pca: {len(train)} training images; at least 2 are needed")
        chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[: self._images])
        used = train.select(chosen)
        blocks = track(used.blocks(256), "pca: reading", total=-(-len(used) // 256), unit="block")
        pixels = np.concatenate([block.reshape(len(block), -1) for block in blocks])
        mean, components, scores = principal_components(pixels, self._limit, self._variance)
        effects, spread = score_model(scores, indicators(conditions_of_images(used), self._labels))
        return Model(mean, components, effects, spread)


def principal_components(pixels: npt.NDArray[np.uint8], limit: int, variance: float) -> tuple[Singles, Singles, Floats]:
    """Mean (D,), components (K, D) with orthonormal rows, and scores (N, K) of ``pixels`` (N, D).

    Exact, from the eigenvectors of the N by N matrix of inner products; K is the fewest components that explain the
    share ``variance``, at most ``limit``. The sign of each component makes its scores' largest entry positive.
    """
    mean = pixels.mean(axis=0, dtype=np.float64)
    tiles = [slice(start, start + TILE) for start in range(0, pixels.shape[1], TILE)]
    products = np.zeros((len(pixels), len(pixels)))
    for tile in track(tiles, "pca: inner products", unit="tile"):
        centred = pixels[:, tile] - mean[tile]
        products += centred @ centred.T
    values, vectors = np.linalg.eigh(products)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    count = _count(values, limit, variance)
    vectors = vectors[:, :count] * _signs(vectors[:, :count])
    lengths = np.sqrt(values[:count])
    back = vectors / np.maximum(lengths, np.finfo(float).tiny)
    components = [(back.T @ (pixels[:, tile] - mean[tile])).astype(np.float32) for tile in tiles]
    return mean.astype(np.float32), np.concatenate(components, axis=1), vectors * lengths


def indicators(conditions: Conditions, labels: Sequence[Label]) -> Floats:
    """(N, C): a constant column, then for each label one column for each value and one for unknown."""
    columns = [np.ones(len(conditions))]
    for position, label in enumerate(labels):
        columns += [conditions[:, position] == value for value in (*label.values, UNKNOWN)]
    return np.stack(columns, axis=1).astype(np.float64)


def score_model(scores: Floats, table: Floats) -> tuple[Floats, Floats]:
    """Least-squares effects (C, K) of the indicators, and the Cholesky factor (K, K) of the residual covariance.

    The solution of least norm: a value that training images never have has no effect of its own.
    """
    solution, _, rank, _ = np.linalg.lstsq(table, scores, rcond=None)
    effects = np.asarray(solution, np.float64)
    residual = scores - table @ effects
    covariance = residual.T @ residual / max(len(scores) - int(rank), 1)
    ridge = 1e-9 * max(float(np.trace(covariance)) / len(covariance), 1e-9)
    return effects, np.asarray(np.linalg.cholesky(covariance + ridge * np.eye(len(covariance))), np.float64)


def sample(model: Model, row: Floats, seed: int) -> npt.NDArray[np.uint8]:
    """One image (D,) for one row of indicators; one at a time, so that the block changes no bit."""
    draw = np.random.default_rng(seed).standard_normal(len(model.spread))
    scores = (row @ model.effects + model.spread @ draw).astype(np.float32)
    return np.clip(np.rint(model.mean + scores @ model.components), 0, 255).astype(np.uint8)


def _count(values: Floats, limit: int, variance: float) -> int:
    total = values.sum()
    if total <= 0:
        return 1
    # a matrix of centred rows has rank N - 1 at most: its last eigenvalue is rounding
    enough = int(np.searchsorted(np.cumsum(values) / total, variance - 1e-12)) + 1
    return max(1, min(enough, limit, len(values) - 1))


def _signs(vectors: Floats) -> Floats:
    largest = np.abs(vectors).argmax(axis=0)
    return np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def _save(path: Path, model: Model, key: str) -> None:
    stream = io.BytesIO()
    np.savez(stream, key=np.array(key), **{each.name: getattr(model, each.name) for each in fields(model)})
    write_atomic(path, stream.getvalue())


def _load(path: Path, key: str) -> Model | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["key"]) != key:
            return None
        return Model(**{each.name: kept[each.name] for each in fields(Model)})
