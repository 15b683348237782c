"""Privacy: does the generator give away which patients it learned from?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from bench.api import BenchError, Evaluator, ImageSet, Material, Metric, Part, Purpose, Refused, Rows, Score, Split
from bench.runtime.setting_types import Count, Portion
from bench.statistics.arrays import Integers
from bench.statistics.distances import nearest
from bench.statistics.resampling import clopper_pearson, holm
from bench.statistics.scaling import column_scale
from bench.storage.files import as_json
from bench.storage.image_reader import contact_sheet
from evaluators.privacy import membership_inference, patient_permutation
from evaluators.privacy.acquisition import acquisition_rows
from evaluators.privacy.blind_gate import BLIND_AUC, BLIND_AUC_NONLINEAR, FEWEST_PATIENTS, gate
from evaluators.privacy.holdout_control import void_control
from evaluators.privacy.membership_inference import DISTANCE_RATIO, MIA_AUC, MIA_TPR
from evaluators.privacy.metrics import LEAK_FOUND, MEMBERSHIP, NOT_SEEN, TAIL
from evaluators.privacy.near_duplicates import (
    DUPLICATES,
    NEAR_DUPLICATES,
    NEAR_DUPLICATES_HOLDOUT,
    NearCopies,
    exact_copies,
    fingerprints,
    near_copies,
    same_pictures,
)
from evaluators.privacy.patient_permutation import DETECTABLE, EXCESS, FEWEST_IMAGES, TAIL_P

UNKNOWN_TRAINING = (
    "what this generator (or its base) learned from is unknown: if holdout patients were among it, they are no control"
)
STATED_TRAINING = "that this generator learned from the training part alone is stated by a person and not measured"
MOST_NAMED = 3
FEWEST_FOR_TPR = 1000
NEAR_COPY = 0.25


@dataclass(frozen=True, slots=True)
class View:
    """One encoder's features of synthetic, training and holdout images, and its own randomness."""

    name: str
    synthetic: Rows
    train: Rows
    holdout: Rows
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class People:
    """Whose images the real ones are.

    Attributes:
        train, holdout: the patient of every image, ``0..P-1``, training patients first.
        members: the number of training patients.
        total: ``P``.
        names: patients of training, then holdout images.
    """

    train: Integers
    holdout: Integers
    members: int
    total: int
    names: list[str]


@dataclass(frozen=True, slots=True)
class Tail:
    """What the tail test found in one encoder's features; ``closest`` holds synthetic and pooled real indices."""

    p: float
    share: float
    size: int
    excess: patient_permutation.Estimate
    detectable: float | None
    closest: tuple[Integers, Integers]


