"""Whether two sets of real images are told apart by themselves, so that no comparison of them means anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.api import BenchError, Metric, Refused, Rows, Score
from bench.statistics.arrays import Floats, Integers, Interval, Mask
from bench.statistics.resampling import cluster_folds, normal_interval

Kind = Literal["linear", "nonlinear"]

FEWEST_PATIENTS = 20
LIMIT = 0.55  # an area up to this one is too small a difference to refuse for
LEVEL = 0.02  # of all checks together
SHUFFLES = 200
FOLDS = 5
PENALTY = 0.1
MOST_BLIND = 20_000  # images of both sets, drawn at random, that the classifiers see
PAIRED, WAVED = 20, 32  # principal components that are multiplied with each other, and that go into waves
WAVES = 300

_WORDS = {"linear": "a linear", "nonlinear": "a non-linear"}

BLIND_AUC = Metric(
    key="blind_auc",
    title="Blind baseline",
    better="neither",
    reference="arXiv:2406.16201",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="How well training and holdout images are told apart without any synthetic image; above 0.5 the split is "
    "not random and membership cannot be measured.",
)
BLIND_AUC_NONLINEAR = Metric(
    key="blind_auc_nonlinear",
    title="Blind baseline, non-linear",
    better="neither",
    reference="arXiv:2406.16201",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="The same by a classifier that also sees differences in spread, in pairs of features and in shape.",
)


@dataclass(frozen=True, slots=True)
class Blind:
    """How well one classifier tells the two sets apart in one view.

    Attributes:
        view: whose features were seen.
        kind: the classifier.
        images: of both sets, that it saw.
        area: under the ROC curve, cross-validated.
        interval: the normal one, with the standard deviation of the area over shuffles of the patients.
        p: that shuffled patients reach as much in any of the checks.
        fault: why the two sets cannot be compared, if so.
    """

    view: str
    kind: Kind
    images: int
    area: float
    interval: Interval
    p: float
    fault: str | None

    def score(self) -> Score:
        """The area as a score of train against holdout."""
        metric = BLIND_AUC if self.kind == "linear" else BLIND_AUC_NONLINEAR
        return metric(self.area, n=self.images, interval=self.interval, encoder=self.view)


def gate(
    views: Mapping[str, tuple[Rows, Rows]],
    patients: Sequence[str],
    rng: np.random.Generator,
    names: tuple[str, str] = ("train", "holdout"),
    shuffles: int = SHUFFLES,
) -> list[Blind]:
    """Every check of every view, two each, linear first; two random parts of one population pass all of them.

    An area is that of a ridge discriminant in five-fold cross-validation by patient, scores ranked within their fold
    and pooled (Das et al. 2024, arXiv 2406.16201). The linear one sees the features; the non-linear one sees products
    of two of their principal components and random waves along them (Rahimi & Recht 2007). Shuffles of the patients'
    labels are shared by all checks: the largest area of a shuffle, each in standard deviations of its check, is what a
    check has to exceed (max-T, Westfall & Young 1993), so that random parts are refused in ``LEVEL`` of all cases
    whatever the number of checks. A difference is a fault from an area of ``LIMIT``.

    Args:
        views: by name, rows of the first set and of the second, whose images are the same in every view.
        patients: of the images of the first set, then of the second.
        names: of the sets, for the sentences.

    Raises:
        Refused: a set has too few patients.
        BenchError: a patient is in both sets.
    """
    count = len(next(iter(views.values()))[0])
    _apart(patients[:count], patients[count:], names)
    seen = np.arange(len(patients))
    if len(seen) > MOST_BLIND:
        seen = np.sort(rng.permutation(len(patients))[:MOST_BLIND])
    people, place = np.unique(np.asarray(patients, np.str_)[seen], return_inverse=True)
    first = np.zeros(len(people), np.bool_)
    first[place[seen < count]] = True
    labels = np.stack([first, *(rng.permutation(first) for _ in range(shuffles))], axis=1)[place]
    fold = cluster_folds(np.asarray(patients, np.str_)[seen].tolist(), FOLDS, rng)
    kinds: list[tuple[str, Kind]] = []
    areas: list[Floats] = []
    for name, (one, other) in views.items():
        rows = standardised(np.concatenate([one, other])[seen])
        kinds += [(name, "linear"), (name, "nonlinear")]
        areas += [crossed_areas(each, labels, fold) for each in (rows, expanded(rows, rng))]
    table = np.stack(areas)
    chance = corrected(table)
    spread = table[:, 1:].std(axis=1, ddof=1)
    return [
        _judged(kind, (len(seen), len(kinds)), float(area[0]), (float(sd), float(p)), names)
        for kind, area, sd, p in zip(kinds, table, spread, chance, strict=True)
    ]


def _apart(first: Sequence[str], second: Sequence[str], names: tuple[str, str]) -> None:
    ours, theirs = set(first), set(second)
    if both := sorted(ours & theirs):
        raise BenchError(
            f"patient {both[0]} and {len(both) - 1} others are in {names[0]} and in {names[1]}; a blind classifier "
            "needs sets without a common patient: leave them out of one"
        )
    if (fewest := min(len(ours), len(theirs))) < FEWEST_PATIENTS:
        raise Refused(
            f"a blind classifier needs {FEWEST_PATIENTS} patients in {names[0]} and in {names[1]}, got {fewest}"
        )


def _judged(
    check: tuple[str, Kind], number: tuple[int, int], area: float, null: tuple[float, float], names: tuple[str, str]
) -> Blind:
    """One check, of ``number`` images and checks, with the standard deviation and the p-value of its area."""
    (view, kind), (images, checks), (spread, p) = check, number, null
    low, high = normal_interval(area, spread)
    interval = max(0.0, low), min(1.0, high)
    fault = None
    if area > LIMIT and p <= LEVEL:
        fault = (
            f"{names[0]} and {names[1]} are told apart without any synthetic image: {_WORDS[kind]} classifier has a "
            f"blind AUC of {area:.3f} [{interval[0]:.3f}, {interval[1]:.3f}] in {view} features, needed at most "
            f"{LIMIT} (p = {p:.2g}, corrected for {checks} checks)"
        )
    return Blind(view, kind, images, area, interval, p, fault)


def corrected(areas: Floats) -> Floats:
    """``(K,)`` p-values of ``K`` checks, from their areas ``(K, 1 + S)`` as observed and for each shuffle.

    Every column, the observed one included, is scaled alike, so that under the null hypothesis all columns are equally
    likely and a corrected p-value at most ``a`` has a probability of at most ``a``.
    """
    centre, spread = areas.mean(axis=1, keepdims=True), areas.std(axis=1, keepdims=True)
    scaled = (areas - centre) / np.where(spread > 0, spread, 1.0)
    return (scaled.max(axis=0)[None] >= scaled[:, :1] - 1e-9).mean(axis=1)


def crossed_areas(rows: Floats, labels: Mask, fold: Integers) -> Floats:
    """``(C,)`` cross-validated areas, one for each column of labels ``(n, C)``; all columns share each fold's solve."""
    ranked = np.empty(labels.shape)
    for number in range(FOLDS):
        test = fold == number
        order = np.argsort(ridge_scores(rows[~test], labels[~test], rows[test]).T, axis=1)
        place = np.empty(order.shape)
        np.put_along_axis(place, order, (np.arange(order.shape[1]) + 0.5)[None], axis=1)
        ranked[test] = place.T / order.shape[1]
    return column_auc(ranked, labels)


