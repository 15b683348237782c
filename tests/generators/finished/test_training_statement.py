"""What a person states a finished set's generator learned from: a digest is believed where it is this split's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.api import BenchError, Generator, Split
from generators.finished.folder import Folder
from generators.finished.parquet import Parquet
from generators.finished.training_statement import training_statement
from tests.toy import toy_split

KINDS = [Folder, Parquet]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return toy_split(tmp_path_factory.mktemp("split"), 6, 3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_train_and_the_digest_of_this_split_are_believed_and_nothing_else(kind: type[Generator], split: Split) -> None:
    found = {
        stated: kind(trained_on=stated).learned_from(split)  # type: ignore[call-arg]
        for stated in (
            None,
            "train",
            split.digest,
            split.membership,
            split.train.digest,
            "0123456789abcdef",
            "Train",
            "yes",
            "",
        )
    }
    believed = ("train", split.digest, split.membership)
    assert found == {stated: "train" if stated in believed else "unknown" for stated in found}


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_of_a_split_states_its_digest(kind: type[Generator], split: Split, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"membership": split.membership}))
    assert kind(trained_on=str(file)).learned_from(split) == "train"  # type: ignore[call-arg]
    file.write_text(json.dumps({"membership": "0" * 16}))
    assert kind(trained_on=str(file)).learned_from(split) == "unknown"  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"none/split\.json does not exist; python -m bench\.split"),
        ("[]", "states no split"),
        ('{"membership": 3}', "states no split"),
    ],
)
def test_a_file_that_states_nothing_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "none" / "split.json"
    if content is not None:
        file.parent.mkdir()
        file.write_text(content)
    with pytest.raises(BenchError, match=message):
        training_statement(str(file))


def test_whoever_was_trained_here_cannot_state_otherwise(split: Split) -> None:
    class Trained(Folder):
        learns_from = "test"

    assert Trained(trained_on="train").learned_from(split) == "test"