class Privacy(Evaluator):
    """Copies, the patient-permutation tail test, and black-box membership inference, each against the holdout.

    The verdict is ``leak found`` or ``no leak found by this test``; it bounds nothing, for copies that do not stand out
    among the closest images are not seen.

    Membership is measured in the features of each of ``encoders``; where its ``column_units`` are different, columns
    are divided by their standard deviation over the training images. All membership figures are refused where the split
    cannot carry them: a holdout picture that is also a training picture (correlation of ``same_picture`` or more), or
    parts that a blind classifier tells apart. Leaves ``privacy.json`` and, where real images may be shown,
    ``privacy_pairs.png``.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        LEAK_FOUND,
        DUPLICATES,
        NEAR_DUPLICATES,
        NEAR_DUPLICATES_HOLDOUT,
        BLIND_AUC,
        BLIND_AUC_NONLINEAR,
        *MEMBERSHIP,
    )
    purposes: ClassVar[tuple[Purpose, ...]] = ("privacy",)
    id: ClassVar[str] = "privacy"
    encoders: tuple[str, ...]
    reads_parts: ClassVar[tuple[Part, ...]] = ("train", "holdout")
    version: ClassVar[str] = "2"

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
        names = self.encoders
        report: dict[str, Any] = {"images": len(images), "train": len(split.train), "holdout": len(split.holdout)}
        fault = None
        for score, found in self._copies(split, images, report):
            fault = fault or found
            yield score
        people = people_of(split)
        views = [
            self._view(name, material, rng) for name, rng in zip(names, material.rng.spawn(len(names)), strict=True)
        ]
        for score, told in _blind(views, people, split, material.rng.spawn(1)[0]):
            fault = fault or told
            yield score
        few = too_few(len(images), people)
        tails = {} if fault or few else {view.name: tail_of(view, people, self.permutations) for view in views}
        adjusted = dict(zip(tails, holm([tail.p for tail in tails.values()]), strict=True))
        yield _judged(report, adjusted, fault or few, material)
        if fault:
            yield from (metric.refused(fault, n=len(images), encoder=name) for name in names for metric in MEMBERSHIP)
        else:
            yield from _membership(views, people, tails, adjusted, few)
        report["tail"] = {name: _facts(tail, adjusted[name]) for name, tail in tails.items()}
        if tails and split.info.redistributable:
            _picture(next(iter(tails.values())), material)
        material.leave("privacy.json", as_json(report))

    def _view(self, name: str, material: Material, rng: np.random.Generator) -> View:
        sets = (material.images["privacy"], material.split.train, material.split.holdout)
        synthetic, train, holdout = (material.features(name, each) for each in sets)
        if material.encoders[name].column_units == "different":
            scale = column_scale(train).astype(np.float32)
            synthetic, train, holdout = synthetic / scale, train / scale, holdout / scale
        return View(name, synthetic, train, holdout, rng)

    def _copies(self, split: Split, images: ImageSet, report: dict[str, Any]) -> Iterator[tuple[Score, str | None]]:
        """The three scores of copies, each with the reason why the split is unfit, if it is."""
        patients = split.train.patients + split.holdout.patients
        pooled = fingerprints(split.train, split.holdout)
        near = near_copies(fingerprints(images), pooled, patients, self.same_picture)
        fault = self._same_pictures(split, near) or void_control(images, split.train, split.holdout, near)
        exact = exact_copies(images, split.train)
        rule = f"correlation above {near.threshold:.4f}: no two real images of different patients are as much alike"
        counts = {"exact": exact}
        yield DUPLICATES(exact / len(images), n=len(images), interval=clopper_pearson(exact, len(images))), fault
        ours = near.made.where < len(split.train)
        for metric, part, count in (
            (NEAR_DUPLICATES, ours, len(split.train)),
            (NEAR_DUPLICATES_HOLDOUT, ~ours, len(split.holdout)),
        ):
            counts[metric.key] = hits = int((near.above & part).sum())
            reason = f"{rule}; these are {count} of {len(patients)} images searched"
            interval = clopper_pearson(hits, len(images))
            yield metric(hits / len(images), n=len(images), interval=interval, reason=reason), fault
        report["copies"] = {**counts, "threshold": near.threshold}

    def _same_pictures(self, split: Split, near: NearCopies) -> str | None:
        same = same_pictures(near, len(split.train), self.same_picture)
        if not same:
            return None
        holdout, train = same[0]
        pair = split.holdout.ids[holdout - len(split.train)], split.train.ids[train]
        return (
            f"{len(same)} holdout images are also training pictures, first holdout {pair[0]} and train {pair[1]} "
            f"(correlation {near.real.correlation[holdout]:.4f}, needed below {self.same_picture})"
        )


def _membership(
    views: Sequence[View], people: People, tails: Mapping[str, Tail], adjusted: Mapping[str, float], few: str | None
) -> Iterator[Score]:
    for view in views:
        if few:
            yield from (metric.refused(few, n=len(view.synthetic), encoder=view.name) for metric in TAIL)
        else:
            yield from tail_scores(view, tails[view.name], adjusted[view.name])
        yield _ratio(view, people)
        yield from _attack(view, people)


def _judged(report: dict[str, Any], adjusted: Mapping[str, float], unfit: str | None, material: Material) -> Score:
    """The verdict as a score, and what the report says of it."""
    found, words = verdict(report["copies"]["exact"], adjusted, unfit)
    limits, generator = NOT_SEEN, material.generator
    if "unknown" in (generator.get("trained_on"), generator.get("facts", {}).get("base_trained_on")):
        limits += f"; {UNKNOWN_TRAINING}"
    elif "trained_on_stated" in generator:
        limits += f"; {STATED_TRAINING}"
    report |= {"verdict": words, "not_seen": limits}
    n = len(material.images["privacy"])
    if found is None:
        return LEAK_FOUND.refused(words, n=n)
    reason = "a verdict has no interval" if found else f"a verdict has no interval; {limits}"
    return LEAK_FOUND(float(found), n=n, words=words, reason=reason)


def verdict(exact: int, adjusted: Mapping[str, float], unfit: str | None) -> tuple[bool | None, str]:
    """Whether there is a leak, ``None`` if that cannot be told, and the same in words.

    Args:
        exact: number of images that are exactly training images, which needs no test.
        adjusted: corrected p-value of the tail test by encoder.
        unfit: why the tail test means nothing on this material, if so.
    """
    if exact:
        return True, f"leak found ({exact} exact {'copy' if exact == 1 else 'copies'} of training images)"
    if unfit:
        return None, f"not measurable: {unfit}"
    found = [name for name, p in adjusted.items() if p <= patient_permutation.LEVEL]
    if found:
        where = ", ".join(found) if len(found) <= MOST_NAMED else f"{len(found)} encoders"
        return True, f"leak found ({where})"
    return False, "no leak found by this test"


def people_of(split: Split) -> People:
    """Patients numbered over both parts, training patients first."""
    names, train = np.unique(np.asarray(split.train.patients, np.str_), return_inverse=True)
    others, holdout = np.unique(np.asarray(split.holdout.patients, np.str_), return_inverse=True)
    members, total = len(names), len(names) + len(others)
    return People(train, holdout + members, members, total, split.train.patients + split.holdout.patients)


def too_few(images: int, people: People) -> str | None:
    """Why the tail test would mean nothing, if so."""
    if images < FEWEST_IMAGES:
        return f"the tail test needs {FEWEST_IMAGES} synthetic images, got {images}"
    fewest = min(people.members, people.total - people.members)
    if fewest < FEWEST_PATIENTS:
        return f"the tail test needs {FEWEST_PATIENTS} patients in train and in holdout, got {fewest}"
    return None


def tail_of(view: View, people: People, permutations: int) -> Tail:
    """The tail test in one encoder's features."""
    to_train, train_at = (each[:, 0] for each in nearest(view.synthetic, view.train))
    to_holdout, holdout_at = (each[:, 0] for each in nearest(view.synthetic, view.holdout))
    ours = to_train < to_holdout
    owners = np.where(ours, people.train[train_at], people.holdout[holdout_at])
    member = np.arange(people.total) < people.members
    closest = patient_permutation.Closest(np.minimum(to_train, to_holdout), owners, member)
    order = patient_permutation.closeness_order(closest.distances, view.rng)
    size = patient_permutation.tail_size(len(order), float(member.mean()))
    p = patient_permutation.permutation_p(owners[order[:size]], member, view.rng, permutations)
    excess = patient_permutation.excess_copies(owners[order], member, size)
    near_copy = NEAR_COPY * float(np.median(nearest(view.holdout, view.train)[0]))
    detectable = patient_permutation.detectable_share(closest, near_copy, view.rng)
    pooled = np.where(ours, train_at, holdout_at + len(view.train))
    return Tail(p, float(member[owners[order[:size]]].mean()), size, excess, detectable, (order, pooled[order]))


