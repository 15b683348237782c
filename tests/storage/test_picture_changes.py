"""Each change does what its title says, and the same to a picture whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.storage.picture_changes import TRANSFORMS, cropped, rotated, shifted


@pytest.fixture
def pictures() -> np.ndarray:
    """Smooth pictures, (4, 64, 48) uint8, none like its mirror image."""
    rows, columns = np.mgrid[:64, :48]
    waves = [np.sin(rows / (5 + k)) * 50 + np.cos(columns / 7 + k) * 40 + columns + 60 for k in range(4)]
    return np.clip(np.stack(waves), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_a_change_keeps_shape_and_kind_and_does_not_depend_on_the_block(name, pictures):
    transform, others = TRANSFORMS[name], pictures[::-1]
    before = pictures.copy()
    changed = transform(pictures, others)
    assert changed.shape == pictures.shape and changed.dtype == np.uint8
    alone = [transform(pictures[[i]], others[[i]])[0] for i in range(len(pictures))]
    assert np.array_equal(changed, np.stack(alone))
    assert np.array_equal(pictures, before)
    assert (name == "identity") == np.array_equal(changed, pictures)
    assert TRANSFORMS[name].name == name


@pytest.mark.parametrize("name", [name for name, each in TRANSFORMS.items() if not each.needs_other])
def test_what_needs_no_other_picture_looks_at_none(name, pictures):
    assert np.array_equal(TRANSFORMS[name](pictures), TRANSFORMS[name](pictures, np.zeros_like(pictures)))
    assert TRANSFORMS[name](pictures[:0]).shape == (0, 64, 48)


def test_what_needs_another_picture_says_so(pictures):
    for name in ("blend70", "blend50", "patch"):
        with pytest.raises(ValueError, match=rf"{name} needs pictures of other patients of shape \(4, 64, 48\)"):
            TRANSFORMS[name](pictures)


def test_grey_levels_are_changed_by_what_is_said():
    grey = np.array([[[0, 100, 250, 128]]], np.uint8)
    assert TRANSFORMS["brightness"](grey).tolist() == [[[0, 120, 255, 154]]]
    expected = [round(255 * (level / 255) ** 0.8) for level in (0, 100, 250, 128)]
    assert TRANSFORMS["gamma"](grey).tolist() == [[expected]]
    other = np.array([[[200, 0, 50, 128]]], np.uint8)
    assert TRANSFORMS["blend70"](grey, other).tolist() == [[[60, 70, 190, 128]]]
    assert TRANSFORMS["blend50"](grey, other).tolist() == [[[100, 50, 150, 128]]]


def test_a_shift_and_a_mirror_move_whole_pixels(pictures):
    assert np.array_equal(shifted(pictures)[:, :, 2:], pictures[:, :, :-2])  # 48 / 32, rounded
    assert (shifted(pictures)[:, :, :2] == pictures[:, :, :1]).all()
    wide = np.arange(64, dtype=np.uint8)[None, None].repeat(3, 1)
    assert shifted(wide)[0, 0].tolist() == [0, 0, *range(62)]
    assert np.array_equal(TRANSFORMS["flip"](TRANSFORMS["flip"](pictures)), pictures)


def test_a_point_goes_where_three_degrees_and_a_twentieth_take_it():
    def centre_of_mass(image):
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        return np.array([(rows * image).sum(), (columns * image).sum()]) / image.sum() - 31.5

    spot = np.zeros((1, 64, 64), np.uint8)
    spot[0, 30:34, 50:54] = 200  # 20 pixels to the right of the centre
    down, right = centre_of_mass(rotated(spot)[0].astype(float))
    assert np.hypot(down, right) == pytest.approx(20, abs=0.1)
    assert abs(np.degrees(np.arctan2(down, right))) == pytest.approx(3, abs=0.3)
    assert centre_of_mass(cropped(spot)[0].astype(float)) == pytest.approx([0, 20 / 0.95], abs=0.1)


def test_a_patch_is_a_quarter_of_the_picture(pictures):
    changed = TRANSFORMS["patch"](pictures, 255 - pictures)
    own = changed == pictures
    assert own[:, 16:48, 12:36].all()
    outside = changed.copy()
    outside[:, 16:48, 12:36] = (255 - pictures)[:, 16:48, 12:36]
    assert np.array_equal(outside, 255 - pictures)
