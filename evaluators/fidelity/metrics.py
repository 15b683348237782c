"""The metrics of the fidelity evaluator, each defined beside its mathematics, by what they are measured on."""

from __future__ import annotations

from evaluators.fidelity.alpha_precision import ALPHA_PRECISION, AUTHENTICITY, BETA_RECALL
from evaluators.fidelity.clipped_density_coverage import CLIPPED_COVERAGE, CLIPPED_DENSITY
from evaluators.fidelity.cmmd import CMMD, CMMD_PUBLISHED
from evaluators.fidelity.frechet_at_infinity import FD_INFINITY
from evaluators.fidelity.frechet_distance import FD, FD_FLOOR, FD_PLAIN, FRD, RADIOMICS_DISTANCE
from evaluators.fidelity.inception_score import INCEPTION_SCORE
from evaluators.fidelity.kernel_distance import KID
from evaluators.fidelity.ms_ssim import MS_SSIM, MS_SSIM_GAP, MS_SSIM_REAL
from evaluators.fidelity.perceptual_diversity import LPIPS, LPIPS_REAL
from evaluators.fidelity.prdc import COVERAGE, DENSITY, PRECISION, RECALL
from evaluators.fidelity.spectral_distance import SPECTRAL_SLOPE_GAP, SPECTRUM_DISTANCE
from evaluators.fidelity.text_alignment import ALIGNMENT, ALIGNMENT_REAL
from evaluators.fidelity.vendi import VENDI, VENDI_RATIO, VENDI_REAL

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
    RADIOMICS_DISTANCE,
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
