"""Image-text alignment against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fidelity.cmmd import unit
from evaluators.fidelity.text_alignment import alignment


def by_definition(images: np.ndarray, texts: np.ndarray, which: np.ndarray) -> float:
    cosines = unit(images) @ unit(texts)[which].T
    own = np.equal.outer(which, which)
    return float(np.diag(cosines).mean() - cosines[~own].mean())


def test_equals_its_definition_with_repeated_texts() -> None:
    rng = np.random.default_rng(0)
    images, texts = (rng.normal(size=(n, 7)).astype(np.float32) for n in (60, 9))
    which, folds = rng.integers(0, 9, 60), np.arange(60) % 10
    found = alignment(images, texts, which, folds)
    assert found.value == pytest.approx(by_definition(images, texts, which), rel=1e-9)
    left = np.array([by_definition(images[folds != g], texts, which[folds != g]) for g in range(10)])
    assert found.se == pytest.approx(np.sqrt(0.9 * np.square(left - left.mean()).sum()), rel=1e-9)


def test_an_offset_common_to_all_texts_does_not_count() -> None:
    rng = np.random.default_rng(1)
    texts = rng.normal(size=(20, 6)).astype(np.float32) + 3
    which = np.arange(200) % 20
    deaf = rng.normal(size=(200, 6)).astype(np.float32) + 3
    hearing = texts[which] + rng.normal(size=(200, 6)).astype(np.float32) * 0.3
    folds = rng.permutation(200) % 20
    low, high = alignment(deaf, texts, which, folds).interval
    assert low < 0 < high
    assert alignment(hearing, texts, which, folds).interval[0] > 0.02
