"""The nouns contradict neither themselves nor each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import api
from bench.api import (
    Better,
    Classifies,
    ComparesPairs,
    Encoder,
    HasFrequencies,
    HasRadiomics,
    Images,
    ImageSet,
    Metric,
    PublishedRadiomics,
    ReadsText,
    Role,
    Rows,
    Split,
)
from tests.toy import described, image_set

CAPABILITIES = (Classifies, ComparesPairs, HasFrequencies, HasRadiomics, PublishedRadiomics, ReadsText)


@pytest.mark.parametrize("better", ["lower", "higher", "target", "neither"])
@pytest.mark.parametrize("role", ["headline", "scores", "describes", "ceiling"])
def test_what_is_never_ranked_describes_or_is_a_ceiling(better: Better, role: Role) -> None:
    of = "other" if role == "ceiling" else None
    settings: dict[str, Any] = {"role": role, "ceiling_of": of}
    if (better == "neither") == (role in ("describes", "ceiling")):
        assert Metric("key", "Title", better, "none", **settings).role == role
    else:
        with pytest.raises(ValueError, match=f"metric key: better='{better}' does not go with role='{role}'"):
            Metric("key", "Title", better, "none", **settings)


@pytest.mark.parametrize(("better", "role", "of"), [("neither", "ceiling", None), ("neither", "describes", "other")])
def test_a_ceiling_and_nothing_else_names_its_metric(better: Better, role: Role, of: str | None) -> None:
    with pytest.raises(ValueError, match=f"ceiling_of={of!r} does not go with role='{role}'"):
        Metric("key", "Title", better, "none", role=role, ceiling_of=of)


class Plain(Encoder):
    id, dim = "plain", 2

    def __call__(self, images: Images) -> Rows:
        return np.zeros((len(images), 2), np.float32)


class Sure(Plain):
    def logits(self, rows: Rows) -> Rows:
        return rows


def test_an_encoder_has_the_capabilities_whose_members_it_has() -> None:
    assert not [each for each in CAPABILITIES if isinstance(Plain(), each)]
    assert [each for each in CAPABILITIES if isinstance(Sure(), each)] == [Classifies]


@pytest.mark.parametrize("held", [1, 2, 7, 24])
def test_the_digest_of_a_set_in_any_order_does_not_depend_on_how_many_lines_are_held(
    tiny_split: Split, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    expected = tiny_split.test.select(range(24)).unordered_digest
    monkeypatch.setattr(api, "SORTED", held)
    assert tiny_split.test.select(range(23, -1, -1)).unordered_digest == expected


def test_lines_of_which_one_begins_another_are_in_order_on_disk_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["ab", "a", "a b", "ab ", "abc", "a", "", "b"]
    monkeypatch.setattr(api, "SORTED", 2)
    assert list(api._in_order(iter(lines))) == sorted(lines)


def test_keys_are_the_hashes_of_a_selection_in_its_order(tiny_split: Split) -> None:
    some = tiny_split.train.select([7, 3, 3, 0])
    assert some.pixel_keys.tobytes().hex() == "".join(some.column("pixel_hash")) and some.pixel_keys.shape == (4,)
    assert tiny_split.train.select([]).pixel_keys.shape == (0,)


def test_only_more_images_than_the_most_are_thinned(tmp_path: Path) -> None:
    images = image_set([np.full((4, 4), i, np.uint8) for i in range(30)], described())
    rng = np.random.default_rng(1)
    assert images.at_most(30, rng) is images and rng.random() == np.random.default_rng(1).random()
    some = images.at_most(10, rng)
    places = [int(name) for name in some.ids]
    assert len(set(places)) == 10 and places == sorted(places)


def test_the_membership_is_that_of_one_data_set(tiny_split: Split) -> None:
    """Two data sets may number their images and patients alike."""
    parts = (tiny_split.train, tiny_split.holdout, tiny_split.test)
    renamed = Split(*(ImageSet(part.rows, replace(part.info, name="other")) for part in parts))
    again = Split(*(part.select(range(len(part) - 1, -1, -1)) for part in parts))
    moved = Split(tiny_split.holdout, tiny_split.train, tiny_split.test)
    found = {each.membership for each in (tiny_split, renamed, moved)}
    assert len(found) == 3 and again.membership == tiny_split.membership
