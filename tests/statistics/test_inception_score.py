"""The inception score against torch-fidelity's formula and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.statistics.inception_score import inception_scores


@pytest.mark.parametrize("n", [100, 537])
def test_equals_torch_fidelity(n: int) -> None:
    reference = pytest.importorskip("torch_fidelity.metric_isc")
    logits = np.random.default_rng(0).normal(size=(n, 30)).astype(np.float32) * 3
    theirs = reference.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
    found = inception_scores(logits)
    assert found.mean() == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert found.std() == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_is_the_number_of_classes_when_sure_and_one_when_not() -> None:
    sure = np.where(np.eye(5)[np.arange(200) % 5] > 0, 60, 0).astype(np.float32)
    np.testing.assert_allclose(inception_scores(sure), 5)
    np.testing.assert_allclose(inception_scores(np.zeros((200, 5), np.float32)), 1)
