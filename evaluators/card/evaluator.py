"""The seven-C card: what can be computed, each beside what unseen real images score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bench.api import Evaluator, ImageSet, Material, Metric, Part, Purpose, Score
from bench.runtime.setting_types import Count
from bench.runtime.told import Standing, standing
from bench.statistics.arrays import Indices
from bench.statistics.resampling import folds, jackknife_se, normal_interval
from evaluators.card.documents import DOCUMENTED, filled_attributes, recorded
from evaluators.card.page import write_card
from evaluators.card.pixel_statistics import RULES, Table, kept, limits, properties, unpaired_similarity
from evaluators.card.terms import (
    Frame,
    Points,
    balance,
    bin_divergence,
    earth_movers,
    entropy_difference,
    hull_ratio,
    rarity,
    variance_ratio,
)

SOURCE = "doi:10.1038/s44172-025-00450-1"
MINIMUM = 100
FOLDS = 10
PRIVACY = ("mia_auc", "duplicates", "leak_found")
IDENTIFIERS = "request ids only; pixels not tested"


def _metric(key: str, title: str, summary: str, minimum: int = 2) -> Metric:
    return Metric(key, title, "higher", SOURCE, bounds=(0.0, 1.0), minimum=minimum, summary=summary, area="card")


def _ceiling(metric: Metric, title: str, summary: str) -> Metric:
    key = f"{metric.key}_ceiling"
    return replace(
        metric, key=key, title=title, summary=summary, better="neither", role="ceiling", ceiling_of=metric.key
    )


CONGRUENCE = _metric("card_congruence", "Congruence", "Agreement with real images in features and structure.", MINIMUM)
COVERAGE = _metric("card_coverage", "Coverage", "Spread compared with real images, neither less nor more.", MINIMUM)
CONSTRAINT = _metric("card_constraint", "Constraint", "Grey levels and spectrum like real; not anatomy.", MINIMUM)
COMPLETENESS = _metric(
    "card_completeness",
    "Completeness",
    "Share of the required attributes that the generator was told; a prompt counts as telling what it states.",
)
COMPLIANCE = _metric(
    "card_compliance",
    "Compliance",
    f"The worst of the measured privacy terms; 0 where a leak or an exact copy was found. Identifiers: {IDENTIFIERS}.",
)
COMPREHENSION = _metric(
    "card_comprehension",
    "Comprehension",
    "Share of the twelve documentation fields that a person stated; what the run fills in by itself is not counted.",
)
CONSISTENCY = _metric(
    "card_consistency",
    "Consistency",
    "Worst subgroup's agreement with real images in features over the best's, among subgroups by what the generator "
    "was told; says nothing of how good they are.",
    MINIMUM,
)
CEILINGS = {
    metric: _ceiling(metric, f"{metric.title}, ceiling", f"{metric.title} of unseen real images: the ceiling.")
    for metric in (CONGRUENCE, COVERAGE, CONSTRAINT)
}
CEILINGS[COMPLETENESS] = _ceiling(COMPLETENESS, "Completeness, real", "Completeness of the test part.")
CEILINGS[CONSISTENCY] = _ceiling(CONSISTENCY, "Consistency, ceiling", "Consistency of unseen real images: the ceiling.")
Terms = dict[str, float]
MOST = 10_000  # images of a set: rarity holds a table of all pairs of half of them


@dataclass(frozen=True)
class Set:
    """One set to be judged: points in the frame of the reference, pixel properties, similarity to real images."""

    points: Points
    table: Table
    similarity: Table

    def without(self, fold: Indices, number: int) -> Set:
        """The set less one fold of its images and of its pairs."""
        pairs = fold[: len(self.similarity)]
        return Set(self.points[fold != number], self.table[fold != number], self.similarity[pairs != number])


class Card(Evaluator):
    """Scores the seven Cs and writes ``card.json``, ``card.md`` and ``card.html``.

    Reference is the test part; ceilings are the holdout part judged by the same code. Sets are cut to equal size, to
    ``MOST`` images at most.
    Intervals are delete-fold jackknifes over the judged images with the reference fixed.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (*CEILINGS, COMPLIANCE, COMPREHENSION, *CEILINGS.values())
    purposes: ClassVar[tuple[Purpose, ...]] = ("fidelity",)
    id: ClassVar[str] = "card"
    encoders: tuple[str, ...]
    reads_parts: ClassVar[tuple[Part, ...]] = ("test", "holdout")
    version: ClassVar[str] = "3"
    reads_scores: ClassVar[bool] = True

    def __init__(self, encoder: str = "radiomics", pairs: Count = 256) -> None:
        self.encoders = (encoder,)
        self.pairs = pairs

    def __call__(self, material: Material) -> Iterator[Score]:
        fake, split = material.images["fidelity"], material.split
        scores: list[Score] = []
        terms: dict[str, Any] = {}
        size = min(len(fake), len(split.test), len(split.holdout), MOST)
        if size < MINIMUM:
            reason = f"{size} images in the smallest of generated, test and holdout set, needed {MINIMUM}"
            scores += [metric.refused(reason, n=size) for metric in self.metrics if metric.minimum == MINIMUM]
        else:
            scores += self._measured(material, size, terms)
        scores += self._stated(material, terms)
        write_card(material, scores, self.metrics, terms)
        yield from scores

    def _measured(self, material: Material, size: int, terms: dict[str, Any]) -> Iterator[Score]:
        split, name = material.split, self.encoders[0]
        real = split.test.select(np.sort(material.rng.permutation(len(split.test))[:size]))
        frame = Frame.fit(material.features(name, real))
        among = unpaired_similarity(real, real, material.rng, self.pairs)
        reference = Set(frame(material.features(name, real)), properties(real), among)
        judged = {}
        standings = _standings(material, real)
        terms["subgroups left out"] = {
            group: each.refusal or each.note for group, each in standings.items() if not each.ranked
        }
        for label, images in (("synthetic", material.images["fidelity"]), ("ceiling", split.holdout)):
            part = images.select(np.sort(material.rng.permutation(len(images))[:size]))
            similarity = unpaired_similarity(part, real, material.rng, self.pairs)
            judged[label] = Set(frame(material.features(name, part)), properties(part), similarity)
            groups = _by_group(part, real, judged[label].points, reference.points, standings)
            terms[label] = {"groups": groups}
        fold = folds(size, FOLDS, material.rng)
        for metric, compute in ((CONGRUENCE, congruence), (COVERAGE, coverage), (CONSTRAINT, constraint)):
            for label, target in (("synthetic", metric), ("ceiling", CEILINGS[metric])):
                found = compute(reference, judged[label])
                terms[label][metric.key] = found
                value = _mean(found)
                left_out = [_mean(compute(reference, judged[label].without(fold, each))) for each in range(FOLDS)]
                interval = normal_interval(value, jackknife_se(np.array(left_out)))
                encoder = None if metric is CONSTRAINT else name
                yield target(value, n=size, interval=interval, encoder=encoder)
        for label, target in (("synthetic", CONSISTENCY), ("ceiling", CEILINGS[CONSISTENCY])):
            yield _consistency(target, terms[label]["groups"], len(terms["subgroups left out"]), size, name)

    def _stated(self, material: Material, terms: dict[str, Any]) -> Iterator[Score]:
        fake, test, generator = material.images["fidelity"], material.split.test, material.generator
        fixed = "a count of what is stated, not a sample"
        parts = (
            ("synthetic", fake, COMPLETENESS, generator.get("told", ())),
            ("ceiling", test, CEILINGS[COMPLETENESS], test.info.required_attributes),
        )
        for label, images, metric, told in parts:
            shares = filled_attributes(images, told)
            terms.setdefault(label, {})["attributes"] = shares
            if not shares:
                yield metric.refused(f"{images.info.name} names no required attributes", n=len(images))
                continue
            value = sum(share or 0.0 for share in shares.values()) / len(shares)
            yield metric(value, n=len(images), reason=fixed)
        measured = [score for scores in material.scores.values() for score in scores if score.group == "all"]
        terms["compliance"] = _compliance(measured)
        yield _worst_term(terms["compliance"], measured, len(fake))
        stated, known = generator.get("documentation", {}), recorded(fake, generator, material.scores)
        terms["documentation"] = {name: {"stated": stated.get(name), "recorded": known[name]} for name in DOCUMENTED}
        filled = sum(name in stated for name in DOCUMENTED)
        yield COMPREHENSION(filled / len(DOCUMENTED), n=len(fake), reason=f"{fixed}; documentation.FIELD states more")


