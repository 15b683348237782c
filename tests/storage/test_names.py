"""One rule of names: what a run can create, and what the leaderboard reads."""

from __future__ import annotations

import pytest

from bench.storage.names import name_faults, path_name_faults

RIGHT = [
    "ldm",
    "ldm_long",
    "ldm-diffusion.rate=0.002",
    "ldm-autoencoder.channels=[32,64],batch=8",
    "Müller 2024 (second try)",
    "模型+1@home",
    "\u0939\u093f\u0928\u094d\u0926\u0940",  # Hindi, whose vowels are marks
    "\u0e44\u0e17\u0e22 \u0e1b\u0e35\u0e48 1",
    "a" * 120,
    "é" * 110,
]
WRONG = [
    ("", "empty"),
    (" ldm", "spaces around"),
    ("../../x", "has /"),
    ("/abs", "has /"),
    (".", "begins with '.'"),
    ("..", "begins with '.'"),
    (".hidden", "begins with '.'"),
    ("-m", "begins with '-'"),
    ("<script>alert(1)</script>", "has / < >"),
    ("a\\b", "has \\"),
    ("C:x", "has :"),
    ("a*b?", "has * ?"),
    ("$HOME", r"has $"),
    ("a'b", "has '"),
    ("a\0b", "control"),
    ("a\nb", "control"),
    ("ldm\u202eegami", "text-direction"),
    ("ldm\u200b", "control or text-direction"),
    ("a" * 121, "121 characters"),
    ("a" * 300, "300 characters"),
    ("模" * 100, "300 bytes"),
    ("e\u0301", "put together from parts"),
    ("\u093fa", "begins with"),
    ("a\ufe0f", "has \ufe0f"),
    ("a\u034f", "has \u034f"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_names_that_a_run_and_a_board_may_have(name: str) -> None:
    assert not [*name_faults(name), *path_name_faults(name)]


@pytest.mark.parametrize(("name", "said"), WRONG)
def test_names_that_neither_may_have(name: str, said: str) -> None:
    assert any(said in fault for fault in path_name_faults(name)), list(path_name_faults(name))


def test_words_that_name_no_file_may_have_other_marks() -> None:
    assert not [*name_faults("masking=high | CC"), *name_faults("leak found: 3 < 4")]
