from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.feature import graycomatrix, graycoprops

from bench.api import BenchError
from evaluators.encoders.radiomics import (
    compression,
    cooccurrence,
    dependence,
    first_order,
    run_lengths,
    tone_differences,
)
from evaluators.encoders.radiomics.compression import column_name
from evaluators.encoders.radiomics.encoder import FAMILIES, TEXTURES, Radiomics, fixed_bin_number, fixed_bin_size
from evaluators.encoders.radiomics.image_filters import COIFLET_1, filtered, high_pass
from tests.evaluators.encoders.radiomics import slow_radiomics as slow

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
DEFAULT = {"original": [*FAMILIES], "log_1": ["first_order"]}
# The worked example of the pyradiomics documentation.
EXAMPLE = np.array([[5, 2, 5, 4, 4], [3, 3, 3, 1, 3], [2, 1, 1, 1, 3], [4, 2, 2, 2, 3], [3, 5, 3, 3, 2]], np.uint8)
# The digital phantom of IBSI, slice by slice; 0 is outside its region of interest.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    """Five images of 9x13 pixels with few levels, so that runs and zones are long; the last has all levels."""
    rng = np.random.default_rng(3)
    blotches = ndimage.uniform_filter(rng.random((4, 9, 13)), (0, 3, 3))
    quantised = fixed_bin_number(blotches, 5)
    return np.concatenate([quantised, rng.integers(0, 8, (1, 9, 13), dtype=np.uint8)])


@pytest.fixture(scope="module")
def smooth() -> np.ndarray:
    rng = np.random.default_rng(4)
    noise = ndimage.gaussian_filter(rng.standard_normal((64, 64, 64)), (0, 2, 2))
    return np.clip(128 + 300 * noise, 0, 255).astype(np.uint8)


def test_first_order_agrees_with_numpy_and_scipy(smooth: np.ndarray) -> None:
    binned = fixed_bin_size(smooth, 32)
    rows = first_order.first_order(smooth.astype(float), binned, 32)
    for image, level, row in zip(smooth[:5], binned[:5], rows[:5], strict=True):
        x = image.astype(float).ravel()
        got = dict(zip(first_order.NAMES, row, strict=True))
        p10, p25, p50, p75, p90 = np.percentile(x, (10, 25, 50, 75, 90))
        core = x[(x >= p10) & (x <= p90)]
        share = np.bincount(level.ravel()) / x.size
        want = {
            "mean": x.mean(),
            "variance": x.var(),
            "skewness": stats.skew(x),
            "excess_kurtosis": stats.kurtosis(x),
            "median": p50,
            "minimum": x.min(),
            "percentile_10": p10,
            "percentile_90": p90,
            "maximum": x.max(),
            "interquartile_range": p75 - p25,
            "mean_absolute_deviation": np.abs(x - x.mean()).mean(),
            "robust_mean_absolute_deviation": np.abs(core - core.mean()).mean(),
            "median_absolute_deviation": np.abs(x - p50).mean(),
            "root_mean_square": np.sqrt((x**2).mean()),
            "entropy": stats.entropy(share, base=2),
            "uniformity": (share**2).sum(),
        }
        assert got == pytest.approx(want, rel=1e-9)


def test_cooccurrence_matrices_agree_with_skimage(levels: np.ndarray) -> None:
    angles = [0, np.pi / 2, -np.pi / 4, np.pi / 4]
    for image, mine in zip(levels, cooccurrence.cooccurrence(levels, 8), strict=True):
        theirs = graycomatrix(image, [1], angles, levels=8, symmetric=True, normed=True)[:, :, 0]
        by_direction = [mine[0], mine[1]], [theirs[..., 0], theirs[..., 1]]
        np.testing.assert_allclose(by_direction[0], by_direction[1], atol=1e-12)
        diagonals = sorted((theirs[..., 2].tolist(), theirs[..., 3].tolist()))
        np.testing.assert_allclose(sorted((mine[2].tolist(), mine[3].tolist())), diagonals, atol=1e-12)
        features = dict(zip(cooccurrence.NAMES, cooccurrence.pair_features(mine).T, strict=True))
        across = theirs[:, :, None, :1]
        assert features["contrast"][0] == pytest.approx(graycoprops(across, "contrast")[0, 0])
        assert features["correlation"][0] == pytest.approx(graycoprops(across, "correlation")[0, 0])
        assert features["inverse_difference_moment"][0] == pytest.approx(graycoprops(across, "homogeneity")[0, 0])


