"""Every set metric of features as a function: ``fd(real_rows, fake_rows)`` is measured as a run measures the same rows.

Folds go by the names of patients: with those of a run, on both sides, intervals and what is corrected by folds are
those of the run too. Without names the rows themselves are the names. Where one side has more rows, the Vendi scores
take as many at random, which are not those that a run takes.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> real, fake = (rng.normal(size=(300, 8)).astype("float32") for _ in range(2))
>>> score = kid(real, fake + 0.5, units="alike")
>>> score.low > 0
True
>>> round(float(coverage(real, fake, units="alike")), 1)
1.0

Rows from ``bench.compare.encode(images, "radiomics")`` know in which units their columns are; of any other array it has
to be said, for distances of columns of different units mean nothing until these are brought to one scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypedDict, Unpack, get_args

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, ColumnUnits, Metric, Refused, Rows, Score
from bench.runtime.suggestions import did_you_mean
from bench.statistics.arrays import Indices
from bench.statistics.clusters import Clusters
from evaluators.fidelity.alpha_precision import AUTHENTICITY
from evaluators.fidelity.alpha_precision import authenticity as share_of_new
from evaluators.fidelity.chance import Pool
from evaluators.fidelity.comparison import Members, Place, Sides
from evaluators.fidelity.encoder_metrics import log_distance
from evaluators.fidelity.evaluator import Fidelity
from evaluators.fidelity.feature_metrics import (
    Finding,
    frechet_measure,
    infinity_measure,
    pairs_measure,
    scores,
    vendi_measure,
)
from evaluators.fidelity.frechet_at_infinity import FD_INFINITY
from evaluators.fidelity.frechet_distance import FD, FD_FLOOR, FD_PLAIN, RADIOMICS_DISTANCE
from evaluators.fidelity.metrics import OF_FEATURES
from evaluators.fidelity.reference import reference_of
from evaluators.fidelity.vendi import VENDI, VENDI_RATIO, VENDI_REAL

Names = Sequence[Any] | npt.NDArray[Any]
Measured = Callable[[Sides], Iterator[Finding]]


class Options(TypedDict, total=False):
    """What may be said of rows beside whose they are.

    Attributes:
        units: ``alike`` for the features of one network, ``different`` where columns measure different things, such as
            radiomics; not needed for rows that know it.
        fake_patients: whose each synthetic image is, where several belong together.
        reference: rows of training images, by which columns of different units are scaled; 50 at least, else the scale
            is that of the real rows, found anew in every fold. What chance does to ``fd`` is measured among them too.
        reference_patients: whose each of them is.
        k: which neighbour the ball of an image reaches to (default 5).
        folds: of patients, for the jackknife (default 20).
        seed: of random choices (default 0).
    """

    units: ColumnUnits | None
    fake_patients: Names | None
    reference: Rows | None
    reference_patients: Names | None
    k: int
    folds: int
    seed: int


class SetMetricFunction(Protocol):
    """A metric of two sets of features."""

    metric: Metric

    def __call__(
        self, real_rows: Rows, fake_rows: Rows, patients: Names | None = None, **options: Unpack[Options]
    ) -> Score:
        """The score of ``(N, D)`` real and ``(M, D)`` synthetic rows; ``patients`` says whose the real ones are.

        Raises:
            BenchError: rows that are no two sets of finite features of one encoder, or of unknown units; an option
                that there is not, or out of range.
        """
        ...


def sides_of(real_rows: Rows, fake_rows: Rows, patients: Names | None = None, **options: Unpack[Options]) -> Sides:
    """Two sets of rows as the evaluator has them, in an order that the rows themselves decide.

    Without names every image is of a patient of its own.

    Raises:
        BenchError: as ``SetMetricFunction``.
        Refused: no column varies over the reference.
    """
    _check_options(options)
    real, fake = (_checked(rows, which) for rows, which in ((real_rows, "real"), (fake_rows, "synthetic")))
    if real.shape[1] != fake.shape[1]:
        raise BenchError(f"real rows have {real.shape[1]} columns, synthetic ones {fake.shape[1]}: encode both alike")
    training = options.get("reference")
    units, encoder = _units((real_rows, fake_rows, () if training is None else training), options.get("units"))
    known, pools = _training(training, options.get("reference_patients"), real.shape[1])
    ours, whose = _in_order(real, patients, "real")
    theirs, of_whom = _in_order(fake, options.get("fake_patients"), "synthetic")
    count = min(options.get("folds", 20), len(set(whose)), len(set(of_whom)))
    clusters = Clusters.of(whose, count), Clusters.of(of_whom, count)
    members = Members("all", np.arange(len(ours)), np.arange(len(theirs)), *clusters)
    k, seed = options.get("k", 5), options.get("seed", 0)
    return Sides(encoder, (ours, theirs), members, k, seed, reference_of(known, units, pools))


def _check_options(options: Mapping[str, Any]) -> None:
    known = list(Options.__annotations__)
    for name in options:
        if name not in known:
            raise BenchError(f"there is no option {name!r}{did_you_mean(name, known)}, needed some of {known}")
    k, folds = options.get("k", 5), options.get("folds", 20)
    if not all(isinstance(each, int | np.integer) for each in (k, folds)):
        raise BenchError(f"k = {k!r} and folds = {folds!r}, needed whole numbers")
    Fidelity(k=int(k), folds=int(folds))  # refuses what a run refuses
    if options.get("reference") is None and options.get("reference_patients") is not None:
        raise BenchError("reference_patients without reference: they say whose the rows of reference are")


def _training(rows: Rows | None, patients: Names | None, columns: int) -> tuple[Rows, list[Pool]]:
    """Rows of training images, and what they are as a pool."""
    if rows is None:
        return np.zeros((0, columns), np.float32), []
    found = _checked(rows, "reference")
    if found.shape[1] != columns:
        raise BenchError(f"reference rows have {found.shape[1]} columns, real ones {columns}: encode both alike")
    found, whose = _in_order(found, patients, "reference")
    return found, [Pool(found, np.unique(np.asarray(whose), return_inverse=True)[1].reshape(-1))]


def _checked(rows: Rows, which: str) -> Rows:
    found = np.asarray(rows)
    if found.ndim != 2 or not len(found) or not found.shape[1] or found.dtype.kind not in "fiu":
        raise BenchError(f"{which} rows are {found.dtype} of shape {found.shape}, needed numbers (images, features)")
    found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise BenchError(f"{which} rows hold {int((~np.isfinite(found)).sum()):,} values that are not finite")
    return found


def _units(sets: Sequence[Any], stated: ColumnUnits | None) -> tuple[ColumnUnits, str]:
    """The units of the columns, and the encoder if the rows know it."""
    if stated is not None and stated not in get_args(ColumnUnits):
        raise BenchError(f"units = {stated!r}, needed one of {list(get_args(ColumnUnits))}")
    encoders = {name for rows in sets if (name := getattr(rows, "encoder_id", None))}
    if len(encoders) > 1:
        raise BenchError(f"the rows are of different encoders, {sorted(encoders)}: encode both sets alike")
    known = {units for rows in sets if (units := getattr(rows, "column_units", None))}
    if stated is not None and known - {stated}:
        raise BenchError(f"units = {stated!r}, but the encoder of the rows says {sorted(known)}: leave units out")
    if stated is None and not known:
        raise BenchError(
            "nobody says whether the columns of these rows have one unit: units='alike' for the features of one "
            "network, units='different' for radiomics and the like, or take the rows from bench.compare.encode, which "
            "knows"
        )
    return stated or known.pop(), next(iter(encoders), "rows")


def _in_order(rows: Rows, names: Names | None, which: str) -> tuple[Rows, list[str]]:
    """Rows and whose they are, sorted by content: processes may hand them in as they come."""
    if names is not None and len(names) != len(rows):
        raise BenchError(f"{len(names)} patients of {len(rows)} {which} rows, needed one of each")
    contents = [hashlib.sha256(row.tobytes()).hexdigest() for row in np.ascontiguousarray(rows)]
    whose = [str(name) for name in names] if names is not None else contents
    order: Indices = np.array(sorted(range(len(rows)), key=lambda place: (whose[place], contents[place])), np.int64)
    found = [whose[place] for place in order.tolist()]
    return rows[order], found if names is not None else _apart(found)


def _apart(names: Sequence[str]) -> list[str]:
    """Equal names with a number, for equal images without names may be of different patients."""
    seen: dict[str, int] = {}
    apart = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        apart.append(f"{name}-{seen[name]}")
    return apart


def _function(metric: Metric, measure: Measured) -> SetMetricFunction:
    def measured(real_rows: Rows, fake_rows: Rows, patients: Names | None = None, **options: Unpack[Options]) -> Score:
        try:
            sides = sides_of(real_rows, fake_rows, patients, **options)
            return next(score for score in scores(sides, (metric,), (measure,)) if score.metric == metric.key)
        except Refused as refusal:  # columns that do not vary, as in the evaluator
            encoder = _units((real_rows, fake_rows), options.get("units"))[1]
            return metric.refused(str(refusal), n=min(len(real_rows), len(fake_rows)), encoder=encoder)

    measured.__name__ = measured.__qualname__ = metric.key
    measured.__doc__ = f"{metric.title}, {metric.better} is better. {metric.summary} ({metric.reference})"
    measured.metric = metric  # type: ignore[attr-defined]
    return measured  # type: ignore[return-value]


_MEASURES: Mapping[Metric, Measured] = {
    **dict.fromkeys(OF_FEATURES, pairs_measure),
    **dict.fromkeys((FD, FD_PLAIN, FD_FLOOR), frechet_measure),
    **dict.fromkeys((VENDI, VENDI_REAL, VENDI_RATIO), vendi_measure),
    FD_INFINITY: infinity_measure,
    RADIOMICS_DISTANCE: log_distance,
}
FUNCTIONS: Mapping[str, SetMetricFunction] = {
    metric.key: _function(metric, measure) for metric, measure in _MEASURES.items()
}
radiomics_distance = FUNCTIONS["radiomics_distance"]
fd = FUNCTIONS["fd"]
fd_plain = FUNCTIONS["fd_plain"]
fd_floor = FUNCTIONS["fd_floor"]
fd_infinity = FUNCTIONS["fd_infinity"]
kid = FUNCTIONS["kid"]
cmmd = FUNCTIONS["cmmd"]
cmmd_published = FUNCTIONS["cmmd_published"]
precision = FUNCTIONS["precision"]
recall = FUNCTIONS["recall"]
density = FUNCTIONS["density"]
coverage = FUNCTIONS["coverage"]
clipped_density = FUNCTIONS["clipped_density"]
clipped_coverage = FUNCTIONS["clipped_coverage"]
alpha_precision = FUNCTIONS["alpha_precision"]
beta_recall = FUNCTIONS["beta_recall"]
vendi = FUNCTIONS["vendi"]
vendi_real = FUNCTIONS["vendi_real"]
vendi_ratio = FUNCTIONS["vendi_ratio"]


def authenticity(train_rows: Rows, fake_rows: Rows, units: ColumnUnits | None = None) -> Score:
    """The share of synthetic images that lie no nearer to a training image than this one to another; see its metric.

    Raises:
        BenchError: as ``SetMetricFunction``.
    """
    sides = sides_of(train_rows, fake_rows, units=units)
    place = Place(len(sides.fake), "all", sides.encoder)
    return place.score(AUTHENTICITY, *share_of_new(sides.fake, sides.real))
