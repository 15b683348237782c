"""Privacy: does the generator give away which patients it learned from?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from bench.api import BenchError, Evaluator, ImageSet, Material, Metric, Part, Purpose, Refused, Score
from bench.runtime.setting_types import Count, Portion
from bench.storage.files import as_json
from bench.storage.image_reader import contact_sheet
from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.acquisition import acquisition_rows
from evaluators.privacy.attack import attack_scores
from evaluators.privacy.blind_gate import BLIND_AUC, BLIND_AUC_NONLINEAR, Blind, gate
from evaluators.privacy.bounds import Limit, limits
from evaluators.privacy.closeness import Pool, pool_of
from evaluators.privacy.copies import Copies, copies_of
from evaluators.privacy.excess import excess_copies
from evaluators.privacy.honest_null import false_alarms
from evaluators.privacy.limits_picture import limits_picture
from evaluators.privacy.metrics import (
    COPYING_P,
    EVIDENCE_P,
    EXCESS,
    FALSE_ALARMS,
    LEAK_BOUND,
    LEAK_FOUND,
    LIMITS,
    MEMBERSHIP,
    REPOSED_BOUND,
    TESTED,
)
from evaluators.privacy.near_duplicates import DUPLICATES, NEAR_DUPLICATES, NEAR_DUPLICATES_HOLDOUT
from evaluators.privacy.planting import families, planted
from evaluators.privacy.shuffled_labels import (
    Evidence,
    closest_first,
    evidence,
    joined,
    shuffled_values,
    tail_size,
    view_weights,
)
from evaluators.privacy.verdict import Verdict, better_than_null, judge, percent, too_few
from evaluators.privacy.view import Near, View, near, near_null, view_of

UNKNOWN_TRAINING = (
    "what this generator learned from is unknown: holdout patients may be among it, and then they are no control; "
    "state it with generator.trained_on"
)
STATED_TRAINING = "that this generator learned from the training part alone is stated by a person and not measured"
ACQUISITION = "acquisition"
IS_NULL = "these images are the test part, which others are compared with"


@dataclass(frozen=True, slots=True)
class Study:
    """The material of one measurement: what is compared with what, and a stream of randomness for each purpose."""

    material: Material
    pool: Pool
    views: tuple[View, ...]
    own: Mapping[str, Near]
    null: Mapping[str, Near] | str
    rng: Mapping[str, np.random.Generator]

    @property
    def images(self) -> ImageSet:
        return self.material.images["privacy"]


class Privacy(Evaluator):
    """Copies, tests of whether synthetic images prefer training patients, and what of it would have been found.

    All statistics share one shuffle of the patients' labels. The verdict is ``leak found``, ``no leak found`` with the
    shares of planted copies that would have been, or ``cannot tell``.

    Membership is measured in the features of each of ``encoders``; where its ``column_units`` are different, columns
    are divided by their standard deviation over the real images of both parts. All membership figures are refused where
    they would mean nothing: a holdout picture that is also a training picture (correlation of ``same_picture`` or
    more), parts that a blind classifier tells apart, a holdout that was copied, or a generator of which nobody knows
    what it learned from. Leaves ``privacy.json``, ``privacy_limits.png`` and, where real images
    may be shown, ``privacy_pairs.png``.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        LEAK_FOUND,
        *LIMITS,
        DUPLICATES,
        NEAR_DUPLICATES,
        NEAR_DUPLICATES_HOLDOUT,
        EVIDENCE_P,
        FALSE_ALARMS,
        BLIND_AUC,
        BLIND_AUC_NONLINEAR,
        *MEMBERSHIP,
    )
    purposes: ClassVar[tuple[Purpose, ...]] = ("privacy",)
    id: ClassVar[str] = "privacy"
    encoders: tuple[str, ...]
    reads_parts: ClassVar[tuple[Part, ...]] = ("train", "holdout", "test")
    version: ClassVar[str] = "3"

    def __init__(
        self,
        encoders: Sequence[str] = ("pixels", "radiomics"),
        same_picture: Portion = 0.999,
        permutations: Count = 1999,
    ) -> None:
        if not encoders:
            raise BenchError(
                "privacy compares features: name at least one of evaluator.privacy.encoders, e.g. [pixels]"
            )
        self.encoders = tuple(encoders)
        self.same_picture = same_picture
        self.permutations = permutations

    def __call__(self, material: Material) -> Iterator[Score]:
        split, images = material.split, material.images["privacy"]
        report: dict[str, Any] = {"images": len(images), "train": len(split.train), "holdout": len(split.holdout)}
        study = study_of(material, self.encoders)
        copies = copies_of(split, images, study.pool, self.same_picture)
        report["copies"] = copies.facts
        yield from copies.scores
        blind, blind_fault = _blind(study)
        yield from (each if isinstance(each, Score) else each.score() for each in blind)
        fault = copies.fault or untrusted(study) or blind_fault
        few = too_few(len(images), study.pool)
        found = None if fault or few else self._evidence(study, copies)
        most = _limits(study) if found else {}
        attack = [] if fault else _attack(study)
        verdict = judge(copies.plain, fault or few, found, _doubts(copies, attack), most)
        yield _verdict_score(verdict, report, study)
        yield from _limit_scores(most, fault or few, len(images))
        yield from _tested(study, found, fault or few)
        yield from attack or (
            metric.refused(fault or "", n=len(images), encoder=name)
            for name in self.encoders
            for metric in MEMBERSHIP
            if metric not in TESTED
        )
        yield _false_alarms(study, fault or few)
        report |= _facts(found, most)
        if most:
            material.leave("privacy_limits.png", limits_picture(most))
        if found and split.info.redistributable:
            _picture(study)
        material.leave("privacy.json", as_json(report))

    def _evidence(self, study: Study, copies: Copies) -> Evidence:
        pool, rng = study.pool, study.rng["shuffles"]
        parts = [view_weights(name, own.close, own.least, pool.share, rng) for name, own in study.own.items()]
        weights = joined([*parts, copies.weights(pool)])
        lists = {name: own.close for name, own in study.own.items()}
        return evidence(*shuffled_values(weights, lists, pool.member, rng, self.permutations))


