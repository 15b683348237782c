"""What each privacy figure means."""

from __future__ import annotations

import math

from bench.api import Metric

FEWEST_IMAGES = 500
NOT_SEEN = "copies that do not stand out (re-posed, blended, parts of a picture) are not seen by it"

DUPLICATES = Metric(
    key="duplicates",
    title="Exact copies",
    better="lower",
    reference="SHA-256 of decoded pixels",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of the synthetic images whose pixels are exactly those of a training image.",
)
NEAR_DUPLICATES = Metric(
    key="near_duplicates",
    title="Near copies",
    better="lower",
    reference="dHash (Krawetz 2013), normalised cross-correlation",
    role="headline",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of the synthetic images more alike a training image than any holdout image is, flips and quarter "
    "turns included.",
)
NEAR_DUPLICATES_HOLDOUT = Metric(
    key="near_duplicates_holdout",
    title="Near copies of holdout (control)",
    better="neither",
    reference="dHash (Krawetz 2013), normalised cross-correlation",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="The same search among holdout images, which the generator never saw: what chance and low diversity give.",
)
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
DISTANCE_RATIO = Metric(
    key="nn_distance_ratio",
    title="Distance to train / holdout",
    better="target",
    target=1.0,
    reference="10.1038/s41551-025-01468-8",
    area="privacy",
    bounds=(0.0, math.inf),
    summary="Mean distance from a synthetic image to the closest training image over that to the closest holdout "
    "image, among equally many patients; below 1 means drawn towards training patients.",
)
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
TAIL_P = Metric(
    key="tail_p",
    title="Tail test, p",
    better="neither",
    reference="Phipson & Smyth 2010, 10.2202/1544-6115.1585",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="p-value, corrected for the number of encoders, of training patients owning as many of the closest "
    "synthetic images as they do. A large one is no evidence of safety: a weak test gives large ones too.",
)
EXCESS = Metric(
    key="excess_copy_share",
    title="Excess among the closest images",
    better="neither",
    reference="Korn & Graubard 1998 (interval)",
    role="describes",
    area="privacy",
    bounds=(-math.inf, 1.0),
    minimum=FEWEST_IMAGES,
    summary="How many more of the closest synthetic images belong to training patients than chance gives, as a share "
    "of all synthetic images. Copies that are not among the closest are not in it, nor below its upper end.",
)
DETECTABLE = Metric(
    key="detectable_leak",
    title="Standing-out copies needed (design)",
    better="neither",
    reference="simulation of planted copies",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="A design figure: smallest share of copies, planted much closer to training images than anything else, "
    "that the tail test finds in 80% of trials in these features alone. Of other copies far more are missed.",
)
MIA_AUC = Metric(
    key="mia_auc",
    title="Membership inference, AUC",
    better="lower",
    reference="10.1145/3372297.3417238",
    role="headline",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="How well an attacker who measures the distance to the closest synthetic image tells training from "
    "holdout patients: 0.5 is chance, and less gives nobody of the training set away.",
)
MIA_TPR = Metric(
    key="mia_tpr",
    title="Membership inference, TPR at 1% FPR",
    better="target",
    target=0.01,
    reference="arXiv:2112.03570",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of training patients the same attacker names while accusing one holdout patient in a hundred.",
)
TAIL = (TAIL_P, EXCESS, DETECTABLE)
MEMBERSHIP = (DISTANCE_RATIO, *TAIL, MIA_AUC, MIA_TPR)
