"""The scores of the membership attack and of the distance ratio in one encoder's features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.api import Rows, Score, Spread
from bench.statistics.arrays import Integers
from bench.statistics.distances import nearest
from evaluators.privacy.closeness import Pool
from evaluators.privacy.honest_null import area_above
from evaluators.privacy.membership_inference import (
    DISTANCE_RATIO,
    MIA_AUC,
    MIA_TPR,
    Neighbours,
    auc_deviations,
    matched_ratio,
    neighbours_needed,
    patient_auc,
    tpr_at_fpr,
)
from evaluators.privacy.metrics import ABOVE_NULL
from evaluators.privacy.view import Near, View

FEWEST_FOR_TPR = 1000


def attack_scores(view: View, own: Near, null: Near | str, pool: Pool, rng: np.random.Generator) -> Iterator[Score]:
    """An attacker who believes that patients close to a synthetic image were in the training set.

    Args:
        null: the same of the test part, or why there is none.
    """
    images, member, n = len(own.close), pool.member, len(pool.owners)
    streams = rng.spawn(3)
    yield ratio_score(view, pool, streams[0])
    value, interval = patient_auc(-own.least, member, pool.names, streams[1])
    spread = Spread(auc_deviations(-own.least, member, pool.names, interval))
    yield replace(MIA_AUC(value, n=n, interval=interval, encoder=view.name), spread=spread)
    if isinstance(null, str):
        yield ABOVE_NULL.refused(null, n=n, encoder=view.name)
    else:
        above, around = area_above(own.least, null.least, member, streams[2])
        reason = f"{len(null.close)} images of the test part, {images} synthetic ones"
        yield ABOVE_NULL(above, n=n, interval=around, encoder=view.name, reason=reason)
    others = int((~member).sum())
    if others < FEWEST_FOR_TPR:
        reason = f"a false positive rate of 1% needs {FEWEST_FOR_TPR} holdout patients, got {others}"
        yield MIA_TPR.refused(reason, n=n, encoder=view.name)
        return
    value, interval, wrong = tpr_at_fpr(-own.least[member], -own.least[~member])
    reason = f"achieved false positive rate {wrong:.2%} on holdout patients whom the threshold was set without"
    yield MIA_TPR(value, n=n, interval=interval, encoder=view.name, reason=reason)


def ratio_score(view: View, pool: Pool, rng: np.random.Generator) -> Score:
    """The mean distance to the closest training image over that to the closest holdout image."""
    ours = pool.order < pool.trained
    counts = int(pool.member.sum()), int((~pool.member).sum())
    number = np.cumsum(pool.member) - 1, np.cumsum(~pool.member) - 1  # of each patient within his part

    def listed(rows: Rows, owners: Integers, patients: int) -> Neighbours:
        k = neighbours_needed(patients, min(counts), len(rows))
        distances, indices = nearest(view.synthetic, rows, k)
        return Neighbours(distances, owners[indices], patients)

    train = listed(view.pooled[ours], number[0][pool.owners[ours]], counts[0])
    holdout = listed(view.pooled[~ours], number[1][pool.owners[~ours]], counts[1])
    found = matched_ratio(train, holdout, rng)
    n = len(view.synthetic)
    if found is None:
        reason = "every distance to the holdout is 0 in these features, and nothing can be divided by it"
        return DISTANCE_RATIO.refused(reason, n=n, encoder=view.name)
    return DISTANCE_RATIO(found[0], n=n, interval=found[1], encoder=view.name)
