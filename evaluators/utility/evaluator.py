"""Utility: is a classifier trained on synthetic images as good on real ones as a classifier trained on real images?

And does the one trained on real images see in synthetic images what was asked for?
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from bench.api import Evaluator, ImageSet, Material, Metric, Purpose, Refused, Score, Split, made_anew
from bench.runtime.plugin_settings import check_taken
from bench.runtime.setting_types import Count
from bench.statistics.arrays import Integers
from bench.statistics.classification import patient_weights, percentile_interval
from bench.statistics.resampling import Floats
from bench.storage.files import as_json
from evaluators.utility import label_recovery
from evaluators.utility.classifier import UNKNOWN, Lesson, Recipe, train_and_score
from evaluators.utility.test_set import (
    FEWEST,
    Answers,
    Exam,
    Figure,
    examine,
    marked,
    mean_figures,
    rare,
    small,
    truths,
)

MOST = 20_000  # images of a set that classifiers answer on: every resample has a weight for each
Arm = Literal["real", "synthetic", "both"]
Figures = dict[tuple[str, str], Figure]
Answering = Callable[[Material, Sequence[Exam], Sequence[str]], tuple[dict[Arm, Answers], list[Answers]]]

ARMS: tuple[Arm, ...] = ("real", "synthetic", "both")
SKILLS: dict[Arm, int] = {"real": 72, "synthetic": 40, "both": 88}  # of 256: how far fixed answers lean to the truth
CONTRASTS: dict[str, tuple[Arm, Arm]] = {"gap": ("synthetic", "real"), "gain": ("both", "real")}
MEASURES = {
    "auc": ("AUC", "Hanley & McNeil 1982, 10.1148/radiology.143.1.7063747", "area under the ROC curve"),
    "balanced_accuracy": ("balanced accuracy", "10.1109/ICPR.2010.764", "mean recall over the classes"),
    "f1": ("F1", "Sokolova & Lapalme 2009, 10.1016/j.ipm.2009.03.002", "mean F1 over the classes"),
}
SOURCES = {
    "real": "real images",
    "synthetic": "synthetic images of the same conditions",
    "both": "real and synthetic images together",
}


def _arm_metric(measure: str, arm: str) -> Metric:
    title, reference, words = MEASURES[measure]
    return Metric(
        key=f"{measure}_{arm}",
        title=f"{title}, trained on {arm}",
        better="neither" if arm == "real" else "higher",
        reference=reference,
        role="describes" if arm == "real" else "scores",
        area="utility",
        bounds=(0.0, 1.0),
        minimum=2 * FEWEST,
        summary=f"{words[0].upper()}{words[1:]} on real test images of a small classifier trained on {SOURCES[arm]}.",
    )


def _contrast_metric(measure: str, contrast: str) -> Metric:
    title, reference, _ = MEASURES[measure]
    first, second = CONTRASTS[contrast]
    return Metric(
        key=f"{measure}_{contrast}",
        title=f"{title} {contrast}",
        better="higher",
        reference=reference,
        role="headline" if (measure, contrast) == ("auc", "gap") else "scores",
        area="utility",
        bounds=(-1.0, 1.0),
        minimum=2 * FEWEST,
        summary=f"What training on {SOURCES[first]} changes against training on {SOURCES[second]}, on the same test "
        "images; below 0 is worse.",
    )


METRICS = {
    **{f"{measure}_{arm}": _arm_metric(measure, arm) for measure in MEASURES for arm in ARMS},
    **{f"{measure}_{contrast}": _contrast_metric(measure, contrast) for measure in MEASURES for contrast in CONTRASTS},
}


class Utility(Evaluator):
    """Train on real, on synthetic and on both, with equal update steps; test on real images.

    The classifier trained on real images is also asked for the labels of synthetic images of the test part's
    conditions (GAN-test, Shmelkov et al. 2018, arXiv:1807.09499): what it recovers of the asked labels says whether
    the generator follows them. The ceiling is what it recovers of the labels of the holdout's images.

    All targets are learned together by one small network with a head for each, ``repeats`` times from other
    starting weights; images larger than ``side`` pixels are shrunk to it. Rows without a target's label are left out
    of that target. A target is refused where a class has fewer than 10 patients in the real test or train part, its
    recovery where one has fewer than 10 synthetic images, its ceiling where one has fewer than 10 holdout patients.
    A set of more than ``MOST`` images to be answered on is thinned to as many at random. Intervals resample the
    patients of the test part and the repeats, for differences both arms on the same patients;
    those of recovery resample the synthetic images and the repeats.
    ``group="all"`` is the mean over the targets measured; with several, each is also ``target=<name>``. Leaves
    ``utility.json`` and ``utility_roc.png``.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (*METRICS.values(), *label_recovery.METRICS.values())
    purposes: ClassVar[tuple[Purpose, ...]] = ("utility", "fidelity")
    id: ClassVar[str] = "utility"
    encoders = ()

    def __init__(
        self,
        training: Mapping[str, Any],
        side: Count = 64,
        repeats: Count = 3,
        resamples: Count = 1000,
        device: str = "auto",
    ) -> None:
        chosen = {**training, "device": device}
        check_taken(Recipe, chosen, "evaluator.utility.training")
        self.recipe = Recipe(**chosen)
        self.side = side
        self.repeats = repeats
        self.resamples = resamples

    def __call__(self, material: Material) -> Iterator[Score]:
        yield from self._measured(material, self._answers)

    def conformance(self, material: Material) -> Iterator[Score]:
        """The scores of fixed answers instead of trained classifiers'."""
        yield from self._measured(material, self._fixed_answers)

    def _measured(self, material: Material, answering: Answering) -> Iterator[Score]:
        split, rng = material.split, material.rng
        faults = {name: fault(split, name) for name in split.info.targets}
        targets = [name for name, reason in faults.items() if reason is None]
        if not targets:
            reasons = "; ".join(str(reason) for reason in faults.values())
            raise Refused(reasons or f"{split.info.name} declares no target to predict")
        judged: dict[label_recovery.Kind, ImageSet] = {
            "recovered_ceiling": split.holdout.at_most(MOST, rng),
            "recovered": material.images["fidelity"].at_most(MOST, rng),
        }
        sets = (split.test.at_most(MOST, rng), *judged.values())
        test, *others = (examine(images, targets, self.side) for images in sets)
        answers, further = answering(material, [test, *others], targets)
        weights = patient_weights(test.patients, rng, self.resamples)
        picks = {arm: rng.integers(0, self.repeats, (self.resamples, self.repeats)) for arm in ARMS}
        figures = {name: figures_of(answers, test, t, (weights, picks)) for t, name in enumerate(targets)}
        found = []
        for (kind, images), exam, own in zip(judged.items(), others, further, strict=True):
            resampling = patient_weights(exam.patients, rng, self.resamples), picks["real"]
            found.append(label_recovery.recover(kind, images, (exam, own), faults, resampling))
        material.leave("utility.json", as_json(_report(material, faults, figures, found)))
        material.leave("utility_roc.png", roc_picture(answers, test, targets))
        yield from _scores(test, figures, faults)
        ceiling, followed = found
        unread, told = (material.generator.get(name, ()) for name in ("unread", "told"))
        yield from followed.scores(label_recovery.untold_targets(split.info, unread, told))
        yield from ceiling.scores()

    def _answers(
        self, material: Material, exams: Sequence[Exam], targets: Sequence[str]
    ) -> tuple[dict[Arm, Answers], list[Answers]]:
        """Every arm's answers to the first exam, and the real arm's to each of the others."""
        parts = {"real": material.split.train, "synthetic": material.images["utility"]}
        classes = tuple(len(material.split.info.label(name).values) for name in targets)
        every, count = np.concatenate([small(part, self.side) for part in parts.values()]), len(parts["real"])
        images = {"real": every[:count], "synthetic": every[count:], "both": every}
        known = {arm: truths(part, targets) for arm, part in parts.items()}
        known["both"] = np.concatenate([known["real"], known["synthetic"]])
        seeds = material.rng.integers(0, 2**62, self.repeats).tolist()
        lessons = {arm: Lesson(images[arm], known[arm], classes) for arm in ARMS}
        papers = {arm: [exam.images for exam in (exams if arm == "real" else exams[:1])] for arm in ARMS}
        keeps = {arm: material.keep if arm == "real" else made_anew for arm in ARMS}
        written = {
            arm: [train_and_score(lessons[arm], papers[arm], self.recipe, seed, keeps[arm]) for seed in seeds]
            for arm in ARMS
        }
        further = [[each[number] for each in written["real"]] for number in range(1, len(exams))]
        return {arm: [each[0] for each in own] for arm, own in written.items()}, further

    def _fixed_answers(
        self, material: Material, exams: Sequence[Exam], targets: Sequence[str]
    ) -> tuple[dict[Arm, Answers], list[Answers]]:
        """The same of ``fixed_answers``."""
        classes = tuple(len(material.split.info.label(name).values) for name in targets)
        answers: dict[Arm, Answers] = {
            arm: [fixed_answers(exams[0], classes, f"{arm} {repeat}", skill) for repeat in range(self.repeats)]
            for arm, skill in SKILLS.items()
        }
        skill = SKILLS["real"]
        further = [
            [fixed_answers(exam, classes, f"real {repeat}", skill) for repeat in range(self.repeats)]
            for exam in exams[1:]
        ]
        return answers, further


