"""The metrics of the privacy evaluator, each defined beside its mathematics but for the verdict, which needs all."""

from __future__ import annotations

from bench.api import Metric
from evaluators.privacy.membership_inference import DISTANCE_RATIO, MIA_AUC, MIA_TPR
from evaluators.privacy.patient_permutation import DETECTABLE, EXCESS, TAIL_P

NOT_SEEN = "copies that do not stand out (re-posed, blended, parts of a picture) are not seen by it"

LEAK_FOUND = Metric(
    key="leak_found",
    title="Leak",
    better="neither",
    reference="Phipson & Smyth 2010, 10.2202/1544-6115.1585",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Leak found: some images are exactly training images, or training patients own more of the closest images "
    f"than chance gives (tail test, p at most 0.05). Else no leak found by this test; {NOT_SEEN}. Coded 1 and 0.",
)
TAIL = (TAIL_P, EXCESS, DETECTABLE)
MEMBERSHIP = (DISTANCE_RATIO, *TAIL, MIA_AUC, MIA_TPR)
