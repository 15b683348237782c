"""Would a leak in this data be found? Copies planted among honest images, on splits drawn anew."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import ClassVar

import numpy as np

from bench.api import BenchError, Evaluator, Material, Metric, Part, Purpose, Refused, Score
from bench.runtime.progress import meter
from bench.runtime.setting_types import Count
from bench.statistics.resampling import clopper_pearson
from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.closeness import pool_of
from evaluators.privacy.metrics import FEWEST_IMAGES
from evaluators.privacy.planted_splits import Plan, Trial, medians, plan_of, trial
from evaluators.privacy.self_test_picture import self_test_picture
from evaluators.privacy.verdict import percent, too_few

log = logging.getLogger(__name__)
MOST_HONEST = 2000
RELIABLE = 0.8
NO_COPIES = "no copies"
FOUND_AT = Metric(
    key="detectable_leak",
    title="Leak found in 80% of splits, from",
    better="neither",
    reference="simulation of planted copies",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="Smallest of the planted shares of copies of this kind at which a leak is found in at least 80% of splits.",
)
BELOW = Metric(
    key="limit_below_truth",
    title="Upper limit below the truth",
    better="neither",
    reference="simulation of planted copies",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="How often the upper limit of the share of copies of this kind is below the share that was planted: a 95% "
    "limit promises 5% at most.",
)
MISSED = Metric(
    key="words_untrue",
    title="Not found though the words say so",
    better="neither",
    reference="simulation of planted copies",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="How often nothing is found although copies of this kind would have been found, by the verdict's words, at "
    "the share that was planted.",
)
FALSE_ALARM = Metric(
    key="self_test_false_alarms",
    title="False alarms",
    better="neither",
    reference="simulation without copies",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="How often a leak is found where no copy was planted, over splits drawn anew.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """All splits of one kind and share.

    Attributes:
        found: share of splits in which a leak was found.
        below: share of splits in which the upper limit was below the planted share.
        missed: share of splits in which nothing was found though the words say that it would have been.
        most: median of the upper limits, ``None`` where there was none in half of the splits.
        found_from: median of the shares from which on copies would be found, by the words.
    """

    kind: str
    share: float
    splits: int
    found: float
    below: float
    missed: float
    most: float | None
    found_from: float | None


class PrivacySelfTest(Evaluator):
    """Plants copies of every kind among honest images and tells in how many splits the tests find them.

    The images of the purpose ``privacy`` must be honest: real ones of people nobody learned from, as the control
    ``test_part`` gives. Each split draws training patients anew from the pool of both parts. All tests of the privacy
    evaluator take part but those of the pictures themselves and the comparison with the test part. Leaves
    ``privacy_self_test.csv`` and ``privacy_self_test.png``.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (FOUND_AT, BELOW, MISSED, FALSE_ALARM)
    purposes: ClassVar[tuple[Purpose, ...]] = ("privacy",)
    id: ClassVar[str] = "privacy_self_test"
    encoders: tuple[str, ...]
    reads_parts: ClassVar[tuple[Part, ...]] = ("train", "holdout")

    def __init__(
        self,
        encoders: Sequence[str] = ("pixels", "radiomics"),
        kinds: Sequence[str] | None = None,
        shares: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2),
        splits: Count = 20,
        permutations: Count = 499,
    ) -> None:
        """``kinds``: of copies, ``None`` for all; ``shares`` of the images, each up to a half."""
        who = "evaluator.privacy_self_test"
        unknown = [each for each in kinds or () if each not in TRANSFORMS]
        if unknown or not encoders:
            raise BenchError(
                f"{who}: kinds={list(kinds or ())}, encoders={list(encoders)}; needed at least one encoder, and kinds "
                f"among {', '.join(TRANSFORMS)}"
            )
        if not shares or not all(0 < share <= 0.5 for share in shares):
            raise BenchError(f"{who}.shares is {list(shares)}; needed shares above 0 and up to 0.5")
        self.encoders, self.kinds = tuple(encoders), tuple(kinds or TRANSFORMS)
        self.shares, self.splits, self.permutations = tuple(sorted(shares)), splits, permutations

    def conformance(self, material: Material) -> Iterator[Score]:
        """One kind, one share and two splits: the same code."""
        yield from PrivacySelfTest(self.encoders, self.kinds[:1], self.shares[-1:], 2, 99)(material)

    def __call__(self, material: Material) -> Iterator[Score]:
        pool = pool_of(material.split)
        honest, trials = material.rng.spawn(2)
        images = material.images["privacy"].at_most(MOST_HONEST, honest)
        if few := too_few(len(images), pool):
            raise Refused(few)
        plan = plan_of(material, self.encoders, images, self.kinds, self.shares[-1], pool)
        rows = self.rows(plan, trials)
        for line in lines(rows):
            log.info(line)
        material.leave("privacy_self_test.csv", table(rows))
        material.leave("privacy_self_test.png", self_test_picture({(row.kind, row.share): row.found for row in rows}))
        yield from scores(rows, len(images))

    def rows(self, plan: Plan, rng: np.random.Generator) -> list[Row]:
        """Every kind at every share, each on splits of its own; first without copies."""
        cells: list[tuple[str | None, float]] = [(None, 0.0)]
        cells += [(kind, share) for kind in self.kinds for share in self.shares]
        found = []
        with meter("planting copies", total=len(cells) * self.splits, unit="split") as bar:
            for (kind, share), own in zip(cells, rng.spawn(len(cells)), strict=True):
                trials = []
                for stream in own.spawn(self.splits):
                    trials.append(trial(plan, kind, share, self.permutations, stream))
                    bar.update()
                found.append(row_of(kind or NO_COPIES, share, trials))
        return found