def congruence(reference: Set, judged: Set) -> Terms:
    """Terms in [0, 1], 1 best: distributions alike in features, structure as alike as two real images."""
    return {
        "earth mover's distance, 1 - x": 1 - earth_movers(reference.points, judged.points),
        "Jensen-Shannon divergence, 1 - x": 1 - bin_divergence(reference.points, judged.points),
        "structural similarity, ratio to real": balance(
            float(judged.similarity.mean()) / max(1e-9, float(reference.similarity.mean()))
        ),
    }


def coverage(reference: Set, judged: Set) -> Terms:
    """Terms in [0, 1], 1 best: as much spread as real images."""
    inside, rank = rarity(reference.points, judged.points)
    return {
        "variance, ratio to real": balance(variance_ratio(reference.points, judged.points)),
        "entropy, exp of difference": balance(
            float(np.exp(np.clip(entropy_difference(reference.points, judged.points), -50, 50)))
        ),
        "convex hull, ratio to real": balance(hull_ratio(reference.points, judged.points)),
        "rarity, share inside the manifold": inside,
        "rarity, 1 - distance of the mean rank from 0.5, doubled": 1 - 2 * abs(rank - 0.5),
    }


def constraint(reference: Set, judged: Set) -> Terms:
    """Terms in [0, 1], 1 best: image rules kept, spectrum of real images."""
    bounds = limits(reference.table)
    real, made = np.median(reference.table, axis=0), np.median(judged.table, axis=0)
    names = ("spectral slope", "low-frequency energy", "high-frequency energy")
    slope, low, high = (RULES.index(name) for name in names)
    bend = abs(made[slope] - real[slope]) / abs(real[slope])
    real_share = float(kept(reference.table, bounds).mean())
    return {
        "images keeping all rules, ratio to real": min(1.0, float(kept(judged.table, bounds).mean()) / real_share),
        "spectral slope, 1 - relative difference": float(max(0.0, 1 - bend)),
        "low-frequency energy, ratio to real": balance(float(made[low] / real[low])),
        "high-frequency energy, ratio to real": balance(float(made[high] / real[high])),
    }


