"""The nouns contradict neither themselves nor each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.api import (
    Better,
    Classifies,
    ComparesPairs,
    Encoder,
    HasFrequencies,
    HasRadiomics,
    Images,
    Metric,
    ReadsText,
    Role,
    Rows,
)

CAPABILITIES = (Classifies, ComparesPairs, HasFrequencies, HasRadiomics, ReadsText)


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
