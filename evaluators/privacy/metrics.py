"""The metrics of the privacy evaluator that need all its parts; the others are defined beside their mathematics."""

from __future__ import annotations

import math

from bench.api import Metric
from evaluators.privacy.membership_inference import DISTANCE_RATIO, MIA_AUC, MIA_TPR

FEWEST_IMAGES = 500

LEAK_FOUND = Metric(
    key="leak_found",
    title="Leak",
    better="neither",
    reference="Phipson & Smyth 2010, 10.2202/1544-6115.1585",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Leak found: some images are exactly training images, or more are near copies of them than chance allows, "
    "or synthetic images prefer training patients by more than shuffled labels do in 95 of 100 splits. No leak found: "
    "neither, and planted copies of the kinds named would have been found from the share named on; of other kinds "
    "nothing is said. Else it cannot be told. Coded 1, 0 and none.",
)
LEAK_BOUND = Metric(
    key="leak_bound",
    title="Exact or recoloured copies, at most",
    better="neither",
    reference="Clopper & Pearson 1934; Korn & Graubard 1998",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="Upper 95% limit of the share of synthetic images that are exact, JPEG, brighter or gamma-changed copies "
    "of training images, the largest over these kinds; from copies of each kind planted in the same data.",
)
REPOSED_BOUND = Metric(
    key="leak_bound_reposed",
    title="Re-posed copies, at most",
    better="neither",
    reference="Clopper & Pearson 1934; Korn & Graubard 1998",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="The same of copies that are mirrored, rotated by 3 degrees, cropped by 5% or shifted by 1/32 of the "
    "width.",
)
COPYING_P = Metric(
    key="copying_p",
    title="Copying test, p",
    better="neither",
    reference="Phipson & Smyth 2010, 10.2202/1544-6115.1585; Lowe 2004 (ratio)",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="p-value, corrected for the number of encoders, of synthetic images standing out next to training patients "
    "as they do. Half of the 5% level is its. A large one is no evidence of safety: a weak test gives large ones too.",
)
EVIDENCE_P = Metric(
    key="evidence_p",
    title="All other tests, p",
    better="neither",
    reference="Westfall & Young 1993; Phipson & Smyth 2010, 10.2202/1544-6115.1585",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="p-value of the strongest of all other signs under the same shuffles: who owns the closest synthetic "
    "images, for tails from 1% to all, near copies, membership attack and distance ratio. Half of the 5% level is "
    "theirs.",
)
EXCESS = Metric(
    key="excess_copy_share",
    title="Excess among images that stand out",
    better="neither",
    reference="Korn & Graubard 1998 (interval)",
    role="describes",
    area="privacy",
    bounds=(-math.inf, 1.0),
    minimum=FEWEST_IMAGES,
    summary="How many more of the synthetic images that stand out next to one patient belong to training patients than "
    "chance gives, as a share of all synthetic images. Its upper end bounds nothing but those.",
)
ABOVE_NULL = Metric(
    key="mia_auc_above_null",
    title="Membership AUC above the test part's",
    better="lower",
    reference="10.1145/3372297.3417238",
    area="privacy",
    bounds=(-1.0, 1.0),
    summary="Area of the membership attack less that of the same attack on the real images of the test part, which "
    "nobody learned from: what the luck of the split gives every generator is left out.",
)
FALSE_ALARMS = Metric(
    key="split_false_alarms",
    title="False alarms on this split",
    better="neither",
    reference="simulation with halves of the test part",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of random halves of the test part, which holds no leak, that the copying tests and tails flag on "
    "this split. 5% at most is expected over splits; on one split all generators share its luck, and larger sets more "
    "of it.",
)
TESTED = (COPYING_P, EXCESS)
MEMBERSHIP = (DISTANCE_RATIO, *TESTED, MIA_AUC, ABOVE_NULL, MIA_TPR)
LIMITS = (LEAK_BOUND, REPOSED_BOUND)