def fixed_answers(exam: Exam, classes: Sequence[int], name: str, skill: int) -> list[Floats]:
    """Scores ``(N, K)`` for each target, in [0, 2): bytes of SHA-256 of ``name``, target, class and pixels, over 256,
    plus ``skill`` over 256 for the true class.
    """
    answers = []
    for t, count in enumerate(classes):
        seeds = [f"{name} {t} {k} ".encode() for k in range(count)]
        drawn = [[hashlib.sha256(seed + image.tobytes()).digest()[0] for seed in seeds] for image in exam.images]
        true = exam.truths[:, t, None] == np.arange(count)
        answers.append((np.array(drawn) + skill * true) / 256.0)
    return answers


def fault(split: Split, name: str) -> str | None:
    """Why the target cannot be measured: a class of too few patients to learn or to test it."""
    return rare(split.test, name, "patients in test") or rare(split.train, name, "patients in train")


def figures_of(
    answers: Mapping[Arm, Answers], exam: Exam, target: int, resampling: tuple[Floats, Mapping[Arm, Integers]]
) -> Figures:
    """Value and resampled values of every measure of one target in every arm and contrast."""
    weights, picks = resampling
    figures: Figures = {}
    for arm, own in answers.items():
        found = marked(own, exam, target, (weights, picks[arm]))
        figures |= {(measure, arm): figure for measure, figure in found.items()}
    for contrast, (first, second) in CONTRASTS.items():
        for measure in MEASURES:
            (a, drawn_a), (b, drawn_b) = figures[measure, first], figures[measure, second]
            figures[measure, contrast] = a - b, drawn_a - drawn_b
    return figures


