"""What the numbers of the fidelity evaluator mean."""

from __future__ import annotations

import math

from bench.api import Metric

FD = Metric(
    key="fd",
    title="Fréchet distance, bias removed",
    better="lower",
    reference="arXiv:1706.08500",
    role="headline",
    area="fidelity",
    minimum=100,
    summary=(
        "Squared distance between Gaussian fits of real and synthetic features, its bias removed by the jackknife: "
        "0 for a perfect generator at any number of independent images, and slightly negative by chance. Several "
        "images of a patient, and features scaled by the judged images (radiomics), leave a part of the bias."
    ),
)
FD_PLAIN = Metric(
    key="fd_plain",
    title="Fréchet distance, as in papers",
    better="lower",
    reference="arXiv:1706.08500",
    area="fidelity",
    minimum=100,
    summary=(
        "The usual plug-in value. It is too large, by fd_floor or more, so compare it only at equal n; it has no "
        "interval because one around it would miss the truth: see fd."
    ),
)
FD_FLOOR = Metric(
    key="fd_floor",
    title="Fréchet distance by chance, Gaussian",
    better="neither",
    reference="arXiv:1706.08500",
    role="describes",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=100,
    summary=(
        "For Gaussian features of independent images, the fd_plain to be expected at this n from images as good as "
        "real ones, to first order in 1/n: too low by a third when there are as many images as features, by a tenth at "
        "four times as many. Real images get more: 1.2 to 2.4 times as much was measured on chest radiographs."
    ),
)
KID = Metric(
    key="kid",
    title="Kernel distance",
    better="lower",
    reference="arXiv:1801.01401",
    role="headline",
    area="fidelity",
    minimum=50,
    summary=(
        "Squared distance of kernel means over all pairs, without bias for independent images: 0 for a perfect "
        "generator, and slightly negative by chance. Several images of a patient make it larger."
    ),
)
PRECISION = Metric(
    key="precision",
    title="Precision",
    better="higher",
    reference="arXiv:1904.06991",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of synthetic images that lie among the real ones; at this number of images, for it changes with it.",
)
RECALL = Metric(
    key="recall",
    title="Recall",
    better="higher",
    reference="arXiv:1904.06991",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of real images that lie among the synthetic ones; at this number of images, for it changes with it.",
)
DENSITY = Metric(
    key="density",
    title="Density",
    better="higher",
    reference="arXiv:2002.09797",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="How thickly synthetic images lie where real ones are: about 1 for a perfect generator, or above; at this "
    "number of images, for it changes with it.",
)
COVERAGE = Metric(
    key="coverage",
    title="Coverage",
    better="higher",
    reference="arXiv:2002.09797",
    role="headline",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of real images with a synthetic one nearby; about 0.97 at best for 5 neighbours and equal n.",
)
MS_SSIM = Metric(
    key="ms_ssim",
    title="Similarity among synthetic images (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="Mean structural similarity of random pairs of synthetic images; 1 means all are the same picture.",
)
MS_SSIM_REAL = Metric(
    key="ms_ssim_real",
    title="Similarity among real images (MS-SSIM)",
    better="neither",
    reference="arXiv:1610.09585",
    role="describes",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="The same of test images of different patients: what ms_ssim should be near to.",
)
MS_SSIM_GAP = Metric(
    key="ms_ssim_gap",
    title="Diversity gap (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="How far ms_ssim is from ms_ssim_real, in either direction: too uniform or too varied.",
)