def study_of(material: Material, encoders: Sequence[str]) -> Study:
    """Features, closeness and randomness of one measurement."""
    purposes = ("shuffles", "blind", "null", "limits", "attack", "alarms", "pictures")
    rng = dict(zip(purposes, material.rng.spawn(len(purposes)), strict=True))
    pool = pool_of(material.split)
    views = tuple(view_of(name, material, pool) for name in encoders)
    own = {view.name: near(view, view.synthetic, pool) for view in views}
    test = null_of(material, views, rng["null"])
    null = test if isinstance(test, str) else {view.name: near_null(view, material, test, pool) for view in views}
    return Study(material, pool, views, own, null, rng)


def null_of(material: Material, views: Sequence[View], rng: np.random.Generator) -> ImageSet | str:
    """The images of the test part, as many as there are synthetic ones at most, or why they are no null."""
    split = material.split
    rows = {view.name: (view.train, view.scaled(material.features(view.name, split.test))) for view in views}
    try:
        checks = gate(rows, split.train.patients + split.test.patients, rng, ("train", "test"))
    except (Refused, BenchError) as reason:
        return f"the test part is no null: {reason}"
    fault = next((each.fault for each in checks if each.fault), None)
    if fault:
        return f"the test part is no null: {fault}"
    if _is_null(material):
        return IS_NULL
    return split.test.at_most(len(material.images["privacy"]), rng)


def untrusted(study: Study) -> str | None:
    """Why the holdout is no control for this generator, or these images are no null, if so."""
    if study.material.generator.get("trained_on") == "unknown":
        return UNKNOWN_TRAINING
    if _is_null(study.material) and study.null != IS_NULL:
        return str(study.null)
    return None


def _is_null(material: Material) -> bool:
    return material.generator.get("control") == "null"


def _blind(study: Study) -> tuple[list[Blind | Score], str | None]:
    """The blind checks, and the reason why membership cannot be measured, if so."""
    split, views = study.material.split, study.views
    patients = split.train.patients + split.holdout.patients
    seen = {view.name: (view.train, view.holdout) for view in views}
    try:
        cues = {ACQUISITION: (acquisition_rows(split.train), acquisition_rows(split.holdout))}
        checks = gate(seen | cues, patients, study.rng["blind"])
    except Refused as reason:
        names = [*seen, ACQUISITION]
        refused = [
            metric.refused(str(reason), n=len(patients), encoder=name)
            for name in names
            for metric in (BLIND_AUC, BLIND_AUC_NONLINEAR)
        ]
        return list(refused), str(reason)
    return list(checks), next((each.fault for each in checks if each.fault), None)


def _limits(study: Study) -> dict[str, Limit | None]:
    close = {name: own.close for name, own in study.own.items()}
    copies = {view.name: planted(study.material, study.pool, view) for view in study.views}
    return limits(close, copies, study.pool.member, study.rng["limits"])


