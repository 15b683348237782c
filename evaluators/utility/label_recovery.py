"""Label recovery: does a classifier trained on real images see in a synthetic image the label that was asked for?

The figure to hold it against is the same classifier's on unseen real images of the training pool, whose labels were
given in the way the generator learned; those of the test part may have been given with more care, and are then easier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.api import DatasetInfo, ImageSet, Metric, Score
from bench.statistics.classification import percentile_interval
from bench.statistics.resampling import Floats
from evaluators.utility.test_set import FEWEST, Answers, Exam, Figure, Integers, marked, mean_figures, rare

Kind = Literal["recovered", "recovered_ceiling"]

MEASURES = {
    "auc": ("AUC", "Area under the ROC curve", "0.5"),
    "balanced_accuracy": ("Balanced accuracy", "Mean recall over the classes", "one over the number of classes"),
}
WHOSE: dict[Kind, str] = {"recovered": "synthetic images", "recovered_ceiling": "holdout patients"}


def _metric(measure: str, kind: Kind) -> Metric:
    title, words, chance = MEASURES[measure]
    asked = (
        "of a small classifier trained on real images and asked for the labels of synthetic ones, the label asked of "
        f"the generator taken as the truth; {chance} is chance. More than the ceiling means clearer cases than real "
        "images, or copies of those it learned from."
    )
    ceiling = "of the same classifier on unseen real images of the training pool with their own labels."
    return Metric(
        key=f"{measure}_{kind}",
        title=f"{title}, asked labels recovered" if kind == "recovered" else f"{title}, labels recovered, ceiling",
        better="higher" if kind == "recovered" else "neither",
        reference="arXiv:1807.09499",
        role="scores" if kind == "recovered" else "ceiling",
        area="utility",
        ceiling_of=None if kind == "recovered" else f"{measure}_recovered",
        bounds=(0.0, 1.0),
        minimum=2 * FEWEST,
        summary=f"{words} {asked if kind == 'recovered' else ceiling}",
    )


METRICS = {(measure, kind): _metric(measure, kind) for kind in WHOSE for measure in MEASURES}


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the classifier trained on real images recovered of the labels of one set.

    Attributes:
        faults: for every target of the data set why it has no figure.
        figures: of the others, by target and measure.
    """

    kind: Kind
    images: ImageSet
    faults: Mapping[str, str | None]
    figures: Mapping[str, Mapping[str, Figure]]

    def values(self, target: str) -> dict[str, float]:
        """The value of each metric of one target; nothing if it has a fault."""
        found = self.figures.get(target, {})
        return {METRICS[measure, self.kind].key: found[measure][0] for measure in MEASURES if measure in found}

    def scores(self, untold: Sequence[str] = ()) -> Iterator[Score]:
        """The mean over the targets measured and, with several targets in the data set, each.

        Args:
            untold: targets the generator cannot know; their scores say so.
        """
        reasons = [reason for reason in self.faults.values() if reason]
        unknown = [name for name in untold if name in self.figures]
        yield from self._rows(list(self.figures), len(self.images), "all", [*reasons, *_chance(unknown)])
        if len(self.faults) == 1:
            return
        for name, reason in self.faults.items():
            known = sum(value is not None for value in self.images.column(name))
            said = [reason] if reason else _chance([name] if name in untold else [])
            yield from self._rows([] if reason else [name], known, f"target={name}", said)

    def _rows(self, targets: Sequence[str], n: int, group: str, reasons: Sequence[str]) -> Iterator[Score]:
        reason = "; ".join(reasons)
        metrics = {measure: METRICS[measure, self.kind] for measure in MEASURES}
        if not targets:
            yield from (metric.refused(reason, n=n, group=group) for metric in metrics.values())
            return
        mean = mean_figures([self.figures[name] for name in targets])
        for measure, metric in metrics.items():
            value, draws = mean[measure]
            yield metric(value, n=n, interval=percentile_interval(value, draws), group=group, reason=reason or None)


def recover(
    kind: Kind,
    images: ImageSet,
    answered: tuple[Exam, Answers],
    unlearned: Mapping[str, str | None],
    resampling: tuple[Floats, Integers],
) -> Recovery:
    """Mark the ``answered`` exam that ``images`` make.

    Args:
        unlearned: for every target of the data set why no classifier could learn it; the answers are to the others.
        resampling: see ``marked``.
    """
    exam, answers = answered
    faults = {name: reason or rare(images, name, WHOSE[kind]) for name, reason in unlearned.items()}
    learned = [name for name, reason in unlearned.items() if reason is None]
    figures = {name: marked(answers, exam, t, resampling) for t, name in enumerate(learned) if faults[name] is None}
    return Recovery(kind, images, faults, figures)


def untold_targets(info: DatasetInfo, unread: Sequence[str], told: Sequence[str] = ()) -> list[str]:
    """The targets that nothing the generator reads can tell it: ``unread`` are the conditions it does not, ``told`` all
    that reaches it.

    A target that is no condition itself may follow from any of them, so all must be unread.
    """
    nothing = set(info.conditions) <= set(unread)
    unknown = [name for name in info.targets if name not in told]
    return [name for name in unknown if name in unread or (nothing and name not in info.conditions)]


def _chance(untold: Sequence[str]) -> list[str]:
    return [f"the generator reads nothing that tells it {', '.join(untold)}: chance is expected"] if untold else []
