"""Images with known labels that classifiers answer, and how well they do, with resampled values of every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bench.api import Images, ImageSet
from bench.statistics.arrays import Integers
from bench.statistics.classification import balanced_accuracy, confusion, macro_auc, macro_f1
from bench.statistics.resampling import Floats
from evaluators.utility.classifier import UNKNOWN

Key = TypeVar("Key")
Answers = list[list[Floats]]  # scores (N, K) by repeat and target
Figure = tuple[float, Floats]  # value, resampled values
FEWEST = 10  # patients of a class


@dataclass(frozen=True, slots=True)
class Exam:
    """Images and what is true of them.

    Attributes:
        images: ``(N, H, W)`` uint8.
        truths: ``(N, T)`` class of each target, -1 where unknown.
        patients: of each image; what is resampled together.
    """

    images: Images
    truths: Integers
    patients: list[str]


def rare(images: ImageSet, name: str, whose: str) -> str | None:
    """Why the target ``name`` cannot be marked on ``images``: a class of too few patients. ``whose`` says of what.

    A synthetic image is a patient of its own.
    """
    label = images.info.label(name)
    known = set(zip(images.column(name), images.patients, strict=True))
    for value in label.values:
        if (count := sum(each == value for each, _ in known)) < FEWEST:
            return f"{name} = {label.text(value)} has {count} {whose}, needed {FEWEST}"
    return None


def examine(images: ImageSet, targets: Sequence[str], side: int) -> Exam:
    """The exam that ``images`` and their own labels make."""
    return Exam(small(images, side), truths(images, targets), images.patients)


def truths(images: ImageSet, targets: Sequence[str]) -> Integers:
    """``(N, T)``: the place of each target's value among its label's values, -1 where unknown."""
    columns = []
    for name in targets:
        place = {value: k for k, value in enumerate(images.info.label(name).values)}
        columns.append([UNKNOWN if value is None else place[value] for value in images.column(name)])
    return np.array(columns, np.int64).reshape(len(targets), -1).T


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


def marked(answers: Answers, exam: Exam, target: int, resampling: tuple[Floats, Integers]) -> dict[str, Figure]:
    """The mean over the repeats of every measure of one target, and its resampled values.

    Args:
        resampling: weights ``(R, N)`` of the images, and the repeats ``(R, repeats)`` picked in each resample.
    """
    weights, picks = resampling
    truth, once = exam.truths[:, target], np.ones((1, len(exam.truths)))
    values = [measures(repeat[target], truth, once) for repeat in answers]
    draws = [measures(repeat[target], truth, weights) for repeat in answers]
    found = {}
    for measure in values[0]:
        drawn = np.stack([each[measure] for each in draws], axis=1)
        value = float(np.mean([each[measure][0] for each in values]))
        found[measure] = value, np.take_along_axis(drawn, picks, axis=1).mean(axis=1)
    return found


def mean_figures(figures: Sequence[Mapping[Key, Figure]]) -> dict[Key, Figure]:
    """The mean over targets, resampled together."""
    return {
        key: (float(np.mean([each[key][0] for each in figures])), np.mean([each[key][1] for each in figures], axis=0))
        for key in figures[0]
    }
