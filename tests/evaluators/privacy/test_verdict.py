"""The verdict's words, each of them, and in which order reasons count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.api import Score
from evaluators.privacy.bounds import Limit
from evaluators.privacy.closeness import Pool
from evaluators.privacy.membership_inference import MIA_AUC
from evaluators.privacy.metrics import ABOVE_NULL
from evaluators.privacy.planting import families
from evaluators.privacy.shuffled_labels import Evidence
from evaluators.privacy.verdict import (
    FIRST,
    Verdict,
    better_than_null,
    cleared,
    family_limits,
    judge,
    percent,
    too_few,
)

KINDS = {name: [each.name for each in kinds] for name, kinds in families().items()}
QUIET = Evidence({"pixels": 0.3, "radiomics": 0.6}, 0.2, {"pixels/copying": 0.3, "pixels/attack": 0.1})


def at(share: float | None) -> Limit:
    return Limit(0.01, share, "pixels", 30, 0.9)


def limits_of(**families_at: float | None) -> dict[str, Limit | None]:
    """Every kind of the families named (``_`` for a space) at a share; of the others nothing can be said."""
    found: dict[str, Limit | None] = {kind: None for kinds in KINDS.values() for kind in kinds}
    for family, share in families_at.items():
        found |= {kind: at(share) for kind in KINDS[family.replace("_", " ").replace("reposed", "re-posed")]}
    return found


def verdict(**changed: Any) -> Verdict:
    usual = {
        "plain": None,
        "unfit": None,
        "found": QUIET,
        "doubts": [],
        "limits": limits_of(exact_or_recoloured=0.0201),
    }
    return judge(**usual | changed)


def test_nothing_found_says_what_would_have_been_and_what_is_not_seen() -> None:
    found = verdict(limits=limits_of(exact_or_recoloured=0.0201, reposed=0.05))
    assert found.found is False
    assert found.words == (
        "no leak found; exact or recoloured copies above 2.1%, re-posed above 5% would have been found; "
        "re-posed and recoloured, and blends and parts are not seen, nor are a few patients copied often"
    )
    assert found.reason.startswith("p of the copying test pixels 0.3000, radiomics 0.6000; of all other statistics")


def test_one_family_that_is_not_seen() -> None:
    every = dict.fromkeys(KINDS, 0.1)
    assert cleared(every | {"blends and parts": None}).endswith(
        "found; blends and parts are not seen, nor are a few patients copied often"
    )
    assert cleared(every | {"re-posed": None}).endswith(
        "found; re-posed copies are not seen, nor are a few patients copied often"
    )
    assert cleared(every).endswith(
        "blends and parts above 10% would have been found; a few patients copied often are not seen"
    )


def test_an_exact_copy_needs_no_test() -> None:
    one = verdict(plain="1 exact copy of training images", unfit="anything", found=None)
    assert (one.found, one.words, one.reason) == (True, "leak found", "1 exact copy of training images")


def test_what_cannot_be_measured_cannot_be_told() -> None:
    assert verdict(unfit="the holdout was copied") == Verdict(None, "cannot tell", "the holdout was copied")
    assert verdict(found=None) == Verdict(None, "cannot tell", "membership was not measured")


@pytest.mark.parametrize(
    ("copying", "where"),
    [
        ({"pixels": 0.01, "radiomics": 0.5}, "pixels"),
        ({"pixels": 0.01, "radiomics": 0.02}, "pixels, radiomics"),
        (dict.fromkeys("abcd", 0.01), "4 encoders"),
        ({"pixels": 0.5, "radiomics": 0.5}, "pixels/attack"),
    ],
    ids=str,
)
def test_a_leak_says_where(copying: dict[str, float], where: str) -> None:
    found = verdict(found=Evidence(copying, 0.001, {"pixels/copying": 0.5, "pixels/attack": 0.001}))
    assert (found.found, found.words) == (True, "leak found")
    assert found.reason.startswith(f"synthetic images prefer training patients in {where}: p of the copying test")


def above(value: float, low: float, high: float, encoder: str = "pixels") -> Score:
    return ABOVE_NULL(value, n=500, interval=(low, high), encoder=encoder)


def test_an_area_above_the_test_part_is_a_doubt() -> None:
    doubt = better_than_null([above(0.02, 0.001, 0.04), above(0.03, 0.01, 0.05, "radiomics")])
    assert doubt is not None and "+0.030 [0.010, 0.050] above it in radiomics" in doubt
    assert better_than_null([above(0.03, -0.001, 0.06), MIA_AUC(0.7, n=500, interval=(0.6, 0.8))]) is None
    assert better_than_null([ABOVE_NULL.refused("no null", n=500)]) is None


def test_a_doubt_clears_nothing_and_hides_no_leak() -> None:
    found = verdict(doubts=["this", "that"])
    assert (found.found, found.words) == (None, "cannot tell")
    assert found.reason == "no test found a leak, but this; and that"
    leaking = Evidence({"pixels": 0.001}, 0.5, {"pixels/copying": 0.001})
    assert verdict(found=leaking, doubts=["this"]).words == "leak found"


@pytest.mark.parametrize("family", [None, "reposed"])
def test_where_even_exact_copies_do_not_stand_out_it_cannot_be_told(family: str | None) -> None:
    found = verdict(limits=limits_of(**({family: 0.02} if family else {})))
    assert (found.found, found.words) == (None, "cannot tell")
    assert f"even {FIRST} ones" in found.reason


def test_a_family_is_seen_from_the_worst_of_its_kinds_on() -> None:
    found = limits_of(exact_or_recoloured=0.02, reposed=0.05)
    found["jpeg50"], found["flip"] = at(0.08), at(None)
    assert family_limits(found) == {
        "exact or recoloured": 0.08, "re-posed": None, "re-posed and recoloured": None, "blends and parts": None
    }  # fmt: skip
    del found["gamma"]
    assert family_limits(found)[FIRST] is None


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.02, "2%"), (0.0201, "2.1%"), (0.0205, "2.1%"), (0.021, "2.1%"), (1.0, "100%"), (0.3, "30%"), (0.07, "7%")],
)
def test_percent_is_rounded_up(share: float, words: str) -> None:
    assert percent(share) == words


def test_too_few() -> None:
    member = np.arange(60) < 20
    pool = Pool(np.arange(60), np.arange(60), member, tuple(map(str, range(60))), 20)
    assert too_few(500, pool) is None
    assert "500 synthetic images, got 499" in str(too_few(499, pool))
    for members in (19, 41):
        small = Pool(pool.order, pool.owners, np.arange(60) < members, pool.names, members)
        assert "20 patients in train and in holdout, got 19" in str(too_few(500, small))
