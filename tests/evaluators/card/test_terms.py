"""Terms of the card against values known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluators.card.documents import filled_attributes
from evaluators.card.terms import Frame, balance, bin_divergence, variance_ratio
from tests.toy import INFO, image_set


@pytest.mark.parametrize(("ratio", "value"), [(1.0, 1.0), (0.5, 0.5), (2.0, 0.5), (4.0, 0.25), (0.0, 0.0), (-1.0, 0.0)])
def test_too_much_is_as_bad_as_too_little(ratio: float, value: float) -> None:
    assert balance(ratio) == value


def test_an_attribute_counts_only_where_it_is_stated(tmp_path: Path) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    levels = [{"level": level} for level in (1, 1, 1, None)]
    images = image_set([image] * 4, INFO, tmp_path / "set", labels=levels, attributes={"laterality": None})
    assert filled_attributes(images, ("level", "laterality")) == {"level": 0.75, "laterality": 0.0, "device": None}
    assert filled_attributes(images, ("laterality",)) == {"level": 0.0, "laterality": 0.0, "device": None}


def test_divergence_of_bins_is_zero_for_the_same_points_and_one_far_away() -> None:
    x = np.random.default_rng(0).normal(size=(400, 3))
    assert bin_divergence(x, x) == 0
    far = np.full((400, 3), 50.0) + x[:1]
    assert bin_divergence(x, far) > 0.7


def test_whitened_reference_has_unit_variance_and_a_half_as_wide_set_a_quarter() -> None:
    rows = (np.random.default_rng(1).normal(size=(300, 5)) * (1, 10, 100, 0.1, 5)).astype(np.float32)
    frame = Frame.fit(rows)
    x, y = frame(rows), frame(rows.mean(axis=0) + 0.5 * (rows - rows.mean(axis=0)))
    np.testing.assert_allclose(np.cov(x.T), np.eye(x.shape[1]), atol=1e-4)
    assert variance_ratio(x, y) == pytest.approx(0.25, rel=1e-3)
