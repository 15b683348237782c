"""The null of privacy: real images that no generator learned from and that privacy does not compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

from bench.api import BenchError, ImageSet, Part, Purpose, Request, Split
from generators.assignment import requests_by_purpose, shuffle_by_seeds
from generators.controls.real_images import RealImages


class TestPart(RealImages):
    """Gives requests real images of the test part, in random order whatever conditions are asked for, each once.

    They are of the same population as train and holdout and know nothing of which patient is in which. What privacy
    finds in them is chance, most of it that of the split, which all rows of a board share. Matching the conditions
    would leave out the images that nobody asks for or give others twice: here all are to be had, and each has the same
    chance.
    """

    __test__ = False  # no test, whatever pytest takes its name for
    learns_from: ClassVar[Part] = "test"
    control: ClassVar[Literal["null"]] = "null"
    refuses: ClassVar[Mapping[Purpose, str]] = MappingProxyType(
        {
            "fidelity": "its images are those of the test part, which fidelity is compared with",
            "utility": "its images are those of the test part, on which what learned from them would be examined",
        }
    )

    def most(self, split: Split) -> int:
        return len(split.test)

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        super().fit(train, folder, seed)
        self.uses = ()

    def plan(self, requests: Sequence[Request]) -> None:
        """Give each request of a purpose an image of its own.

        Raises:
            BenchError: more images of a purpose are asked for than the test part has.
        """
        self._rows = {}
        for purpose, asking in requests_by_purpose(requests):
            if len(asking) > len(self._images):
                raise BenchError(
                    f"test_part: {len(asking)} images for {purpose}, and the test part has {len(self._images)}; each "
                    f"is given once: ask for no more, requests.{purpose}={len(self._images)}"
                )
            rows = shuffle_by_seeds(asking).permutation(len(self._images)).tolist()
            self._rows.update(zip((each.request_id for each in asking), rows, strict=False))
