"""The ceiling holds 0 in all groups at once: how a run of unseen real images is judged, and whether that is sound."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.api import Score
from bench.statistics.resampling import holm
from tests.conftest import ROOT

ZERO = ("fd", "kid", "cmmd")  # metrics that are 0 for images as good as real ones, at any number of images


@cache
def quantile(degrees: float) -> float:
    """The 97.5% quantile of Student's t."""
    return float(stats.t.ppf(0.975, degrees))


def p_of(score: Score, truth: float, degrees: float) -> float:
    """Two-sided p-value of ``truth``, by inverting a t interval of 95% with so many degrees of freedom.

    The standard error is read off the end of the interval that faces ``truth``.
    """
    assert score.value is not None and score.low is not None and score.high is not None
    away = score.value - truth
    half = score.value - score.low if away > 0 else score.high - score.value
    if half <= 0:
        return float(away == 0)
    return float(2 * stats.t.sf(abs(away) / half * quantile(degrees), degrees))


def not_holding(
    scores: Sequence[Score], degrees: float, truths: Mapping[str, float] = dict.fromkeys(ZERO, 0.0), level: float = 0.05
) -> dict[str, float]:
    """By metric, encoder and group, Holm's adjusted p-values of at most ``level``, over all scores with an interval."""
    judged = [each for each in scores if each.metric in truths and each.low is not None]
    adjusted = holm([p_of(each, truths[each.metric], degrees) for each in judged])
    names = [f"{each.metric}/{each.encoder or '-'}/{each.group}" for each in judged]
    return {name: p for name, p in zip(names, adjusted, strict=True) if p <= level}


def scored(value: float, se: float, degrees: float, group: str = "all", metric: str = "fd") -> Score:
    half = se * quantile(degrees)
    return Score(metric, value, value - half, value + half, 100, group, "radiomics")


@pytest.mark.parametrize("degrees", [4, 19, 1e6])
def test_the_p_value_is_that_of_the_t_test_whose_interval_it_is(degrees: float) -> None:
    for value in (-0.3, 0.0, 0.7, 4.0):
        found = p_of(scored(value, 0.5, degrees), 0.0, degrees)
        assert found == pytest.approx(2 * stats.t.sf(abs(value) / 0.5, degrees))
    edge = scored(quantile(degrees), 1.0, degrees)
    assert p_of(edge, 0.0, degrees) == pytest.approx(0.05)
    assert (p_of(Score("fd", 1.0, 1.0, 1.0, 9), 0.0, 9), p_of(Score("fd", 0.0, 0.0, 0.0, 9), 0.0, 9)) == (0.0, 1.0)


def test_the_end_that_faces_the_truth_decides() -> None:
    """A long upper end is no excuse for a value above 0."""
    lopsided = Score("fd", 28.5, 14.0, 443.0, 118, "view=AP", "radiomics")
    assert p_of(lopsided, 0.0, 19) == pytest.approx(p_of(Score("fd", 28.5, 14.0, 43.0, 118), 0.0, 19))


def test_what_one_group_may_be_all_together_may_be_and_no_more() -> None:
    """Of nine groups one just outside its own interval is chance; one four standard errors out is not."""
    quiet = [scored(1.9 if i == 3 else 0.2, 0.9, 19, f"group={i}") for i in range(8)]
    assert not_holding(quiet, 19) == {}
    loud = [*quiet, scored(28.5, 6.9, 19, "view=AP"), Score("fd", None, None, None, 5, "sex=F", "radiomics", "few")]
    assert list(not_holding(loud, 19)) == ["fd/radiomics/view=AP"]
    assert not_holding([scored(9.0, 0.1, 19, metric="precision")], 19) == {}, "only metrics whose truth is known"


def test_a_family_of_true_nulls_is_rejected_as_often_as_it_says() -> None:
    """400 families of 8 independent groups with truth 0: one is named in 5% of the families, not in 34%."""
    rng, degrees, rejected = np.random.default_rng(0), 19, 0
    for _ in range(400):
        errors = np.sqrt(rng.chisquare(degrees, 8) / degrees)
        pairs = enumerate(zip(rng.standard_normal(8), errors, strict=True))
        family = [scored(float(value), float(se), degrees, f"group={i}") for i, (value, se) in pairs]
        rejected += bool(not_holding(family, degrees))
    assert 0.025 < rejected / 400 < 0.08


def ceiling(folder: Path, *settings: str) -> list[Score]:
    """The scores of a run of ``holdout`` in the default encoders."""
    arguments = ["generator=holdout", "evaluator=[fidelity]", "encoder=[radiomics,small_cnn]", "wandb.mode=disabled"]
    places = [f"cache={folder / 'cache'}", f"hydra.run.dir={folder / 'run'}"]
    command = [sys.executable, "-m", "bench", *arguments, *places, *settings]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    told = json.loads((folder / "run/scores/fidelity.json").read_text())["scores"]
    return [Score(**{name: value for name, value in row.items() if name != "spread"}) for row in told]


@pytest.mark.slow
def test_unseen_phantoms_hold_zero_in_every_group_at_once(tmp_path: Path) -> None:
    scores = ceiling(tmp_path)
    assert not_holding(scores, 19) == {}
    assert {each.group for each in scores if each.metric == "kid" and each.value is not None} > {"all"}


@pytest.mark.slow
def test_unseen_radiographs_hold_zero_in_every_group_at_once(tmp_path: Path, shared_data: Path) -> None:
    """Groups that the holdout part is too small for are refused, with the share of the requests that it met."""
    root = f"dataset.root={shared_data / 'nih_cxr14'}"
    scores = ceiling(tmp_path, "dataset=nih_cxr14", root, "dataset.holdout_fraction=0.5")
    assert not_holding(scores, 19) == {}
    refused = [each for each in scores if each.metric == "kid" and each.value is None]
    reasons = [each.reason or "" for each in refused]
    assert all("needed 95%" in each or "50 are needed" in each for each in reasons), reasons
