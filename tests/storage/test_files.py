"""Writes are whole or absent, keys depend on content, a folder has one owner."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bench.api import BenchError
from bench.storage.disk_errors import DiskError
from bench.storage.files import (
    Busy,
    Damaged,
    Waited,
    WouldWrite,
    alone,
    canonical,
    content_key,
    discard,
    only_reading,
    owned,
    read_checked,
    read_json,
    remove_drafts,
    write_atomic,
    write_checked,
    write_json,
    writing,
)


def test_key_depends_on_content_and_not_on_order() -> None:
    assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": [1, 2], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert len(content_key("x")) == 16


def test_non_finite_numbers_have_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"value": float("nan")})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.json"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        DiskError, match=rf"writing {path}: the disk is full .*; 14 bytes needed, [\d,]+ bytes are free"
    ):
        write_atomic(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["scores.json"]


def test_json_that_is_damaged_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"half": ')
    with pytest.raises(BenchError, match=r"a\.json is not valid JSON.*delete it"):
        read_json(tmp_path / "a.json")
    assert read_json(tmp_path / "none.json") is None


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("inf")})
    assert not (tmp_path / "a.json").exists()


def _hold(folder: Path, ready: str) -> None:
    with owned(folder):
        Path(ready).touch()
        time.sleep(60)


def test_a_second_owner_is_refused_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    child = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path / "run", str(ready)))
    child.start()
    while not ready.exists():
        time.sleep(0.05)
    with pytest.raises(Busy, match=f"in use by process {child.pid}"), owned(tmp_path / "run"):
        pass
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    with owned(tmp_path / "run"):
        pass


def _inside(path: Path, ready: str) -> None:
    with alone(path):
        Path(ready).touch()
        time.sleep(60)


def test_whoever_waits_says_for_whom_and_goes_on_when_that_one_dies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    child = multiprocessing.get_context("spawn").Process(target=_inside, args=(tmp_path / "fit", str(ready)))
    child.start()
    while not ready.exists():
        time.sleep(0.05)
    monkeypatch.setattr("bench.storage.files.TELL", 0.1)
    monkeypatch.setenv("BENCH_WAIT_HOURS", "0.0002")  # 0.7 seconds
    with caplog.at_level("INFO"), pytest.raises(Waited, match=f"in use by process {child.pid} on"):
        alone(tmp_path / "fit").__enter__()
    assert caplog.text.count(f"waiting for process {child.pid} on") == 1
    monkeypatch.delenv("BENCH_WAIT_HOURS")
    assert child.pid is not None
    threading.Timer(0.3, os.kill, (child.pid, signal.SIGKILL)).start()
    with alone(tmp_path / "fit"):
        assert str(os.getpid()) in (tmp_path / ".fit.lock").read_text()
    child.join()


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_the_time_to_wait_is_a_number_of_hours(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WAIT_HOURS", text)
    with pytest.raises(BenchError, match=f"BENCH_WAIT_HOURS is '{text}', needed a number of hours above 0"):
        alone(tmp_path / "fit").__enter__()


def test_a_draft_replaces_its_file_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "large.bin"
    with writing(path) as draft:
        assert draft.parent == path.parent and draft.name.startswith(".large.bin.")
        draft.write_bytes(b"first")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), writing(path) as draft:
        draft.write_bytes(b"sec")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first" and [each.name for each in path.parent.iterdir()] == ["large.bin"]
    write_atomic(tmp_path / "small", b"")
    assert path.stat().st_mode == (tmp_path / "small").stat().st_mode


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with writing(tmp_path / "set") as mine:
        mine.mkdir()
        name = mine.name
        host = name.removeprefix(".set.").partition("+")[0]
        dead = tmp_path / f".set.{host}+{2**22 + 1}-0.draft"
        strange = tmp_path / f".set.{host}+{10**40}-0.draft"
        elsewhere, growing, left = (tmp_path / f".{each}.otherhost+7-0.draft" for each in ("new", "growing", "left"))
        for path in (dead, strange, elsewhere, left):
            path.write_bytes(b"half")
        growing.mkdir()
        (growing / "rows").write_bytes(b"half")
        for path in (growing, left):
            os.utime(path, (0, 0))
        remove_drafts(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {name, strange.name, elsewhere.name, growing.name}
    assert (tmp_path / "set").is_dir()


def test_only_reading_writes_and_removes_nothing(tmp_path: Path) -> None:
    write_atomic(tmp_path / "there", b"x")
    with only_reading():
        for write in (
            lambda: write_atomic(tmp_path / "new" / "file", b"x"),
            lambda: owned(tmp_path / "run").__enter__(),
            lambda: alone(tmp_path / "set").__enter__(),
        ):
            with pytest.raises(WouldWrite):
                write()
        discard(tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_checked_file_that_was_edited_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mark.json"
    assert read_checked(path) is None
    write_checked(path, {"number": 1.5, "pair": (1, 2)})
    assert read_checked(path) == {"number": 1.5, "pair": [1, 2]}
    path.write_text(path.read_text().replace("1.5", "2.5"))
    with pytest.raises(Damaged, match=r"mark\.json is damaged"):
        read_checked(path)