FD_INFINITY = Metric(
    key="fd_infinity",
    title="Fréchet distance at infinite n",
    better="lower",
    reference="arXiv:1911.07023",
    area="fidelity",
    minimum=200,
    summary=(
        "Fréchet distance read off a line through its values at half to all of the images of both sides: another way "
        "than fd to be rid of the bias, with more noise, and the one other papers take."
    ),
)
FRD = Metric(
    key="frd",
    title="Fréchet radiomics distance",
    better="lower",
    reference="arXiv:2412.01496",
    area="fidelity",
    minimum=100,
    summary=(
        "Natural logarithm of the plain squared Fréchet distance of standardised radiomics: the formula of the "
        "authors' code (their equation takes the root first, which is half of this) on other features than theirs. "
        "Here: those of the encoder named above, for radiomics 90 by the IBSI definitions with grey levels in bins of "
        "8; there: 394 of pyradiomics on normalised, resampled images. Compare at equal n and in one encoder only."
    ),
)
CMMD = Metric(
    key="cmmd",
    title="Gaussian kernel distance, bias removed",
    better="lower",
    reference="arXiv:2401.09603",
    area="fidelity",
    minimum=50,
    summary=(
        "1000 times the squared distance of means under a Gaussian kernel on features of length 1, over all pairs of "
        "different images: 0 for a perfect generator, slightly negative by chance, and blind to what only makes "
        "features longer or shorter."
    ),
)
CMMD_PUBLISHED = Metric(
    key="cmmd_published",
    title="Gaussian kernel distance, as in papers",
    better="lower",
    reference="arXiv:2401.09603",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="The same with every image paired with itself too, hence too large: see cmmd.",
)
CLIPPED_DENSITY = Metric(
    key="clipped_density",
    title="Clipped density",
    better="higher",
    reference="arXiv:2507.01761",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Density without the pull of outliers: reads as the share of synthetic images that look real.",
)
CLIPPED_COVERAGE = Metric(
    key="clipped_coverage",
    title="Clipped coverage",
    better="higher",
    reference="arXiv:2507.01761",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Coverage on the scale of the share of synthetic images that, being good, would cover as much.",
)
ALPHA_PRECISION = Metric(
    key="alpha_precision",
    title="Alpha-precision",
    better="higher",
    reference="arXiv:2102.08921",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "How evenly synthetic images fill the shells that hold equal shares of the real ones around their centre; "
        "chance alone takes 0.04 off a perfect generator at 512 images a side."
    ),
)
BETA_RECALL = Metric(
    key="beta_recall",
    title="Beta-recall",
    better="higher",
    reference="arXiv:2102.08921",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="How evenly real images, from typical to rare, have a synthetic one nearby; about 0.95 at best.",
)
AUTHENTICITY = Metric(
    key="authenticity",
    title="Authenticity",
    better="higher",
    reference="arXiv:2102.08921",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "Share of synthetic images further from their nearest training image than that is from the next. "
        "Unseen real images score well below 1 too: compare with the holdout control."
    ),
)
VENDI = Metric(
    key="vendi",
    title="Vendi score of synthetic images",
    better="higher",
    reference="arXiv:2210.02410",
    area="fidelity",
    bounds=(1.0, math.inf),
    minimum=50,
    summary="How many entirely different images the synthetic set amounts to; it grows with n, and noise has most.",
)
VENDI_REAL = Metric(
    key="vendi_real",
    title="Vendi score of real images",
    better="neither",
    reference="arXiv:2210.02410",
    role="describes",
    area="fidelity",
    bounds=(1.0, math.inf),
    minimum=50,
    summary="The same of equally many test images: what vendi should be near to.",
)
VENDI_RATIO = Metric(
    key="vendi_ratio",
    title="Vendi score, synthetic over real",
    better="target",
    target=1.0,
    reference="arXiv:2210.02410",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="vendi over vendi_real at equal numbers of images: below 1 too uniform, above 1 too varied.",
)
INCEPTION_SCORE = Metric(
    key="inception_score",
    title="Inception score",
    better="higher",
    reference="arXiv:1606.03498",
    area="fidelity",
    bounds=(1.0, math.inf),
    minimum=500,
    summary=(
        "Whether a classifier of photographs is sure of each synthetic image and finds many classes among them; says "
        "little about images of one organ, and never looks at a real one."
    ),
)
SPECTRUM_DISTANCE = Metric(
    key="spectrum_distance",
    title="Spectrum distance",
    better="lower",
    reference="arXiv:2003.01826",
    area="fidelity",
    minimum=50,
    unit="dB²",
    summary=(
        "Mean squared difference of the mean power spectra, bias removed: 0 for a perfect generator, slightly negative "
        "by chance; large for blurred, noisy or patterned images."
    ),
)
SPECTRAL_SLOPE_GAP = Metric(
    key="spectral_slope_gap",
    title="Spectral slope gap",
    better="target",
    target=0.0,
    reference="arXiv:2003.01826",
    area="fidelity",
    minimum=50,
    summary="Slope of the power spectrum of synthetic less that of test images: below 0 smoother, above 0 grainier.",
)
LPIPS = Metric(
    key="lpips",
    title="Perceptual distance among synthetic images (LPIPS)",
    better="higher",
    reference="arXiv:1801.03924",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=20,
    summary="Mean LPIPS over all pairs of synthetic images; 0 means all are the same picture.",
)
LPIPS_REAL = Metric(
    key="lpips_real",
    title="Perceptual distance among real images (LPIPS)",
    better="neither",
    reference="arXiv:1801.03924",
    role="describes",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=20,
    summary="The same of test images of different patients: what lpips should be near to.",
)
ALIGNMENT = Metric(
    key="alignment",
    title="Image-text alignment",
    better="higher",
    reference="arXiv:2104.08718",
    area="fidelity",
    bounds=(-2.0, 2.0),
    minimum=50,
    summary=(
        "Mean cosine between synthetic images and their own prompts less that between them and other prompts: 0 if the "
        "prompts are ignored."
    ),
)
ALIGNMENT_REAL = Metric(
    key="alignment_real",
    title="Image-text alignment of real images",
    better="neither",
    reference="arXiv:2104.08718",
    role="ceiling",
    area="fidelity",
    ceiling_of="alignment",
    bounds=(-2.0, 2.0),
    minimum=50,
    summary="The same of test images and their own prompts: as much as the encoder can tell.",
)

# In the features of every encoder made to judge likeness, overall and by group.
OF_FEATURES = (
    FD,
    FD_PLAIN,
    FD_FLOOR,
    KID,
    CMMD,
    CMMD_PUBLISHED,
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    CLIPPED_DENSITY,
    CLIPPED_COVERAGE,
    ALPHA_PRECISION,
    BETA_RECALL,
    VENDI,
    VENDI_REAL,
    VENDI_RATIO,
)
# In the same features over all images only.
OVERALL = (FD_INFINITY,)
# In encoders that have what it takes, over all images.
OF_SOME = (
    FRD,
    AUTHENTICITY,
    INCEPTION_SCORE,
    SPECTRUM_DISTANCE,
    SPECTRAL_SLOPE_GAP,
    LPIPS,
    LPIPS_REAL,
    ALIGNMENT,
    ALIGNMENT_REAL,
)
# Of the images themselves.
OF_PIXELS = (MS_SSIM, MS_SSIM_REAL, MS_SSIM_GAP)
