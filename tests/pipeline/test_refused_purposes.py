"""What is asked of a generator that makes no images for some purposes, or a limited number, and what then agrees."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.api import BenchError, Split
from bench.pipeline.plan import Plan
from bench.pipeline.requests import make_requests
from bench.pipeline.run import requests_of
from bench.runtime.code_digest import part_digest
from bench.runtime.plugins import inner_targets
from evaluators.fidelity.evaluator import Fidelity
from evaluators.privacy.evaluator import Privacy
from generators.controls.holdout import Holdout
from generators.controls.noise import Noise
from generators.controls.test_part import TestPart

UTILITY = ("utility", "fidelity")  # it reads images of both


@pytest.fixture
def planned(tmp_path: Path) -> Any:
    config: Any = OmegaConf.create({"seed": 0, "requests": {"fidelity": None, "utility": None, "privacy": None}})
    evaluators: Any = {"fidelity": Fidelity(), "privacy": Privacy(), "utility": SimpleNamespace(purposes=UTILITY)}
    dataset: Any = SimpleNamespace()
    return lambda generator: Plan(config, dataset, generator, None, {}, evaluators, {})  # type: ignore[arg-type]


def asked(plan: Plan, split: Split, folder: Path) -> dict[str, int]:
    return dict(Counter(each.purpose for each in requests_of(plan, folder, split)))


def test_no_more_is_asked_for_than_there_is_and_nothing_for_a_refused_purpose(
    planned: Any, tiny_split: Split, tmp_path: Path
) -> None:
    everything = asked(planned(Noise()), tiny_split, tmp_path)
    assert everything == dict(Counter(each.purpose for each in make_requests(tiny_split, 0, {})))
    assert asked(planned(TestPart()), tiny_split, tmp_path) == {"privacy": 24}
    assert asked(planned(Holdout()), tiny_split, tmp_path) == {"fidelity": 24, "utility": 48}


def test_fewer_requests_are_those_of_a_cap(planned: Any, tiny_split: Split, tmp_path: Path) -> None:
    """By the one rule, which says how neither side is favoured."""
    fewer = requests_of(planned(TestPart()), tmp_path, tiny_split)
    assert fewer == make_requests(tiny_split, 0, {"privacy": 24}, ["privacy"])


def test_a_cap_below_what_there_is_stays(planned: Any, tiny_split: Split, tmp_path: Path) -> None:
    plan = planned(TestPart())
    few = replace(plan, config=OmegaConf.merge(plan.config, {"requests": {"privacy": 10}}))
    assert asked(few, tiny_split, tmp_path) == {"privacy": 10}


def test_what_reads_a_refused_purpose_is_refused_with_the_reason_and_not_checked(
    planned: Any, tiny_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(TestPart())
    said = {name: plan.refusal(evaluator) for name, evaluator in plan.evaluators.items()}
    assert said["fidelity"] == (
        "no images for fidelity: its images are those of the test part, which fidelity is compared with"
    )
    assert said["privacy"] is None and said["utility"].startswith("no images for utility: ")
    assert (
        planned(Holdout()).refusal(Privacy()).startswith("no images for privacy: its images are those of the holdout")
    )

    def check(*_: object) -> None:
        raise BenchError("it cannot measure this split")

    monkeypatch.setattr(Fidelity, "check", check)
    plan.check(tiny_split)
    with pytest.raises(BenchError, match="it cannot"):
        planned(Noise()).check(tiny_split)


def test_the_number_is_left_open_where_there_is_no_choice(planned: Any, tiny_split: Split, tmp_path: Path) -> None:
    def conditions(generator: Any, name: str) -> dict[str, int | None]:
        plan = planned(generator)
        found: dict[str, int | None] = plan._asked_for(
            tiny_split, requests_of(plan, tmp_path, tiny_split), plan.evaluators[name]
        )
        found.pop("rule")
        return found

    assert conditions(Noise(), "privacy")["privacy"] == asked(planned(Noise()), tiny_split, tmp_path)["privacy"]
    assert conditions(TestPart(), "privacy") == conditions(Holdout(), "privacy") == {"privacy": None}
    assert conditions(TestPart(), "utility") == {"utility": None, "fidelity": None}
    assert conditions(Holdout(), "utility") == {"utility": 48, "fidelity": 24}


def test_the_code_of_a_part_among_the_settings_belongs_to_a_generator() -> None:
    base = "generators.controls.noise.Noise"
    config: Any = OmegaConf.create({"_target_": "a.B", "base": {"_target_": base, "more": [{"_target_": "a.C"}]}})
    assert inner_targets(config) == ["a.C", base]
    alone, within = part_digest(TestPart()), part_digest(TestPart(), None, [base])
    assert alone == part_digest(TestPart(), None, []) != within