def _scores(test: Exam, figures: Mapping[str, Figures], faults: Mapping[str, str | None]) -> Iterator[Score]:
    left_out = "; ".join(reason for reason in faults.values() if reason) or None
    yield from _rows(mean_figures(list(figures.values())), len(test.images), "all", left_out)
    if len(faults) == 1:
        return
    for t, (name, figure) in enumerate(figures.items()):
        yield from _rows(figure, int((test.truths[:, t] != UNKNOWN).sum()), f"target={name}", None)
    for name, reason in faults.items():
        if reason:
            group, n = f"target={name}", len(test.images)
            yield from (metric.refused(reason, n=n, group=group) for metric in METRICS.values())


def _rows(figures: Figures, n: int, group: str, reason: str | None) -> Iterator[Score]:
    for (measure, part), (value, draws) in figures.items():
        metric = METRICS[f"{measure}_{part}"]
        yield metric(value, n=n, interval=percentile_interval(value, draws), group=group, reason=reason)


def _report(
    material: Material,
    faults: Mapping[str, str | None],
    figures: Mapping[str, Figures],
    recovered: Sequence[label_recovery.Recovery],
) -> dict[str, Any]:
    """Counts of images by class (``unknown`` included) and the values of every target."""
    split = material.split
    parts = {"train": split.train, "synthetic": material.images["utility"], "test": split.test}
    parts |= {"asked": material.images["fidelity"], "holdout": split.holdout}
    report: dict[str, Any] = {}
    for name, reason in faults.items():
        label = split.info.label(name)
        counts = {
            part: {label.text(value): own.column(name).count(value) for value in (*label.values, None)}
            for part, own in parts.items()
        }
        found = {f"{measure}_{part}": value for (measure, part), (value, _) in figures.get(name, {}).items()}
        for each in recovered:
            found |= each.values(name)
        report[name] = {"images": counts, "values": found, "refused": reason}
    return report


def roc_picture(answers: Mapping[Arm, Answers], exam: Exam, targets: Sequence[str]) -> bytes:
    """PNG of the ROC curves of the first six targets, a line an arm (first repeat, last class against the rest)."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(targets[:6])
    figure = Figure(figsize=(3 * len(shown), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for t, name in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), t + 1, xlabel="false positive rate", ylabel="true positive rate")
        known = exam.truths[:, t] != UNKNOWN
        for arm in ARMS:
            score = answers[arm][0][t][known]
            positive = exam.truths[known, t] == score.shape[1] - 1
            ranked = positive[np.argsort(score[:, 0] - score[:, -1], kind="stable")]
            axes.plot(*(np.r_[0, np.cumsum(each) / each.sum()] for each in (~ranked, ranked)), label=arm, linewidth=1)
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
        axes.set_title(name)
    figure.axes[0].legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