def ridge_scores(rows: Floats, labels: Mask, new: Floats) -> Floats:
    """``(T, C)`` scores of ``new (T, D)`` from one ridge regression on ``rows (n, D)`` for each column of labels.

    ``PENALTY * n`` is added to the diagonal of the cross-products of the features, which are centred.
    """
    from scipy.linalg import cho_factor, cho_solve

    centre = rows.mean(axis=0)
    rows, new = rows - centre, new - centre
    target = labels - labels.mean(axis=0)
    narrow = rows.shape[1] <= len(rows)
    gram = rows.T @ rows if narrow else rows @ rows.T
    gram[np.diag_indices_from(gram)] += PENALTY * len(rows)
    factor = cho_factor(gram, overwrite_a=True, check_finite=False)
    if narrow:
        return new @ cho_solve(factor, rows.T @ target, check_finite=False)
    return new @ (rows.T @ cho_solve(factor, target, check_finite=False))


def column_auc(scores: Floats, positive: Mask) -> Floats:
    """Area under the ROC curve of each column of ``(n, C)`` scores and truths, from ranks."""
    from scipy import stats

    ranks = stats.rankdata(scores, axis=0)
    hits = positive.sum(axis=0)
    return ((ranks * positive).sum(axis=0) - hits * (hits + 1) / 2) / (hits * (len(scores) - hits))


def standardised(rows: Rows | Floats) -> Floats:
    """``(n, D)`` with mean 0 and standard deviation 1 in every column that is not constant; those are 0.

    Of both sets together: nothing here depends on which set an image is in.
    """
    wide = rows.astype(np.float64)
    spread = wide.std(axis=0)
    varies = spread > 1e-12 * np.abs(wide).max(axis=0)
    return (wide - wide.mean(axis=0)) / np.where(varies, spread, np.inf)


def expanded(rows: Floats, rng: np.random.Generator) -> Floats:
    """Standardised columns ``(n, E)`` in which a linear classifier is not: of ``rows (n, D)``, standardised.

    The first ``PAIRED`` principal components, each scaled to 1, multiplied with each other and with themselves, and
    ``WAVES`` cosines along random directions of the first ``WAVED``.
    """
    components = principal(rows, WAVED, rng)
    left, right = np.triu_indices(min(PAIRED, components.shape[1]))
    directions = rng.normal(size=(components.shape[1], WAVES)) / np.sqrt(max(1, components.shape[1]))
    waves = np.cos(components @ directions + rng.uniform(0, 2 * np.pi, WAVES))
    return standardised(np.concatenate([components[:, left] * components[:, right], waves], axis=1))


def principal(rows: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Up to ``count`` principal components ``(n, K)`` of standardised rows, each scaled to a standard deviation of 1.

    By three power iterations from random combinations of images (Halko, Martinsson & Tropp 2011), so that the order of
    columns decides nothing; those without any spread are left
    out. The entry of a component farthest from 0 is positive.
    """
    most = min(count, *rows.shape)
    basis = rng.normal(size=(len(rows), min(most + 16, *rows.shape)))
    for _ in range(3):
        basis = np.linalg.qr(rows @ (rows.T @ basis))[0]
    left, values, _ = np.linalg.svd(basis.T @ rows, full_matrices=False)
    kept = values[:most] > 1e-6 * max(float(values[0]), 1e-30)
    components = (basis @ left[:, :most])[:, kept] * np.sqrt(len(rows))
    farthest = np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0)
    return components * np.sign(farthest)
