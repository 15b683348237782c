"""Utility: is a classifier trained on synthetic images as good on real ones as a classifier trained on real images?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.api import Evaluator, Images, ImageSet, Material, Metric, Purpose, Refused, Score, Split
from bench.stats import Floats
from bench.store import write_atomic, write_json
from evaluators.accuracy import (
    balanced_accuracy,
    confusion,
    macro_auc,
    macro_f1,
    patient_weights,
    percentile_interval,
)
from evaluators.classifier import UNKNOWN, Lesson, Recipe, train_and_score

Integers = npt.NDArray[np.int64]
Arm = Literal["real", "synthetic", "both"]
Figures = dict[tuple[str, str], tuple[float, Floats]]

ARMS: tuple[Arm, ...] = ("real", "synthetic", "both")
CONTRASTS: dict[str, tuple[Arm, Arm]] = {"gap": ("synthetic", "real"), "gain": ("both", "real")}
FEWEST = 10
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
        better="higher",
        reference=reference,
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
        bounds=(-1.0, 1.0),
        minimum=2 * FEWEST,
        summary=f"What training on {SOURCES[first]} changes against training on {SOURCES[second]}, on the same test "
        "images; below 0 is worse.",
    )


METRICS = {
    **{f"{measure}_{arm}": _arm_metric(measure, arm) for measure in MEASURES for arm in ARMS},
    **{f"{measure}_{contrast}": _contrast_metric(measure, contrast) for measure in MEASURES for contrast in CONTRASTS},
}


@dataclass(frozen=True, slots=True)
class Exam:
    """The real test images and what is true of them.

    Attributes:
        truths: ``(N, T)`` class of each target, -1 where unknown.
        patients: of each image.
    """

    images: Images
    truths: Integers
    patients: list[str]


class Utility(Evaluator):
    """Train on real, on synthetic and on both, with equal update steps; test on real images.

    All targets are learned together by one small network with a head for each, ``repeats`` times from other
    starting weights; images larger than ``side`` pixels are shrunk to it. Rows without a target's label are left out
    of that target. A target is refused where a class has fewer than 10 patients in the real test or train part.
    Intervals resample the patients of the test part and the repeats, for differences both arms on the same patients.
    ``group="all"`` is the mean over the targets measured; with several, each is also ``target=<name>``. Leaves
    ``utility.json`` and ``utility_roc.png``.
    """

    metrics: ClassVar[tuple[Metric, ...]] = tuple(METRICS.values())
    purposes: ClassVar[tuple[Purpose, ...]] = ("utility",)

    def __init__(
        self,
        training: Mapping[str, Any],
        side: int = 64,
        repeats: int = 3,
        resamples: int = 1000,
        device: str = "auto",
    ) -> None:
        self.recipe = Recipe(**dict(training), device=device)
        self.side = side
        self.repeats = repeats
        self.resamples = resamples

    def __call__(self, material: Material) -> Iterator[Score]:
        split, made = material.split, material.images["utility"]
        faults = {name: fault(split, name) for name in split.info.targets}
        targets = [name for name, reason in faults.items() if reason is None]
        if not targets:
            reasons = "; ".join(str(reason) for reason in faults.values())
            raise Refused(reasons or f"{split.info.name} declares no target to predict")
        exam = Exam(small(split.test, self.side), truths(split.test, targets), split.test.patients)
        classes = tuple(len(split.info.label(name).values) for name in targets)
        scores = self._scores(split.train, made, exam, (targets, classes), material.rng)
        weights = patient_weights(exam.patients, material.rng, self.resamples)
        picks = {arm: material.rng.integers(0, self.repeats, (self.resamples, self.repeats)) for arm in ARMS}
        figures = [figures_of(scores, exam, t, (weights, picks)) for t in range(len(targets))]
        write_json(
            material.folder / "utility.json", _report(split, made, faults, dict(zip(targets, figures, strict=True)))
        )
        write_atomic(material.folder / "utility_roc.png", roc_picture(scores, exam, targets))
        known = [int((exam.truths[:, t] != UNKNOWN).sum()) for t in range(len(targets))]
        left_out = "; ".join(str(reason) for reason in faults.values() if reason) or None
        yield from _rows(mean_figures(figures), len(exam.images), "all", left_out)
        if len(split.info.targets) == 1:
            return
        for name, figure, n in zip(targets, figures, known, strict=True):
            yield from _rows(figure, n, f"target={name}", None)
        for name, reason in faults.items():
            if reason:
                group, n = f"target={name}", len(exam.images)
                yield from (metric.refused(reason, n=n, group=group) for metric in self.metrics)

    def _scores(
        self,
        real: ImageSet,
        made: ImageSet,
        exam: Exam,
        heads: tuple[Sequence[str], tuple[int, ...]],
        rng: np.random.Generator,
    ) -> dict[Arm, list[list[Floats]]]:
        """Scores of the test images: by arm, repeat and target."""
        targets, classes = heads
        images = {"real": small(real, self.side), "synthetic": small(made, self.side)}
        answers = {"real": truths(real, targets), "synthetic": truths(made, targets)}
        for parts in (images, answers):
            parts["both"] = np.concatenate([parts["real"], parts["synthetic"]])
        seeds = rng.integers(0, 2**62, self.repeats).tolist()
        return {
            arm: [
                train_and_score(Lesson(images[arm], answers[arm], classes), exam.images, self.recipe, seed)
                for seed in seeds
            ]
            for arm in ARMS
        }


def truths(images: ImageSet, targets: Sequence[str]) -> Integers:
    """``(N, T)``: the place of each target's value among its label's values, -1 where unknown."""
    columns = []
    for name in targets:
        place = {value: k for k, value in enumerate(images.info.label(name).values)}
        columns.append([UNKNOWN if value is None else place[value] for value in images.column(name)])
    return np.array(columns, np.int64).reshape(len(targets), -1).T


def fault(split: Split, name: str) -> str | None:
    """Why the target cannot be measured: a class of too few patients to learn or to test it."""
    label = split.info.label(name)
    for part, images in (("test", split.test), ("train", split.train)):
        values, patients = images.column(name), images.patients
        for value in label.values:
            count = len({patient for patient, each in zip(patients, values, strict=True) if each == value})
            if count < FEWEST:
                return f"{name} = {label.text(value)} has {count} patients in {part}, needed {FEWEST}"
    return None


def small(images: ImageSet, side: int) -> Images:
    """All images, area-averaged to ``side`` by ``side`` pixels where larger."""
    from PIL import Image

    height, width = images.size
    if max(height, width) <= side:
        return images.pixels()
    parts = []
    for block in images.blocks(256):
        resized = [Image.fromarray(image).resize((side, side), Image.Resampling.BOX) for image in block]
        parts.append(np.stack([np.asarray(image) for image in resized]))
    return np.concatenate(parts)


def measures(scores: Floats, truth: Integers, weights: Floats) -> dict[str, Floats]:
    """Every measure of scores ``(n, K)`` for every row of ``weights (R, n)``, the rows with unknown truth left out."""
    known = truth != UNKNOWN
    scores, truth, weights = scores[known], truth[known], weights[:, known]
    table = confusion(truth, scores.argmax(axis=1), scores.shape[1], weights)
    return {
        "auc": macro_auc(scores, truth, weights),
        "balanced_accuracy": balanced_accuracy(table),
        "f1": macro_f1(table),
    }


def figures_of(
    scores: Mapping[Arm, list[list[Floats]]], exam: Exam, target: int, resampling: tuple[Floats, Mapping[Arm, Integers]]
) -> Figures:
    """Value and resampled values of every measure of one target in every arm and contrast."""
    weights, picks = resampling
    truth, once = exam.truths[:, target], np.ones((1, len(exam.truths)))
    figures: Figures = {}
    for arm, repeats in scores.items():
        values = [measures(repeat[target], truth, once) for repeat in repeats]
        draws = [measures(repeat[target], truth, weights) for repeat in repeats]
        for measure in MEASURES:
            value = float(np.mean([each[measure][0] for each in values]))
            drawn = np.stack([each[measure] for each in draws], axis=1)
            figures[measure, arm] = value, np.take_along_axis(drawn, picks[arm], axis=1).mean(axis=1)
    for contrast, (first, second) in CONTRASTS.items():
        for measure in MEASURES:
            (a, drawn_a), (b, drawn_b) = figures[measure, first], figures[measure, second]
            figures[measure, contrast] = a - b, drawn_a - drawn_b
    return figures


def mean_figures(figures: Sequence[Figures]) -> Figures:
    """The mean over targets, resampled together."""
    return {
        key: (float(np.mean([each[key][0] for each in figures])), np.mean([each[key][1] for each in figures], axis=0))
        for key in figures[0]
    }


def _rows(figures: Figures, n: int, group: str, reason: str | None) -> Iterator[Score]:
    for (measure, part), (value, draws) in figures.items():
        metric = METRICS[f"{measure}_{part}"]
        yield metric(value, n=n, interval=percentile_interval(value, draws), group=group, reason=reason)


def _report(
    split: Split, made: ImageSet, faults: Mapping[str, str | None], figures: Mapping[str, Figures]
) -> dict[str, Any]:
    """Counts of images by class (``unknown`` included) and the values of every target."""
    parts = {"train": split.train, "synthetic": made, "test": split.test}
    report: dict[str, Any] = {}
    for name, reason in faults.items():
        label = split.info.label(name)
        counts = {
            part: {label.text(value): images.column(name).count(value) for value in (*label.values, None)}
            for part, images in parts.items()
        }
        found = {f"{measure}_{part}": value for (measure, part), (value, _) in figures.get(name, {}).items()}
        report[name] = {"images": counts, "values": found, "refused": reason}
    return report


def roc_picture(scores: Mapping[Arm, list[list[Floats]]], exam: Exam, targets: Sequence[str]) -> bytes:
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
            score = scores[arm][0][t][known]
            positive = exam.truths[known, t] == score.shape[1] - 1
            ranked = positive[np.argsort(score[:, 0] - score[:, -1], kind="stable")]
            axes.plot(*(np.r_[0, np.cumsum(each) / each.sum()] for each in (~ranked, ranked)), label=arm, linewidth=1)
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
        axes.set_title(name)
    figure.axes[0].legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