def row_of(kind: str, share: float, trials: Sequence[Trial]) -> Row:
    """The trials of one kind and share together."""
    found = np.array([each.found for each in trials])
    below = [each.limit is not None and each.limit.most < share - 1e-9 for each in trials]
    promised = [bool(each.limit and (each.limit.found_from or 1.0) <= share + 1e-9) for each in trials]
    most = medians([each.limit.most if each.limit else None for each in trials])
    promise = medians([each.limit.found_from if each.limit else None for each in trials])
    missed = float((~found & np.array(promised)).mean())
    return Row(kind, share, len(trials), float(found.mean()), float(np.mean(below)), missed, most, promise)


def scores(rows: Sequence[Row], n: int) -> Iterator[Score]:
    """False alarms over all images, and of each kind what the table says of it in three numbers."""
    honest, *planted = rows
    alarms = round(honest.found * honest.splits)
    yield FALSE_ALARM(honest.found, n=n, interval=clopper_pearson(alarms, honest.splits))
    for kind in dict.fromkeys(row.kind for row in planted):
        own = [row for row in planted if row.kind == kind]
        group, splits = TRANSFORMS[kind].title, sum(row.splits for row in own)
        reliable = [row.share for row in own if row.found >= RELIABLE]
        if reliable:
            reason = f"the smallest of the shares {', '.join(percent(row.share) for row in own)} has no interval"
            yield FOUND_AT(reliable[0], n=n, group=group, reason=reason)
        else:
            reason = f"not found in 80% of splits at any share up to {percent(own[-1].share)}"
            yield FOUND_AT.refused(reason, n=n, group=group)
        for metric, counts in ((BELOW, [row.below for row in own]), (MISSED, [row.missed for row in own])):
            hits = round(sum(count * row.splits for count, row in zip(counts, own, strict=True)))
            yield metric(hits / splits, n=n, interval=clopper_pearson(hits, splits), group=group)


def table(rows: Sequence[Row]) -> bytes:
    """CSV, a row for each kind and share."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([each.name for each in fields(Row)])
    writer.writerows(["" if cell is None else cell for cell in astuple(row)] for row in rows)
    return buffer.getvalue().encode()


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table in words for a terminal."""
    heads = ("share", 7), ("found", 8), ("at most", 9), ("found from", 12), ("limit too low", 15), ("words untrue", 14)
    yield f"{'copies':<18}" + "".join(f"{head:>{width}}" for head, width in heads)
    for row in rows:
        most, promise = ("-" if each is None else percent(each) for each in (row.most, row.found_from))
        yield (
            f"{row.kind:<18}{percent(row.share):>7}{row.found:>8.2f}{most:>9}{promise:>12}{row.below:>15.2f}"
            f"{row.missed:>14.2f}"
        )