def tail_scores(view: View, tail: Tail, p: float) -> Iterator[Score]:
    """The three scores of a tail test whose p-value, corrected for the number of encoders, is ``p``."""
    n, name, excess = len(view.synthetic), view.name, tail.excess
    held = f"training patients hold {tail.share:.0%} of the {tail.size} closest images"
    yield TAIL_P(p, n=n, encoder=name, reason=f"{held}; a p-value has no interval")
    reason = f"read from the {excess.tail} closest images"
    yield EXCESS(excess.value, n=n, interval=(excess.low, excess.high), encoder=name, reason=reason)
    if tail.detectable is None:
        reason = "planted copies do not stand out: half of the images are as close to real ones as a near copy would be"
        yield DETECTABLE.refused(reason, n=n, encoder=name)
        return
    reason = f"a design figure: copies planted at {NEAR_COPY} of the median distance from holdout to train"
    yield DETECTABLE(tail.detectable, n=n, encoder=name, reason=reason)


def _facts(tail: Tail, p: float) -> dict[str, Any]:
    return {
        "tail": tail.size,
        "train_share": tail.share,
        "p": tail.p,
        "p_adjusted": p,
        "excess": asdict(tail.excess),
        "detectable": tail.detectable,
    }


def _blind(
    views: Sequence[View], people: People, split: Split, rng: np.random.Generator
) -> Iterator[tuple[Score, str | None]]:
    """The blind baselines, each with the reason why membership cannot be measured, if so."""
    rows = {view.name: (view.train, view.holdout) for view in views}
    rows["acquisition"] = acquisition_rows(split.train), acquisition_rows(split.holdout)
    try:
        checks = gate(rows, people.names, rng)
    except Refused as error:
        metrics = (BLIND_AUC, BLIND_AUC_NONLINEAR)
        yield from (
            (metric.refused(str(error), n=len(people.names), encoder=name), str(error))
            for name in rows
            for metric in metrics
        )
        return
    yield from ((check.score(), check.fault) for check in checks)