def test_cooccurrence_features_agree_with_loops(levels: np.ndarray) -> None:
    for image, row in zip(levels, cooccurrence.cooccurrence_features(levels, 8), strict=True):
        tables = [slow.pair_features(slow.pair_table(image + 1, step), 8) for step in STEPS]
        want = [np.mean([table[name] for table in tables]) for name in cooccurrence.NAMES]
        np.testing.assert_allclose(row, want, rtol=1e-9, atol=1e-12)


def test_run_features_agree_with_loops(levels: np.ndarray) -> None:
    for image, row in zip(levels, run_lengths.run_features(levels, 8), strict=True):
        tables = [slow.size_features(slow.run_table(image + 1, step), image.size) for step in STEPS]
        np.testing.assert_allclose(row, np.mean(tables, axis=0), rtol=1e-9, atol=1e-12)


def test_zone_features_agree_with_loops(levels: np.ndarray) -> None:
    for image, row in zip(levels, run_lengths.zone_features(levels, 8), strict=True):
        want = slow.size_features(slow.zone_table(image + 1), image.size)
        np.testing.assert_allclose(row, want, rtol=1e-9, atol=1e-12)


def test_tone_features_agree_with_loops(levels: np.ndarray) -> None:
    for image, row in zip(levels, tone_differences.tone_features(levels, 8), strict=True):
        np.testing.assert_allclose(row, slow.tone_features(image + 1), rtol=1e-9, atol=1e-12)


def test_dependence_features_agree_with_loops(levels: np.ndarray) -> None:
    for image, row in zip(levels, dependence.dependence_features(levels, 8), strict=True):
        want = slow.dependence_features(image + 1)
        assert tuple(want) == dependence.NAMES
        np.testing.assert_allclose(row, [*want.values()], rtol=1e-9, atol=1e-12)


def test_the_loops_give_the_published_dependence_features_of_the_phantom() -> None:
    """IBSI reference values, by slice and averaged, to their three digits."""
    slices = [slow.dependence_features(one) for one in PHANTOM]
    mean = {name: np.mean([features[name] for features in slices]) for name in dependence.NAMES}
    published = {
        "low_dependence_emphasis": 0.158,
        "high_dependence_emphasis": 19.2,
        "low_grey_level_count_emphasis": 0.702,
        "high_grey_level_count_emphasis": 7.49,
        "low_dependence_low_grey_level_emphasis": 0.0473,
        "low_dependence_high_grey_level_emphasis": 3.06,
        "high_dependence_low_grey_level_emphasis": 17.6,
        "high_dependence_high_grey_level_emphasis": 49.5,
        "normalised_dependence_count_non_uniformity": 0.212,
        "grey_level_variance": 2.7,
        "dependence_count_variance": 2.73,
        "dependence_count_entropy": 2.71,
        "dependence_count_energy": 0.17,
    }
    assert mean == pytest.approx(published, rel=3e-3)


def test_published_dependence_matrix() -> None:
    """Of the same worked example: dependences of 1 to 4 of the levels 1 to 5."""
    counts = dependence.dependence_shares(EXAMPLE[None] - 1, 5)[0] * 25
    published = [[0, 1, 2, 1], [1, 2, 3, 0], [1, 4, 4, 0], [1, 2, 0, 0], [3, 0, 0, 0]]
    np.testing.assert_allclose(counts[:, :4], published)
    assert counts[:, 4:].sum() == 0


def test_published_run_and_zone_matrices() -> None:
    example = EXAMPLE[None] - 1
    counts, lengths = run_lengths.tabulate(run_lengths.runs(example), 4, 5)
    assert lengths[:3].tolist() == [1, 2, 3]
    across = [[1, 0, 1], [3, 0, 1], [4, 1, 1], [1, 1, 0], [3, 0, 0]]
    assert counts[0, :, :3].tolist() == across
    assert counts[0, :, 3:].sum() == 0
    zones, sizes = run_lengths.tabulate(run_lengths.zones(example), 1, 5)
    assert sizes.tolist() == [1, 2, 3, 4, 5]
    published = [[0, 0, 0, 1, 0], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 1, 0, 0, 0], [3, 0, 0, 0, 0]]
    assert zones[0].tolist() == published


