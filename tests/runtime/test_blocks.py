"""Blocks are the same however images come, and a thread that works ahead neither hides a failure nor stays."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest

from bench.api import BenchError, Encoder, Images, Rows
from bench.runtime.ahead import ahead
from bench.runtime.blocks import BlockEncoder


class Blocky(Encoder):
    """Rows that depend on the whole block, as the last bits of a convolution may."""

    id, dim, block = "blocky", 2, 8

    def __call__(self, images: Images) -> Rows:
        assert len(images) == self.block
        means = images.mean(axis=(1, 2))
        return np.stack([means, means * np.arange(len(images)) + images.std()], axis=1).astype(np.float32)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40, 43])
def test_rows_do_not_depend_on_how_images_are_handed_over(count: int) -> None:
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 4, 4), np.uint8)
    padded = np.concatenate([images, np.repeat(images[-1:], -count % 8, axis=0)])
    expected = np.concatenate([Blocky()(padded[start : start + 8]) for start in range(0, count, 8)])[:count]
    for _ in range(20):
        cuts = np.sort(rng.integers(0, count + 1, rng.integers(0, 9)))
        encoded = BlockEncoder(Blocky(), count)
        for part in np.split(images, cuts):
            encoded.take(part)
        assert encoded.rows.tobytes() == expected.tobytes()


def test_an_encoder_of_other_rows_is_named() -> None:
    class Thin(Blocky):
        def __call__(self, images: Images) -> Rows:
            return super().__call__(images)[:, :1]

    with pytest.raises(BenchError, match=r"encoder blocky gave float32\(8, 1\), needed float32\(8, 2\)"):
        BlockEncoder(Thin(), 3).take(np.zeros((3, 2, 2), np.uint8))


def helpers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("ahead")]


def test_results_are_in_order_and_the_next_is_under_way() -> None:
    begun, gate = [], threading.Semaphore(1)

    def work(item: int) -> int:
        assert gate.acquire(timeout=20)
        begun.append(item)
        return item * item

    found = ahead(work, range(4))
    assert next(found) == 0
    gate.release()
    deadline = threading.Event()
    while begun != [0, 1] and not deadline.wait(0.01):
        pass
    assert begun == [0, 1], "the second is worked on before it is asked for, the third is not"
    for _ in range(3):
        gate.release()
    assert list(found) == [1, 4, 9] and not helpers()


def test_a_failure_stands_where_its_result_would() -> None:
    def work(item: int) -> int:
        return 6 // item

    found: list[int] = []
    with pytest.raises(ZeroDivisionError):
        for each in ahead(work, [2, 3, 0, 1]):
            found.append(each)
    assert found == [3, 2] and not helpers()


def test_no_thread_stays_when_the_caller_fails_or_stops() -> None:
    def use() -> None:
        with closing(ahead(lambda item: item, range(100))) as found:
            for _ in found:
                raise KeyError("planted")

    with pytest.raises(KeyError):
        use()
    assert not helpers()
    some = ahead(lambda item: item, range(100))
    next(some)
    some.close()
    assert not helpers()


def test_nothing_to_do_starts_nothing() -> None:
    assert not list(ahead(lambda item: item, [])) and not helpers()
