"""Each image is decoded and encoded once, ever."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Encoder, Images, ImageSet, Rows, Split
from bench.pipeline import features as features_module
from bench.pipeline.features import SLOTS, FeatureStore, device_type
from bench.runtime.code_digest import part_digest
from bench.storage.feature_rows import FeatureRows, rows_of
from tests.toy import described, image_set


class Means(Encoder):
    """Mean grey level of the four quarters; counts what it sees."""

    id = "means-1"
    dim = 4
    block = 16

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: Images) -> Rows:
        self.seen.append(len(images))
        half = images.shape[1] // 2
        parts = (images[:, :half, :half], images[:, :half, half:], images[:, half:, :half], images[:, half:, half:])
        return np.stack([part.mean(axis=(1, 2)) for part in parts], axis=1).astype(np.float32)


def test_rows_are_in_order_and_blocks_are_full(tiny_split: Split, tmp_path: Path) -> None:
    encoder = Means()
    features = FeatureStore(tmp_path, {"means": encoder})
    rows = features("means", tiny_split.test)
    expected = tiny_split.test.pixels()[:, :16, :16].mean(axis=(1, 2))
    assert np.allclose(rows[:, 0], expected)
    assert encoder.seen == [16, 16] and features.encoded["means"] == 24


def test_a_subset_and_a_second_process_encode_nothing(tiny_split: Split, tmp_path: Path) -> None:
    first = FeatureStore(tmp_path, {"means": Means()})
    rows = first("means", tiny_split.train)
    encoder = Means()
    second = FeatureStore(tmp_path, {"means": encoder})
    assert np.array_equal(second("means", tiny_split.train.select([5, 3])), rows[[5, 3]])
    assert encoder.seen == [] and not second.encoded


def test_several_encoders_share_one_decoding(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    pixels = ImageSet.pixels
    monkeypatch.setattr(ImageSet, "pixels", lambda self, rows=None: decoded.append(len(rows)) or pixels(self, rows))
    other = Means()
    other.id = "means-2"
    features = FeatureStore(tmp_path, {"means": Means(), "other": other})
    features.prepare(["means", "other"], tiny_split.test)
    assert sum(decoded) == 24 and features.encoded == {"means": 24, "other": 24}


def test_another_encoder_id_does_not_find_the_old_rows(tiny_split: Split, tmp_path: Path) -> None:
    FeatureStore(tmp_path, {"means": Means()})("means", tiny_split.test)
    other = Means()
    other.id = "means-2"
    FeatureStore(tmp_path, {"means": other})("means", tiny_split.test)
    assert other.seen == [16, 16]


def test_equal_pixels_share_a_row(tiny_split: Split, tmp_path: Path) -> None:
    features = FeatureStore(tmp_path, {"means": Means()})
    features("means", tiny_split.test.select([0, 0, 1, 0]))
    assert features.encoded["means"] == 2


def test_non_finite_features_are_an_error(tiny_split: Split, tmp_path: Path) -> None:
    class Broken(Means):
        def __call__(self, images: Images) -> Rows:
            return super().__call__(images) * np.float32("nan")

    with pytest.raises(BenchError, match="broken gave non-finite features for 24 images"):
        FeatureStore(tmp_path, {"broken": Broken()})("broken", tiny_split.test)


@pytest.mark.parametrize("damage", ["flipped", "emptied", "missing", "reversed"])
def test_a_damaged_shard_is_named_and_encoded_again(
    tiny_split: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    rows = FeatureStore(tmp_path, {"means": Means()})("means", tiny_split.test)
    (keys,) = tmp_path.rglob("*.hashes")
    first, *hashes = keys.read_text().split("\n")
    array = rows_of(keys, first.partition(" ")[0])
    content = bytearray(array.read_bytes())
    content[-5] ^= 1
    change = {
        "flipped": lambda: array.write_bytes(content),
        "emptied": lambda: array.write_bytes(b""),
        "missing": array.unlink,
        "reversed": lambda: keys.write_text("\n".join([first, *reversed(hashes)])),
    }
    change[damage]()
    again = FeatureStore(tmp_path, {"means": Means()})
    assert np.array_equal(again("means", tiny_split.test), rows) and again.encoded["means"] == 24
    assert keys.stem in caplog.text and "encoding its images again" in caplog.text


def test_rows_of_two_processes_that_differ_replace_no_other(tiny_split: Split, tmp_path: Path) -> None:
    """Another kind of processor may give other last bits of the same rows, at the same time where no lock works."""

    class Other(Means):
        def __call__(self, images: Images) -> Rows:
            return super().__call__(images) + np.float32(2**-10)

    Other.__qualname__ = "Means"
    one, other = FeatureStore(tmp_path, {"means": Means()}), FeatureStore(tmp_path, {"means": Other()})
    assert len(other.missing(["means"], tiny_split.test)["means"]) == 24
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureRows, "renew", lambda _: None)
        first, second = one("means", tiny_split.test), other("means", tiny_split.test)
    assert not np.array_equal(first, second) and len(list(tmp_path.rglob("*.npy"))) == 2
    assert np.array_equal(FeatureStore(tmp_path, {"means": Means()})("means", tiny_split.test), second)


def test_wrong_shape_names_what_was_got_and_needed(tiny_split: Split, tmp_path: Path) -> None:
    class Thin(Means):
        def __call__(self, images: Images) -> Rows:
            return super().__call__(images)[:, :2]

    with pytest.raises(BenchError, match=r"gave float32\(16, 2\), needed float32\(16, 4\)"):
        FeatureStore(tmp_path, {"thin": Thin()})("thin", tiny_split.test)


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with an encoder, a function in a module of its own that builds it, and a module of neither."""
    folder = tmp_path / "otherlab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "kind.py").write_text(
        "from tests.pipeline.test_features import Means\n\nclass Mine(Means):\n    id = 'mine-1'\n"
    )
    (folder / "building.py").write_text("from otherlab.kind import Mine\n\ndef mine():\n    return Mine()\n")
    (folder / "stranger.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [each for each in sys.modules if each.startswith("otherlab")]:
        del sys.modules[name]


@pytest.mark.parametrize(("changed", "again"), [("kind", 24), ("building", 24), ("stranger", 0)])
def test_changed_code_of_an_encoder_does_not_find_the_old_rows(
    laboratory: Path, tiny_split: Split, tmp_path: Path, changed: str, again: int
) -> None:
    from otherlab.building import mine

    def encoded() -> int:
        features = FeatureStore(tmp_path / "cache", {"mine": mine()}, targets={"mine": "otherlab.building.mine"})
        features("mine", tiny_split.test)
        return features.encoded["mine"]

    assert (encoded(), encoded()) == (24, 0)
    path = laboratory / f"{changed}.py"
    path.write_text(path.read_text() + "LINE = 1\n")
    assert (encoded(), encoded()) == (again, 0)


def test_a_class_named_as_target_is_the_same_code() -> None:
    own = part_digest(Means())
    assert own == part_digest(Means(), "tests.pipeline.test_features.Means") and len(own) == 16


def on(device: object) -> Means:
    encoder = Means()
    encoder.device = device  # type: ignore[attr-defined]
    return encoder


def test_rows_of_a_gpu_and_of_a_cpu_are_kept_apart(tiny_split: Split, tmp_path: Path) -> None:
    encoders = [Means(), on("cpu"), on(None), on("cuda:1"), on("cuda")]
    found = []
    for encoder in encoders:
        features = FeatureStore(tmp_path, {"means": encoder})
        features("means", tiny_split.test)
        found.append(features.encoded["means"])
    assert found == [24, 0, 0, 24, 0]
    assert len(list(tmp_path.glob("means-*"))) == 2


def test_an_automatic_device_counts_as_what_it_turns_out_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    for there, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_type(on("auto")) == expected
    assert device_type(on(torch.device("cuda", 1))) == "cuda"


class Wide(Encoder):
    """A row of 2,048 copies of the mean grey level: 8 kB an image."""

    id, dim, block = "wide-1", 2048, 64

    def __call__(self, images: Images) -> Rows:
        return np.repeat(images.mean(axis=(1, 2), dtype=np.float32)[:, None], self.dim, axis=1)


def test_memory_does_not_grow_by_the_rows_of_images(tmp_path: Path) -> None:
    """A row of 8 kB and a dictionary of places, once, took over 8,300 bytes an image."""
    rng, most = np.random.default_rng(0), []
    features = FeatureStore(tmp_path / "features", {"wide": Wide()})
    features._open("wide")
    for count in (192, 1728):
        images = image_set(rng.integers(0, 256, (count, 8, 8), np.uint8), described(), tmp_path / str(count))
        features.prepare(["wide"], images)
        gc.collect()
        tracemalloc.start()
        rows = features("wide", images)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows.shape == (count, 2048) and np.allclose(rows[-1], images.pixels([count - 1]).mean())
    assert most[1] - most[0] < 1000 * (1728 - 192) + 4 * 2**20  # a step of rows on their way to disk


class Spread(Means):
    """Another encoder."""

    id = "spread-1"

    def __call__(self, images: Images) -> Rows:
        return np.asarray(super().__call__(images) - 100.0)


class Standing(Means):
    """Says that it works, and goes on when it is told to."""

    id = "standing-1"

    def __init__(self) -> None:
        super().__init__()
        self.works, self.go_on = threading.Event(), threading.Event()

    def __call__(self, images: Images) -> Rows:
        self.works.set()
        assert self.go_on.wait(60)
        return super().__call__(images)


def test_runs_that_differ_in_one_encoder_encode_once_with_the_other(tiny_split: Split, tmp_path: Path) -> None:
    standing, late = Standing(), Standing()
    first = FeatureStore(tmp_path, {"means": standing})
    second = FeatureStore(tmp_path, {"means": late, "spread": Spread()})
    with ThreadPoolExecutor() as runs:
        ahead = runs.submit(first, "means", tiny_split.test)
        assert standing.works.wait(60)
        behind = runs.submit(second.prepare, ["means", "spread"], tiny_split.test)
        with pytest.raises(TimeoutError):
            behind.result(0.5)
        standing.go_on.set()
        rows = ahead.result(60)
        behind.result(60)
    assert late.seen == [] and second.encoded == {"spread": 24}
    assert np.array_equal(second("means", tiny_split.test), rows)


def test_runs_that_want_the_same_encoders_in_any_order_never_wait_in_a_circle(tmp_path: Path) -> None:
    """Slots are entered in ascending order, each once, also where two encoders share one."""
    images = image_set(np.arange(8 * 64, dtype=np.uint32).astype(np.uint8).reshape(8, 8, 8), described(), tmp_path)
    encoders = {f"e{number}": Means() for number in range(2 * SLOTS)}
    store = FeatureStore(tmp_path / "features", encoders)
    wanted = {name: np.arange(8) for name in encoders}
    entered = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features_module, "alone", lambda path: entered.append(path.name) or nullcontext())
        for order in (wanted, dict(reversed(wanted.items()))):
            with store._alone(order, images):
                pass
    numbers = [int(name.removeprefix("encoding-")) for name in entered]
    once = numbers[: len(numbers) // 2]
    assert numbers == once * 2 and once == sorted(set(once)) and SLOTS // 2 < len(once) < 2 * SLOTS


def test_waiting_for_others_takes_the_memory_of_one_list_of_digests(tmp_path: Path) -> None:
    """Lists of hex digits took 1,023 bytes an image with four encoders."""
    keys = np.frombuffer(np.random.default_rng(0).bytes(32 * 8000), "S32")
    encoders = {name: Means() for name in "abcd"}
    store = FeatureStore(tmp_path, encoders)
    for name in encoders:
        store._open(name)
    images: Any = SimpleNamespace(pixel_keys=keys)
    wanted = {name: np.arange(8000) for name in encoders}
    tracemalloc.start()
    with store._alone(wanted, images):
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 8000


def test_the_next_images_are_decoded_in_a_thread_that_does_not_stay(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding: set[str] = set()
    pixels = ImageSet.pixels

    def noted(self: ImageSet, rows: Any = None) -> Images:
        decoding.add(threading.current_thread().name)
        return pixels(self, rows)

    monkeypatch.setattr(ImageSet, "pixels", noted)
    tiny_split.train.size  # noqa: B018 - decodes one image here
    decoding.clear()
    FeatureStore(tmp_path, {"means": Means()})("means", tiny_split.train)
    assert decoding and all(name.startswith("ahead") for name in decoding)
    assert not [each for each in threading.enumerate() if each.name.startswith("ahead")]


def test_an_image_that_cannot_be_decoded_stops_the_encoding(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ImageSet, rows: Any = None) -> Images:
        raise OSError("planted")

    tiny_split.train.size  # noqa: B018 - decodes one image here
    monkeypatch.setattr(ImageSet, "pixels", broken)
    features = FeatureStore(tmp_path, {"means": Means()})
    with pytest.raises(OSError, match="planted"):
        features("means", tiny_split.train)
    assert not features.encoded and not list(tmp_path.rglob("*.hashes"))
