"""The one rule of what is made again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench.api import BenchError
from bench.pipeline.stage import Made, Mark, Stage, result
from bench.runtime.processes import Team
from bench.storage.files import write_atomic
from tests.runtime.test_processes import in_threads


@dataclass
class Doubling(Stage[int]):
    """Writes twice its number; may be killed between its two files."""

    folder: Path
    key: Mapping[str, Any]
    name: str = "doubling"
    kill: bool = False
    made: list[int] = field(default_factory=list)

    def make(self, team: Team) -> Made:
        self.made.append(team.rank)
        write_atomic(self.folder / "first", b"first")
        if self.kill:
            raise KeyboardInterrupt
        write_atomic(self.folder / "second" / "number", str(2 * self.key["number"]).encode())
        return Made(["first", "second/number"], {"pair": (1, 2)})

    def load(self, mark: Mark) -> int:
        assert mark.note == {"pair": [1, 2]}
        return int((self.folder / "second" / "number").read_text())


class Together(Doubling):
    together: ClassVar[bool] = True


class Dear(Doubling):
    def superseded(self, mark: Mark) -> None:
        raise BenchError("too dear")


def test_what_is_there_and_true_is_loaded(tmp_path: Path) -> None:
    assert result(Doubling(tmp_path, {"number": 2})) == 4
    again = Doubling(tmp_path, {"number": 2})
    assert result(again) == 4 and again.made == []
    mark = json.loads((tmp_path / "stages" / "doubling.json").read_text())
    assert mark["made"] and set(mark["files"]) == {"first", "second/number"} and mark["size"] == 6


def test_another_key_makes_it_again_and_says_what_differs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    result(Doubling(tmp_path, {"number": 2}))
    assert result(Doubling(tmp_path, {"number": 3})) == 6
    assert "number: 2 there, 3 now" in caplog.text


@pytest.mark.parametrize("state", ["changed", "missing"])
def test_a_damaged_file_is_named_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, state: str) -> None:
    result(Doubling(tmp_path, {"number": 2}))
    path = tmp_path / "second" / "number"
    path.unlink() if state == "missing" else path.write_bytes(b"5")
    assert result(Doubling(tmp_path, {"number": 2})) == 4
    assert f"{path} is {state} since it was made" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"key": {"number": 2}, "made": true}'])
def test_a_damaged_mark_is_named_and_everything_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    result(Doubling(tmp_path, {"number": 2}))
    (tmp_path / "stages" / "doubling.json").write_bytes(content)
    again = Doubling(tmp_path, {"number": 2})
    assert result(again) == 4 and again.made == [0]
    assert "doubling.json is damaged" in caplog.text


def test_what_was_killed_on_the_way_is_not_taken_for_made(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        result(Doubling(tmp_path, {"number": 2}, kill=True))
    assert not json.loads((tmp_path / "stages" / "doubling.json").read_text())["made"]
    again = Doubling(tmp_path, {"number": 2})
    assert result(again) == 4 and again.made == [0]


def test_what_is_too_dear_to_be_replaced_stays_even_when_it_is_half(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        result(Dear(tmp_path, {"number": 2}, kill=True))
    other = Dear(tmp_path, {"number": 3})
    for _ in range(2):
        with pytest.raises(BenchError, match="too dear"):
            result(other)
    assert other.made == [] and result(Dear(tmp_path, {"number": 2})) == 4


class Contended(Doubling):
    """Another run finishes it just before this one is alone with it."""

    contended: ClassVar[bool] = True

    @contextmanager
    def alone(self) -> Iterator[None]:
        result(Doubling(self.folder, self.key))
        yield


def test_what_another_run_has_finished_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    stage = Contended(tmp_path, {"number": 2})
    assert result(stage) == 4 and stage.made == []


@pytest.mark.parametrize(("kind", "makers"), [(Doubling, [0]), (Together, [0, 1, 2])])
def test_every_process_gets_the_result_of_one_making(tmp_path: Path, kind: type[Doubling], makers: list[int]) -> None:
    made: list[int] = []

    def work(team: Team) -> int:
        return result(kind(tmp_path, {"number": 2}, made=made), team)

    assert in_threads(work, 3) == [4, 4, 4] and sorted(made) == makers
    assert in_threads(work, 2) == [4, 4] and sorted(made) == makers
