"""Digests in arrays find what a dictionary of texts would find."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from bench.storage.digests import Numbered, first_places, from_hexadecimal, hexadecimal, repeated, text_keys


def with_last_byte_zero() -> str:
    """A text whose SHA-256 ends with a zero byte, which numpy takes for padding."""
    return next(text for text in map(str, range(10_000)) if hashlib.sha256(text.encode()).digest()[-1] == 0)


def test_a_digest_keeps_its_last_zero_bytes() -> None:
    texts = ["one", with_last_byte_zero(), "two", ""]
    keys = text_keys(texts)
    assert hexadecimal(keys) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert (from_hexadecimal(hexadecimal(keys)) == keys).all()
    numbered = Numbered()
    numbered.add(keys)
    assert numbered.find(keys).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("text", ["ab", "g" * 64])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_hexadecimal(["a" * 64, text])


def test_numbers_are_those_of_a_dictionary() -> None:
    rng = np.random.default_rng(0)
    numbered, known, count = Numbered(), dict[str, int](), 0
    for size in (0, 40, 1, 300):
        texts = [str(each) for each in rng.integers(0, 200, size)]
        numbered.add(text_keys(texts))
        for text in texts:
            known.setdefault(text, count)
            count += 1
        asked = [str(each) for each in rng.integers(0, 300, 100)]
        assert numbered.find(text_keys(asked)).tolist() == [known.get(text, -1) for text in asked]


def test_the_first_place_of_each() -> None:
    assert first_places(text_keys(["a", "b", "a", "c", "b", "a"])).tolist() == [0, 1, 0, 3, 1, 0]
    assert not len(first_places(text_keys([])))


def test_all_places_of_what_is_repeated() -> None:
    assert repeated(text_keys(["a", "b", "a", "c", "b", "a"])).tolist() == [0, 1, 2, 4, 5]
    assert not len(repeated(text_keys(["a", "b"]))) and not len(repeated(text_keys([])))