def test_coarseness_of_a_flat_image_is_just_over_the_most_of_any_other() -> None:
    corner = np.zeros((1, 64, 64), np.uint8)
    corner[0, 0, 0] = 1
    flat = np.zeros((1, 64, 64), np.uint8)
    nearly, most = (tone_differences.tone_features(image, 32)[0, 0] for image in (corner, flat))
    assert 1.9 < nearly < most == tone_differences.FLAT_COARSENESS


def test_coiflet_is_orthonormal_and_filters_keep_their_promise(smooth: np.ndarray) -> None:
    low, high = COIFLET_1, high_pass(COIFLET_1)
    for one, other, product in ((low, low, 1), (high, high, 1), (low, high, 0)):
        assert one @ other == pytest.approx(product, abs=1e-9)
    assert low[2:] @ low[:-2] == pytest.approx(0, abs=1e-9)
    assert high.sum() == pytest.approx(0, abs=1e-9)
    assert low.sum() == pytest.approx(np.sqrt(2))
    stripes = np.zeros((1, 32, 32), np.uint8)
    stripes[:, :, ::2] = 200
    assert np.abs(filtered(stripes, "wavelet_hl")).mean() > 50
    assert np.abs(filtered(stripes, "wavelet_lh")).max() < 1e-5
    reference = 4 * ndimage.gaussian_laplace(smooth[0].astype(float), 2)
    np.testing.assert_allclose(filtered(smooth[:1], "log_2")[0], reference, atol=1e-5)


@pytest.mark.parametrize("name", ["log_1", "log_3", "wavelet_ll", "wavelet_hh"])
def test_flat_images_give_finite_features(name: str) -> None:
    grey = np.stack([np.full((16, 16), value, np.uint8) for value in (0, 7, 255)])
    rows = Radiomics({"original": [*FAMILIES], name: [*FAMILIES]})(grey)
    assert np.isfinite(rows).all()
    alone = Radiomics({name: [*FAMILIES]})
    named = dict(zip(alone.radiomic_features, rows[0, -alone.dim :], strict=True))
    assert named[f"{name}_first_order_entropy"] == 0
    assert named[f"{name}_size_zone_zone_percentage"] == pytest.approx(1 / 256)


def test_default_set_has_its_promised_shape(smooth: np.ndarray) -> None:
    encoder = Radiomics(DEFAULT)
    rows = encoder(smooth)
    assert rows.shape == (64, encoder.dim) == (64, 72)
    assert rows.dtype == np.float32
    assert len(set(encoder.radiomic_features)) == encoder.dim
    assert encoder.radiomic_features[0] == "original_first_order_mean"
    assert (rows.std(axis=0)[2:5] > 0).all()


def test_a_heavy_tailed_feature_is_a_column_as_its_logarithm(smooth: np.ndarray) -> None:
    """By the formulas of the features, whatever the set of images; nothing is learned from data."""
    families = {
        "cooccurrence": ("cluster_shade", lambda x: np.sign(x) * np.log1p(np.abs(x))),
        "size_zone": ("low_grey_level_zone_emphasis", lambda x: np.log1p(32**2 * x)),
        "dependence": ("dependence_count_energy", np.log),
        "run_length": ("short_runs_emphasis", lambda x: x),
    }
    binned = fixed_bin_size(smooth[:8], 32)
    for family, (feature, formula) in families.items():
        encoder = Radiomics({"original": [family]})
        name = column_name(feature)
        assert name == ("" if feature == "short_runs_emphasis" else "logarithm_of_") + feature
        raw = TEXTURES[family][1](binned, 32)[:, FAMILIES[family].index(feature)]
        column = encoder(smooth[:8])[:, encoder.radiomic_features.index(f"original_{family}_{name}")]
        np.testing.assert_allclose(column, formula(raw), rtol=1e-6)