def _attack(study: Study) -> list[Score]:
    scores: list[Score] = []
    for view, rng in zip(study.views, study.rng["attack"].spawn(len(study.views)), strict=True):
        null = study.null if isinstance(study.null, str) else study.null[view.name]
        scores += attack_scores(view, study.own[view.name], null, study.pool, rng)
    return scores


def _doubts(copies: Copies, attack: Sequence[Score]) -> list[str]:
    return [doubt for doubt in (copies.doubt, better_than_null(attack)) if doubt]


def _verdict_score(verdict: Verdict, report: dict[str, Any], study: Study) -> Score:
    """The verdict as a score, and what the report says of it."""
    reason, n = verdict.reason, len(study.images)
    if verdict.found is False and "trained_on_stated" in study.material.generator:
        reason += f"; {STATED_TRAINING}"
    if verdict.found is False and isinstance(study.null, str):
        reason += f"; not compared with a null: {study.null}"
    report |= {"verdict": verdict.words, "reason": reason}
    if verdict.found is None:
        return LEAK_FOUND.refused(reason, n=n, words=verdict.words)
    return LEAK_FOUND(float(verdict.found), n=n, words=verdict.words, reason=f"a verdict has no interval; {reason}")


def _limit_scores(most: Mapping[str, Limit | None], unfit: str | None, n: int) -> Iterator[Score]:
    known = families()
    for metric, family in ((LEAK_BOUND, "exact or recoloured"), (REPOSED_BOUND, "re-posed")):
        kinds = known[family]
        found = [most.get(each.name) for each in kinds]
        if unfit:
            yield metric.refused(unfit, n=n)
            continue
        missing = [each.title for each, own in zip(kinds, found, strict=True) if own is None]
        if missing:
            yield metric.refused(f"planted copies do not stand out among these images: {', '.join(missing)}", n=n)
            continue
        shares = [own.most for own in found if own]
        each = ", ".join(f"{kind.title} {percent(value)}" for kind, value in zip(kinds, shares, strict=True))
        yield metric(max(shares), n=n, reason=f"an upper limit has no interval; {each}")


def _tested(study: Study, found: Evidence | None, unfit: str | None) -> Iterator[Score]:
    n = len(study.images)
    if found is None:
        yield EVIDENCE_P.refused(unfit or "", n=n)
        yield from (metric.refused(unfit or "", n=n, encoder=view.name) for view in study.views for metric in TESTED)
        return
    yield EVIDENCE_P(found.other, n=n, reason=f"strongest: {found.strongest}; a p-value has no interval")
    for name, own in study.own.items():
        yield COPYING_P(found.copying[name], n=n, encoder=name, reason="a p-value has no interval")
        size = tail_size(n, study.pool.share)
        order = closest_first(-own.close.margins, study.rng["pictures"])
        excess = excess_copies(own.close.owner[order], study.pool.member, size)
        reason = f"read from the {excess.tail} images that stand out most"
        yield EXCESS(excess.value, n=n, interval=(excess.low, excess.high), encoder=name, reason=reason)


def _false_alarms(study: Study, unfit: str | None) -> Score:
    n = len(study.images)
    null = study.own if _is_null(study.material) else study.null
    if unfit or isinstance(null, str):
        return FALSE_ALARMS.refused(unfit or str(null), n=n)
    if few := too_few(len(next(iter(null.values())).close), study.pool):
        return FALSE_ALARMS.refused(f"the test part is too small to draw halves of: {few}", n=n)
    close = {name: own.close for name, own in null.items()}
    share, images = false_alarms(close, study.pool.member, study.rng["alarms"])
    return FALSE_ALARMS(share, n=2 * images, reason=f"halves of {images} images overlap, so no interval is known")


def _facts(found: Evidence | None, most: Mapping[str, Limit | None]) -> dict[str, Any]:
    return {
        "tests": asdict(found) if found else None,
        "kinds": {
            each.name: {"title": each.title, "family": each.family, "limit": own and asdict(own)}
            for each, own in ((TRANSFORMS[name], own) for name, own in most.items())
        },
    }


def _picture(study: Study) -> None:
    """The 8 synthetic images that stand out most next to a real one, above those real ones."""
    material, close = study.material, study.own[study.views[0].name].close
    order = closest_first(-close.margins, study.rng["pictures"])[:8]
    real = []
    for place in close.places[order].tolist():
        part, own = study.pool.image(material.split, place)
        real.append(part.pixels([own]))
    pictures = np.concatenate([material.images["privacy"].pixels(order.tolist()), *real])
    material.leave("privacy_pairs.png", contact_sheet(pictures, columns=8))