def _ratio(view: View, people: People) -> Score:
    others = people.total - people.members
    matched = min(people.members, others)

    def listed(rows: Rows, owners: Integers, patients: int) -> membership_inference.Neighbours:
        k = membership_inference.neighbours_needed(patients, matched, len(rows))
        distances, indices = nearest(view.synthetic, rows, k)
        return membership_inference.Neighbours(distances, owners[indices], patients)

    train = listed(view.train, people.train, people.members)
    holdout = listed(view.holdout, people.holdout - people.members, others)
    found = membership_inference.matched_ratio(train, holdout, view.rng)
    n = len(view.synthetic)
    if found is None:
        reason = "every synthetic image is a copy of a holdout image: the distance to divide by is 0"
        return DISTANCE_RATIO.refused(reason, n=n, encoder=view.name)
    return DISTANCE_RATIO(found[0], n=n, interval=found[1], encoder=view.name)


def _attack(view: View, people: People) -> Iterator[Score]:
    """An attacker who believes that patients close to a synthetic image were in the training set."""
    away = np.concatenate([nearest(rows, view.synthetic)[0][:, 0] for rows in (view.train, view.holdout)])
    scores, names = membership_inference.by_patient(-away, people.names)
    holdout = set(people.names[len(view.train) :])
    member = np.array([name not in holdout for name in names])
    n = len(away)
    value, interval = membership_inference.patient_auc(scores, member, names, view.rng)
    yield MIA_AUC(value, n=n, interval=interval, encoder=view.name)
    others = int((~member).sum())
    if others < FEWEST_FOR_TPR:
        reason = f"a false positive rate of 1% needs {FEWEST_FOR_TPR} holdout patients, got {others}"
        yield MIA_TPR.refused(reason, n=n, encoder=view.name)
        return
    hits, members = membership_inference.true_positive_rate(scores[member], scores[~member], view.rng)
    reason = "the threshold is estimated from half of the holdout patients, which no binomial interval knows of"
    yield MIA_TPR(hits / members, n=n, encoder=view.name, reason=reason)


def _picture(tail: Tail, material: Material) -> None:
    """The 8 synthetic images closest to a real one above those real ones."""
    order, pooled = (each[:8] for each in tail.closest)
    split = material.split
    count = len(split.train)
    real = [(split.train.pixels([i]) if i < count else split.holdout.pixels([i - count])) for i in pooled.tolist()]
    pictures = np.concatenate([material.images["privacy"].pixels(order.tolist()), *real])
    material.leave("privacy_pairs.png", contact_sheet(pictures, columns=8))
