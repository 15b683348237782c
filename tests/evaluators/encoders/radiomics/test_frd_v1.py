from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, HasRadiomics, PublishedRadiomics
from evaluators.encoders.radiomics.encoder import FAMILIES, Radiomics
from evaluators.encoders.radiomics.frd_v1 import FrdV1
from evaluators.fidelity.frechet_distance import frechet
from tests.evaluators.encoders.radiomics import published_frd

NUMBERS_OF_PIXELS = {
    f"diagnostics_Mask-{of}_{what}" for of in ("original", "interpolated") for what in ("VoxelNum", "VolumeNum")
}


@pytest.fixture(scope="module")
def encoder() -> FrdV1:
    return FrdV1()


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads(published_frd.EXPECTED.read_text())


@pytest.mark.parametrize("name", [*published_frd.images()])
def test_columns_are_those_of_the_published_code(encoder: FrdV1, expected: dict[str, Any], name: str) -> None:
    """Kept values of frd-score 1.0.1, which need not be installed; rows are float32."""
    theirs = {key: value for key, value in expected["images"][name].items() if key not in NUMBERS_OF_PIXELS}
    assert len(expected["images"][name]) == 398 and encoder.dim == 394
    assert encoder.radiomic_features == tuple(theirs)
    row = encoder(published_frd.images()[name][None])[0]
    np.testing.assert_allclose(row, [*theirs.values()], rtol=1e-6, atol=1e-7)


def test_what_is_left_out_is_the_same_for_all_images_of_a_size(expected: dict[str, Any]) -> None:
    for name, image in published_frd.images().items():
        theirs = expected["images"][name]
        inside = (image.shape[0] // 2) * (image.shape[1] // 2)
        assert [theirs[key] for key in sorted(NUMBERS_OF_PIXELS)] == [1, inside, 1, image.size - 1], name


def test_kept_values_are_what_the_installed_published_code_gives(expected: dict[str, Any]) -> None:
    """Where it is installed: the file of ``published_frd`` says how."""
    pytest.importorskip("frd_score", reason="frd-score is not installed")
    pytest.importorskip("radiomics", reason="pyradiomics is not installed")
    for name, image in published_frd.images().items():
        assert published_frd.published(image) == pytest.approx(expected["images"][name], rel=1e-9, abs=1e-9)
    assert published_frd.published_distance(*published_frd.sets()) == pytest.approx(expected["distance"], rel=1e-6)


def test_the_distance_of_two_sets_is_the_published_one(encoder: FrdV1, expected: dict[str, Any]) -> None:
    """Columns in units of the first set's standard deviation, those without one left out; log of the squared FD."""
    first, second = (encoder(images).astype(np.float64) for images in published_frd.sets())
    spread = first.std(axis=0)
    kept = spread > 0
    scaled = [(rows - first.mean(axis=0))[:, kept] / spread[kept] for rows in (first, second)]
    assert np.log(frechet(*scaled)) == pytest.approx(expected["distance"], rel=1e-6)


def test_only_this_encoder_claims_to_be_published(encoder: FrdV1) -> None:
    ours = Radiomics({"original": [*FAMILIES]})
    assert isinstance(encoder, HasRadiomics) and isinstance(ours, HasRadiomics)
    assert isinstance(encoder, PublishedRadiomics) and not isinstance(ours, PublishedRadiomics)
    assert encoder.published_as == "frd-score 1.0.1, FRD v1"


def test_the_id_names_the_libraries_that_decide_a_bin(encoder: FrdV1) -> None:
    assert encoder.id.startswith("frd_v1-1 SimpleITK=") and "PyWavelets=" in encoder.id


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(BenchError, match=r"pywt.* is not installed: pip install 'medical-image-bench\[frd\]'"):
        FrdV1()


@pytest.mark.parametrize("size", [(3, 64), (64, 2)])
def test_images_too_small_are_refused(encoder: FrdV1, size: tuple[int, int]) -> None:
    with pytest.raises(BenchError, match="needed at least 4x4"):
        encoder(np.zeros((1, *size), np.uint8))


def test_images_without_contrast_are_refused(encoder: FrdV1) -> None:
    """The published code stops at them: their standard deviation is 0."""
    images = np.stack([published_frd.images()["texture"], np.full((32, 32), 7, np.uint8)])
    with pytest.raises(BenchError, match="1 of 2 images have one grey level"):
        encoder(images)


def test_rows_do_not_depend_on_their_neighbours(encoder: FrdV1) -> None:
    images = published_frd.sets()[0]
    np.testing.assert_array_equal(encoder(images)[3], encoder(images[3:4])[0])
    assert encoder(images[:0]).shape == (0, 394)