def _mean(terms: Terms) -> float:
    return float(np.clip(np.mean(list(terms.values())), 0.0, 1.0))


def _standings(material: Material, real: ImageSet) -> dict[str, Standing]:
    """How the generated images of every subgroup stand for it."""
    return {
        f"{column}={value}": standing(material, column, value)
        for column in real.info.groups
        for value in sorted(set(real.group(column)) - {"unknown"})
    }


def _by_group(
    part: ImageSet, real: ImageSet, points: Points, reference: Points, standings: Mapping[str, Standing]
) -> dict[str, Terms]:
    """Feature congruence of every subgroup with at least ``MINIMUM / 2`` images on both sides, at equal size, of those
    that the generator may be judged by."""
    found = {}
    for column in part.info.groups:
        made, asked = np.array(part.group(column)), np.array(real.group(column))
        values = [
            value for value in np.unique(asked).tolist() if value != "unknown" and standings[f"{column}={value}"].ranked
        ]
        sizes = {value: min((made == value).sum(), (asked == value).sum()) for value in values}
        usable = {value: size for value, size in sizes.items() if size >= MINIMUM // 2}
        size = min(usable.values(), default=0)
        for value in usable:
            x, y = reference[asked == value][:size], points[made == value][:size]
            found[f"{column}={value}"] = {"earth mover's distance, 1 - x": 1 - earth_movers(x, y)}
    return found


def _consistency(metric: Metric, groups: Mapping[str, Terms], left_out: int, size: int, encoder: str) -> Score:
    if len(groups) < 2:
        reason = f"{len(groups)} subgroups have {MINIMUM // 2} real and generated images, needed 2"
        if left_out:
            reason += f"; {left_out} by what the generator was not told, or did not match, are left out (card.json)"
        return metric.refused(reason, n=size, encoder=encoder)
    values = [_mean(terms) for terms in groups.values()]
    if max(values) == 0:
        return metric.refused("no subgroup agrees with its real images at all", n=size, encoder=encoder)
    reason = "a ratio of extremes over subgroups; their spread is in card.json"
    return metric(min(values) / max(values), n=size, encoder=encoder, reason=reason)


def _compliance(measured: Sequence[Score]) -> dict[str, float | None]:
    """Terms in [0, 1], 1 best, ``None`` where nothing was measured; what the harness itself guarantees is no term.

    An attack that is far from chance tells the two parts apart, whichever of them it takes for the training part.
    """
    known = [(score.metric, score.value) for score in measured if score.value is not None]
    found = {key: [value for metric, value in known if metric == key] for key in PRIVACY}
    attack = max((abs(auc - 0.5) for auc in found["mia_auc"]), default=None)
    copies, leak = (max(found[key], default=None) for key in ("duplicates", "leak_found"))
    return {
        "membership attack, 1 - 2 |AUC - 0.5|": None if attack is None else 1 - 2 * attack,
        "no exact copy of a training image": None if copies is None else float(copies == 0),
        "no leak found": None if leak is None else float(leak == 0),
    }


def _worst_term(terms: Mapping[str, float | None], measured: Sequence[Score], n: int) -> Score:
    """The worst term; 0 is the worst whatever was not measured."""
    values = [value for value in terms.values() if value is not None]
    missing = [name for name, value in terms.items() if value is None]
    if missing and 0.0 not in values:
        known = {score.metric for score in measured if score.value is not None}
        refusals = [score.reason for score in measured if score.metric in PRIVACY and score.metric not in known]
        why = refusals[0] if refusals else "run privacy before the card: evaluator=[privacy,card]"
        return COMPLIANCE.refused(f"not measured: {', '.join(missing)}; {why}", n=n)
    reason = f"the worst of its terms, whose own intervals the privacy arm gives; identifiers: {IDENTIFIERS}"
    return COMPLIANCE(min(values), n=n, reason=reason)
