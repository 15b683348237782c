"""The log of a run stops nothing, whatever its disk does."""

from __future__ import annotations

import errno
import logging
import sys
from pathlib import Path

import pytest

from bench.__main__ import _reported
from bench.runtime.processes import ALONE
from bench.runtime.run_folder import logged
from bench.storage.disk_errors import DiskError
from tests.storage.test_disk_errors import small_files

log = logging.getLogger("bench.example")


def test_what_is_logged_stands_in_the_file(tmp_path: Path) -> None:
    with logged(tmp_path / "bench.log", str):
        log.warning("one")
    log.warning("two")
    assert (tmp_path / "bench.log").read_text().splitlines()[0].endswith("[WARNING] - one")
    assert "two" not in (tmp_path / "bench.log").read_text()


def test_where_the_disk_refused_stands_in_the_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like the disk's may be the program's, which only a traceback tells."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stdout)])
    with logged(tmp_path / "bench.log", lambda text: text.replace("stat", "hush")):
        try:
            (tmp_path / ("x" * 300)).is_file()
        except OSError as error:
            code, reason = _reported(error, ALONE)
    assert code == 1 and "the name is too long" in reason
    said, kept = capsys.readouterr().out, (tmp_path / "bench.log").read_text()
    assert reason in said and "Traceback" not in said
    assert reason in kept and "Traceback" in kept and "is_file" in kept and "hush" in kept


def test_what_a_process_is_refused_is_an_error_in_the_program(caplog: pytest.LogCaptureFixture) -> None:
    assert _reported(PermissionError(errno.EPERM, "Operation not permitted"), ALONE)[0] == 1
    assert "stopped by an error in the program" in caplog.text


def test_a_log_that_cannot_be_written_is_told_of_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.log"
    with small_files(200), logged(path, str):
        for number in range(20):
            log.warning("line %d of a run that goes on", number)
    told = [each.message for each in caplog.records if "nothing is logged in a file" in each.message]
    assert len(told) == 1 and f"writing {path}: the file would be larger than is allowed" in told[0]
    assert "Traceback" not in capsys.readouterr().err
    assert str(path) not in str(logging.getLogger().handlers)


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    name = "x" * 300
    with (
        pytest.raises(DiskError, match=rf"^writing {tmp_path}/{name}: the name is too long"),
        logged(tmp_path / name, str),
    ):
        pass
