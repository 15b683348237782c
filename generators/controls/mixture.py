"""A generator that leaks in part: some of its images are changed copies, the others come from another generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from bench.api import BenchError, Generator, Images, ImageSet, Request, Split
from bench.runtime.setting_types import Portion
from bench.storage.picture_changes import TRANSFORMS
from generators.assignment import draw, requests_by_purpose, shuffle_by_seeds


class Mixture(Generator):
    """Gives a share of the requests of each purpose a training image changed by a named transform, the others what
    ``base`` makes for them.

    Which requests get copies is decided by their seeds, so neither their order nor the block matters; a training image
    is copied of the asked conditions where one is left, none twice until all are used. ``base`` makes images of whole
    blocks, those that copies take the place of included, so that its own are those that it makes alone.
    """

    control: ClassVar[Literal["leaky"]] = "leaky"
    shows_real: ClassVar[bool] = True

    def __init__(self, base: Generator, share: Portion = 0.1, transform: str = "identity") -> None:
        """``share`` (above 0, at most 1) of each purpose, rounded to whole images; ``transform``: see ``TRANSFORMS``.

        Raises:
            BenchError: an unknown transform, a share that is none, or a base that reads another part than train.
        """
        if transform not in TRANSFORMS:
            raise BenchError(f"generator.transform is {transform!r}; needed one of {', '.join(TRANSFORMS)}")
        if not 0 < share <= 1:
            raise BenchError(f"generator.share is {share}; needed a share of the images above 0 and at most 1")
        if base.reads_part != "train":
            raise BenchError(
                f"generator.base is {type(base).__name__}, which reads the {base.reads_part} part; needed one that "
                "reads the train part, which the copies are of"
            )
        self.block, self.processes, self.reads = base.block, base.processes, base.reads
        self.trained_on = base.trained_on
        self._base, self._share, self._transform = base, share, TRANSFORMS[transform]
        self._copied: dict[str, int] = {}
        self._others: dict[str, int] = {}

    @property
    def facts(self) -> dict[str, Any]:  # type: ignore[override]
        """What the base says of itself, less which conditions it met: a copy need not have the same."""
        return {name: each for name, each in self._base.facts.items() if name != "matched"}

    def learned_from(self, split: Split) -> str:
        """What its base learned from: the copies are of the train part."""
        return self._base.learned_from(split)

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        self._train = train
        self._base.fit(train, folder, seed)
        self.uses = self._base.uses

    def plan(self, requests: Sequence[Request]) -> None:
        self._base.plan(requests)
        copied = [each for _, asking in requests_by_purpose(requests) for each in self._chosen(asking)]
        self._copied = draw(copied, self._train)
        self._others = self._of_others(copied) if self._transform.needs_other else dict(self._copied)

    def sample(self, requests: Sequence[Request]) -> Images:
        images = self._base.sample(requests).copy()
        places = [place for place, each in enumerate(requests) if each.request_id in self._copied]
        if places:
            ids = [requests[place].request_id for place in places]
            copied, others = (self._train.pixels([rows[each] for each in ids]) for rows in (self._copied, self._others))
            images[places] = self._transform(copied, others)
        return images

    def patients(self, requests: Sequence[Request]) -> Sequence[str | None]:
        owners, base = self._train.patients, self._base.patients(requests)
        rows = [self._copied.get(each.request_id) for each in requests]
        return [name if row is None else f"train {owners[row]}" for row, name in zip(rows, base, strict=True)]

    def _chosen(self, asking: Sequence[Request]) -> list[Request]:
        """The requests of one purpose that get copies."""
        count = round(self._share * len(asking))
        return [asking[place] for place in np.sort(shuffle_by_seeds(asking).permutation(len(asking))[:count])]

    def _of_others(self, copied: Sequence[Request]) -> dict[str, int]:
        """For each copy a training image of another patient, drawn by the request's seed.

        Raises:
            BenchError: all training images are of one patient.
        """
        _, owners = np.unique(np.asarray(self._train.patients, np.str_), return_inverse=True)
        if copied and (owners == owners[0]).all():
            raise BenchError(
                f"generator.transform={self._transform.name} mixes images of two patients, and all {len(owners)} "
                "training images are of one; choose another transform"
            )
        found = {}
        for each in copied:
            others = np.flatnonzero(owners != owners[self._copied[each.request_id]])
            found[each.request_id] = int(np.random.default_rng(each.seed).choice(others))
        return found