def test_names_of_the_rule_are_features() -> None:
    """A misspelt name would silently leave a tail as it is or keep a copy of a column."""
    features = {name for names in FAMILIES.values() for name in names}
    assert features >= compression.COMPRESSED
    for family, names in compression.LEFT_OUT.items():
        assert set(FAMILIES[family]) >= names
        assert not names & compression.COMPRESSED - {"grey_level_variance"}


def test_noise_in_the_background_is_not_told_by_one_column() -> None:
    """Joint emphases of short runs and small zones of low level took 53 and 18% of this distance: specks."""
    encoder, rng = Radiomics(DEFAULT), np.random.default_rng(0)
    clean, noisy = (encoder(discs(rng, noise)).astype(np.float64) for noise in (0, 10))
    spread = clean.std(axis=0)
    gap = ((clean - noisy).mean(axis=0) / np.where(spread == 0, 1, spread)) ** 2
    assert (gap / gap.sum()).max() < 0.4


def discs(rng: np.random.Generator, noise: float) -> np.ndarray:
    """150 textured discs on black, with noise of that SD all over."""
    down, across = np.mgrid[:32, :32] / 31 - 0.5
    texture = 300 * ndimage.gaussian_filter(rng.standard_normal((150, 32, 32)), (0, 2, 2))
    inside = np.hypot(down, across) < rng.uniform(0.3, 0.45, (150, 1, 1))
    grey = np.where(inside, 130 + texture, 0) + noise * rng.standard_normal((150, 32, 32))
    return np.clip(grey, 0, 255).astype(np.uint8)


def test_rows_do_not_depend_on_their_neighbours(smooth: np.ndarray) -> None:
    encoder = Radiomics(DEFAULT)
    rows = encoder(smooth[:20])
    np.testing.assert_allclose(encoder(smooth[12:13])[0], rows[12], rtol=1e-5)
    np.testing.assert_array_equal(encoder(smooth[:20]), rows)


def test_smoothing_shows_in_texture(smooth: np.ndarray) -> None:
    encoder = Radiomics(DEFAULT)
    rng = np.random.default_rng(0)
    noisy = np.clip(smooth[:20] + rng.normal(0, 20, (20, 64, 64)), 0, 255).astype(np.uint8)
    before, after = encoder(noisy), encoder(ndimage.uniform_filter(noisy, (0, 3, 3)))
    for name, sign in (
        ("original_cooccurrence_logarithm_of_contrast", -1),
        ("original_run_length_run_percentage", -1),
        ("original_size_zone_logarithm_of_zone_size_variance", 1),
        ("log_1_first_order_logarithm_of_variance", -1),
    ):
        column = encoder.radiomic_features.index(name)
        assert (sign * (after[:, column] - before[:, column]) > 0).all()


def test_the_id_names_all_that_decides_a_row() -> None:
    ids = {
        Radiomics(DEFAULT).id,
        Radiomics(DEFAULT, levels=16).id,
        Radiomics({"original": ["first_order"]}).id,
        Radiomics({"original": ["cooccurrence"]}).id,
        Radiomics({"log_1": ["first_order"]}).id,
    }
    assert len(ids) == 5
    assert Radiomics(DEFAULT).id == Radiomics(DEFAULT).id


@pytest.mark.parametrize(
    ("images", "levels", "said"),
    [
        ({"original": ["shape"]}, 32, "shape"),
        ({"sharpened": ["first_order"]}, 32, "sharpened"),
        ({"wavelet_lx": ["first_order"]}, 32, "wavelet_lx"),
        ({"original": ["first_order"]}, 1, "levels=1"),
    ],
)
def test_wrong_settings_are_refused(images: dict[str, list[str]], levels: int, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        Radiomics(images, levels)


def test_one_pixel_high_images_are_refused() -> None:
    with pytest.raises(BenchError, match="2x2"):
        Radiomics(DEFAULT)(np.zeros((1, 1, 9), np.uint8))


def test_default_set_is_fast(smooth: np.ndarray) -> None:
    encoder = Radiomics(DEFAULT)
    encoder(smooth)
    began = time.process_time()
    encoder(smooth)
    assert (time.process_time() - began) / len(smooth) < 0.012
