"""The page of a comparison shows what was found, as it was found, and nothing from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Images, ImageSet, Metric, Rows, Score
from bench.compare.comparison import Comparison
from bench.compare.drawing import histogram, interval, scatter
from bench.compare.likeness import likeness
from bench.compare.report import PAIRS, SHOWN, page, write
from tests.toy import Given, described, image_set

INFO = described()
DISTANCE = Metric("distance", "Toy <distance>", "lower", "doi:1", role="headline", summary="How far apart.")
SHARE = Metric("share", "Toy share", "higher", "doi:1", bounds=(0.0, 1.0))
FLOOR = Metric("floor", "Toy floor", "neither", "doi:1", role="describes")


def _pictures(count: int, seed: int) -> Images:
    return np.random.default_rng(seed).integers(40, 200, (count, 12, 10), dtype=np.uint8)


def _set(pixels: Images, name: str, **columns: Any) -> ImageSet:
    return image_set(pixels, INFO, name=name, **columns)


class Flat(Given):
    """Pixels as features."""

    id, dim = "flat-1", 120

    def __init__(self) -> None:
        pass

    def __call__(self, images: Images) -> Rows:
        return images.reshape(len(images), -1).astype(np.float32)


def _comparison(**changed: Any) -> Comparison:
    real, fake = _set(_pictures(30, 0), "r"), _set(_pictures(28, 1), "f")
    encoder = Flat()
    whole = Comparison(
        real=real,
        fake=fake,
        train=None,
        scores=(
            Score("distance", 2.5, 2.0, 3.0, 28, encoder="flat"),
            Score("share", 0.75, 0.5, 0.9, 28, encoder="flat"),
            Score("floor", 0.1, None, None, 28, encoder="flat", reason="no interval of a floor"),
            Score("share", None, None, None, 28, reason="too few & strange"),
        ),
        metrics={each.key: each for each in (DISTANCE, SHARE, FLOOR)},
        encoders={"flat": encoder},
        rows=lambda name, images: encoder(images.pixels()),
        notes=("every image is taken for a patient of its own",),
        protocol={"compare": 1, "digest": "0123456789abcdef"},
        seconds=1.0,
    )
    return replace(whole, **changed)


def test_the_page_shows_every_number_its_interval_every_refusal_and_every_note() -> None:
    text = page(_comparison())
    for shown in (
        "Toy &lt;distance&gt; ↓",
        ">2.5<",
        "2 to 3",
        "0.5 to 0.9",
        "no interval of a floor",
        "too few &amp; strange",
        "every image is taken for a patient of its own",
        "0123456789abcdef",
        "28 synthetic images beside 30 real ones",
    ):
        assert shown in text, shown


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = page(_comparison())
    assert "<script" not in text
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "default-src 'none'" in text


def test_the_same_comparison_gives_the_same_bytes() -> None:
    assert page(_comparison()) == page(_comparison(seconds=9.0))


def test_pictures_can_be_left_out() -> None:
    text = page(_comparison(), pictures=False)
    assert "data:image" not in text
    assert "This page shows real images" not in text
    with_pictures = page(_comparison())
    assert with_pictures.count("data:image/png") == SHOWN * 2 + PAIRS * 2 * 3
    assert "This page shows real images" in with_pictures


def test_a_planted_copy_is_the_first_pair() -> None:
    real = _pictures(30, 0)
    fake = _pictures(28, 1)
    fake[17] = real[4]
    text = page(_comparison(real=_set(real, "r"), fake=_set(fake, "f")))
    pairs = text[text.index("Closest to a real image") :]
    assert re.search(r"<figcaption>no distance<br>f17 \| r4</figcaption>", pairs)
    assert pairs.index("f17 | r4") == pairs.index(re.search(r"f\d+ \| r\d+", pairs)[0])  # type: ignore[index]


def test_the_share_of_unusually_near_images_is_said() -> None:
    real, fake = _pictures(60, 0), _pictures(40, 1)
    fake[:30] = real[:30] // 2 + real[:30] // 2  # as good as copies
    text = page(_comparison(real=_set(real, "r"), fake=_set(fake, "f")))
    assert "75% of the synthetic images lie nearer to a real one than all but\n5% of the real images" in text


def test_a_copy_of_a_training_image_is_shown_where_these_were_given() -> None:
    train, fake = _pictures(20, 7), _pictures(28, 1)
    fake[3] = train[11]
    text = page(_comparison(train=_set(train, "t"), fake=_set(fake, "f")))
    pairs = text[text.index("Closest to a training image") :]
    assert re.search(r"no distance<br>f3 \| t11<", pairs)
    assert "Closest to a training image" not in page(_comparison())


def test_one_image_of_each_and_nothing_measured_is_a_page_too() -> None:
    refused = Score("distance", None, None, None, 1, encoder="flat", reason="1 image")
    text = page(_comparison(real=_set(_pictures(1, 0), "r"), fake=_set(_pictures(1, 1), "f"), scores=(refused,)))
    assert "Nothing that heads a table could be measured" in text
    assert "1 image" in text
    assert "nan" not in text.lower().replace("nanum", "")


def test_a_folder_in_the_place_of_the_page_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "page.html"):
        with pytest.raises(BenchError, match=re.escape(str(place))):
            write(_comparison(), place)
    write(_comparison(), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page(_comparison())


def test_the_nearest_of_a_real_image_is_of_another_patient() -> None:
    rows = np.array([[0.0], [0.1], [5.0], [6.0]], np.float32)
    found = likeness(rows, rows[:2] + 0.5, "alike", ["a", "a", "b", "c"])
    assert found.among_real.place.tolist() == [2, 2, 3, 2]
    assert found.to_real.place.tolist() == [1, 1]
    assert found.usual == pytest.approx(np.median([5.0, 4.9, 1.0, 1.0]))


def test_columns_that_measure_different_things_are_brought_to_one_scale() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(50, 2)) * (1.0, 1e6)).astype(np.float32)
    fake = rows[:5].copy()
    fake[:, 0] += 3.0  # far away in the column of small numbers
    found = likeness(rows, fake, "different", [str(i) for i in range(50)])
    assert (found.to_real.distance > 0).all()
    assert found.real.std(axis=0) == pytest.approx([1, 1], abs=0.05)


def test_a_histogram_holds_every_value_and_a_shift_shows() -> None:
    near, far = np.linspace(0, 1, 200), np.linspace(5, 6, 200)
    drawn = histogram({"real": near, "fake": far}, "a < b")
    assert "a &lt; b" in drawn
    heights = {
        name: [float(y) for y in re.findall(r"L[\d.]+ ([\d.]+)", path)]
        for name, path in re.findall(r'<path class="(\w+)" d="([^"]+)"', drawn)
    }
    filled = {name: [i for i, y in enumerate(ys) if y < 141] for name, ys in heights.items()}
    assert max(filled["real"]) < min(filled["fake"])
    assert "nan" not in histogram({"real": np.ones(3), "fake": np.ones(3)}, "constant")


def test_an_interval_is_drawn_where_it_lies() -> None:
    bar = interval(0.5, 0.25, 0.75, (0.0, 1.0))
    assert 'x1="42.0" x2="118.0"' in bar
    assert 'cx="80.0"' in bar
    assert "reach" not in interval(0.5, None, None, (0.0, 1.0))
    assert scatter({"real": np.zeros((2, 2)), "fake": np.zeros((1, 2))}, "map").count("<circle") == 3
