"""From two sets of features to scores: the measures that every encoder made to judge likeness gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bench.api import Metric, Rows, Score
from bench.statistics.arrays import Indices, array_digest
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import Crowded, Measure, View
from bench.statistics.resampling import jackknife
from evaluators.fidelity.alpha_precision import ALPHA_PRECISION, BETA_RECALL, outward
from evaluators.fidelity.clipped_density_coverage import (
    CLIPPED_COVERAGE,
    CLIPPED_DENSITY,
    clipped_coverage,
    clipped_density,
)
from evaluators.fidelity.cmmd import CMMD, CMMD_PUBLISHED
from evaluators.fidelity.comparison import FEWEST_FOLDS, WIDE, Found, Members, Sides
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.frechet_at_infinity import (
    FD_INFINITY,
    MAGNIFIED,
    SHARES,
    frechet_infinity,
    frechet_infinity_jackknife,
)
from evaluators.fidelity.frechet_distance import FD, FD_FLOOR, FD_PLAIN, frechet, frechet_left_out
from evaluators.fidelity.kernel_distance import KID
from evaluators.fidelity.metrics import OF_FEATURES
from evaluators.fidelity.pairwise_pass import compare
from evaluators.fidelity.prdc import COVERAGE, DENSITY, PRECISION, RECALL
from evaluators.fidelity.vendi import VENDI, VENDI_RATIO, VENDI_REAL, diversity, vendi

NOTHING_VARIES = "no image of one side is near the other, or all are: leaving out images changes nothing"
BIASED = "biased upward, so an interval around it would miss the truth: see "
OWN_SCALE = "on the scale of the judged real images themselves, for there are too few training images"

Finding = Found | tuple[Metric, str]  # what was found, or the metric and the reason why it was not


def likeness(sides: Sides) -> Iterator[Score]:
    """Every metric of ``OF_FEATURES``, measured or refused."""
    yield from scores(sides, OF_FEATURES, MEASURES)


def at_infinity(sides: Sides) -> Iterator[Score]:
    """``fd_infinity``, measured or refused."""
    yield from scores(sides, (FD_INFINITY,), (infinity_measure,))


def scores(
    sides: Sides, metrics: tuple[Metric, ...], measures: tuple[Callable[[Sides], Iterator[Finding]], ...]
) -> Iterator[Score]:
    """The scores of some measures, which together yield ``metrics``."""
    place, reason = sides.place, too_few(sides.members, sides.k)
    if reason:
        yield from (place.refused(metric, reason) for metric in metrics)
        return
    for measure in measures:
        findings = _rescaled(sides, measure) if sides.reference.own else measure(sides)
        for each in findings:
            yield place.scored(each) if isinstance(each, Found) else place.refused(*each)


def too_few(members: Members, k: int) -> str | None:
    """Why nothing can be said of these images, if so."""
    if members.n < KID.minimum:
        return f"{members.n} images; {KID.minimum} are needed"
    if members.fold_count < FEWEST_FOLDS:
        return f"images of {members.fold_count} patients; {FEWEST_FOLDS} are needed for an interval"
    if members.half <= k:
        return f"nearly all images are of a few patients: {members.half} are left without them"
    return None


def _rescaled(sides: Sides, measure: Callable[[Sides], Iterator[Finding]]) -> Iterator[Finding]:
    """What a measure finds where the scale is that of the judged real images: its chance is in the intervals.

    Distances are measured anew without each fold, on the scale of what stays; the scale also biases them by ``1/N``,
    which the jackknife takes off too. What else is found has no interval: halves would have scales of their own.
    """
    sides = replace(sides, members=sides.members.merged(FEWEST_FOLDS))
    rest = []
    for fold in range(FEWEST_FOLDS):
        part = sides.without(fold)
        found = [] if part.members.half <= sides.k else [each for each in measure(part) if isinstance(each, Found)]
        rest.append({each.metric: each.plain for each in found if each.plain is not None})
    for each in measure(sides):
        if not isinstance(each, Found) or not each.estimate.folds:
            yield each
        elif each.plain is None:
            yield Found.bare(each.metric, each.estimate.value, OWN_SCALE)
        elif any(each.metric not in one for one in rest):
            yield each.metric, f"{OWN_SCALE}: but without a fold there are too few images left for that"
        else:
            left_out = np.array([one[each.metric] for one in rest])
            estimate = jackknife([each.plain, *left_out], each.null or 0.0)
            value = FEWEST_FOLDS * each.plain - (FEWEST_FOLDS - 1) * float(left_out.mean())
            yield replace(each, estimate=replace(estimate, value=value), reason=OWN_SCALE, sides=None)


def frechet_measure(sides: Sides) -> Iterator[Finding]:
    """FD without its bias, as in papers, and its floor."""
    if sides.place.n < FD.minimum:
        reason = f"{sides.place.n} images, fd needs {FD.minimum}"
        yield from ((metric, reason) for metric in (FD, FD_PLAIN, FD_FLOOR))
        return
    unknown = _no_frechet(sides)
    if unknown:
        yield from ((metric, unknown) for metric in (FD, FD_FLOOR))
        yield Found.bare(FD_PLAIN, frechet(sides.real, sides.fake), f"{BIASED}fd and fd_floor")
        return
    found, chance = sides.frechet, sides.chance
    assert chance is not None
    apart = _frechet_apart(sides, chance.sd) if sides.apart else None
    yield Found(FD, found.corrected, sides=apart, plain=found.plain, null=chance.sd)
    yield Found.bare(FD_PLAIN, found.plain, f"{BIASED}fd and fd_floor")
    yield Found(FD_FLOOR, Estimate(chance.mean, 0.0, 0), chance.words, (chance.low, chance.high))


def _no_frechet(sides: Sides) -> str | None:
    """Why the bias of FD cannot be taken off, if so."""
    if not sides.outnumber_columns:
        like = sides.frechet_members.effective
        return (
            f"{sides.place.n} images, by their patients and folds as good as {like:.0f}, for {sides.columns} features: "
            "with fewer images than features the bias cannot be told; see kid, or compare fd_plain with that of the "
            "holdout control"
        )
    if sides.chance is None:
        return (
            f"too few real images of different patients to tell what chance does: {sides.columns} features need more "
            "than twice as many; see kid"
        )
    return None


def _frechet_apart(sides: Sides, null: float) -> tuple[Estimate, Estimate]:
    """The error of FD by the real and by the synthetic set alone, the other whole."""
    folds = [each.folds for each in sides.frechet_members.clusters]
    whole = [np.full_like(each, -1) for each in folds]
    n, m = len(sides.real), len(sides.fake)
    real = frechet_left_out(sides.real, sides.fake, folds[0], whole[1])
    fake = frechet_left_out(sides.real, sides.fake, whole[0], folds[1])
    return jackknife(real, null * m / (n + m)), jackknife(fake, null * n / (n + m))


def infinity_measure(sides: Sides) -> Iterator[Finding]:
    """FD on the line to infinitely many images."""
    smallest = int(SHARES[0] * sides.members.left)
    if smallest <= sides.columns:
        yield FD_INFINITY, f"{smallest} images, the fewest of the line, do not outnumber {sides.columns} features"
        return
    reason = _no_frechet(sides)
    if reason:
        yield FD_INFINITY, reason
        return
    folds, chance = sides.costly_folds, sides.chance
    assert chance is not None
    if sides.columns < WIDE:
        estimate = frechet_infinity_jackknife(sides.real, sides.fake, *folds, chance.sd)
        yield Found(FD_INFINITY, estimate, null=MAGNIFIED * chance.sd)
        return
    value = frechet_infinity(sides.real, sides.fake, *folds)
    yield Found.bare(FD_INFINITY, value, "its folds would take minutes: see fd")


def pairs_measure(sides: Sides) -> Iterator[Finding]:
    """Kernel distances and everything about neighbours, from one pass over the pairs."""
    real, fake, n, m = sides.real, sides.fake, len(sides.real), len(sides.fake)
    kid, cmmd, neighbourhood = compare(real, fake, sides.k, *sides.clusters, sides.keep)
    yield _kernel(KID, kid, sides)
    yield _kernel(CMMD, cmmd, sides)
    yield Found.bare(CMMD_PUBLISHED, max(0.0, cmmd.plain()), f"{BIASED}cmmd")
    out = outward(real, fake)
    measures: tuple[tuple[Metric, Measure, dict[str, int]], ...] = (
        (PRECISION, View.precision, {"share": m}),
        (RECALL, View.recall, {"share": n}),
        (DENSITY, View.density, {}),
        (COVERAGE, View.coverage, {"share": n}),
        (CLIPPED_DENSITY, clipped_density, {"cut": min(n, m)}),
        (CLIPPED_COVERAGE, clipped_coverage, {"cut": min(n, m)}),
        (ALPHA_PRECISION, out.alpha_precision, {"share": min(n, m)}),
        (BETA_RECALL, out.beta_recall, {"share": n}),
    )
    if isinstance(neighbourhood, Crowded):
        yield from ((metric, str(neighbourhood)) for metric, _, _ in measures)
        return
    taken = [measure for _, measure, _ in measures]
    both = neighbourhood.estimates(taken)
    apart: list[tuple[Estimate, Estimate] | None] = [None] * len(taken)
    if sides.apart:
        alone = (neighbourhood.estimates(taken, fake=False), neighbourhood.estimates(taken, real=False))
        apart = list(zip(*alone, strict=True))
    for (metric, _, kind), found, parts in zip(measures, both, apart, strict=True):
        estimate = out.with_bridge(found) if metric is ALPHA_PRECISION else found
        if estimate.se or "share" in kind:
            yield Found(metric, estimate, sides=parts, **kind)  # type: ignore[arg-type]
        else:
            yield Found.bare(metric, estimate.value, NOTHING_VARIES)


def _kernel(metric: Metric, tables: FoldTables, sides: Sides) -> Found:
    apart = (tables.estimate(second=False), tables.estimate(first=False)) if sides.apart else None
    value = tables.distance()
    return Found(metric, tables.estimate(), sides=apart, plain=value, null=tables.second_order())


def vendi_measure(sides: Sides) -> Iterator[Finding]:
    """Vendi scores of equally many images of both sides."""
    rng, n = np.random.default_rng([sides.seed, 1]), sides.place.n
    real_folds, fake_folds = sides.costly_folds
    fake, real = _thinned(sides.fake, fake_folds, n, rng), _thinned(sides.real, real_folds, n, rng)
    ours = vendi(*fake)
    identity = ["vendi", array_digest(real[0]), array_digest(real[1])]
    theirs = sides.keep(identity, lambda: {"values": vendi(*real)})["values"]
    for metric, estimate in zip((VENDI, VENDI_REAL, VENDI_RATIO), diversity(ours, theirs), strict=True):
        apart = jackknife(ours[0] / theirs), jackknife(ours / theirs[0])
        yield Found(metric, estimate, sides=apart if metric is VENDI_RATIO else None)


def _thinned(rows: Rows, folds: Indices, n: int, rng: np.random.Generator) -> tuple[Rows, Indices]:
    """``n`` random rows, in order, with their folds."""
    if len(rows) == n:
        return rows, folds
    kept = np.sort(rng.permutation(len(rows))[:n])
    return rows[kept], folds[kept]


# What is measured in turn; together they yield the metrics of OF_FEATURES.
MEASURES: tuple[Callable[[Sides], Iterator[Finding]], ...] = (
    frechet_measure,
    pairs_measure,
    vendi_measure,
)
