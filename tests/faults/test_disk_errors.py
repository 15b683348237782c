"""Disk full or broken at every step: the run ends with a named reason, and the same command leaves the same bytes."""

from __future__ import annotations

import errno
import os
import re

import pytest

from tests.faults.conftest import Laboratory
from tests.faults.fork_server import Done
from tests.faults.kernel import can_refuse
from tests.faults.places import differences, kinds, learned, results, torn
from tests.faults.points import Point, everywhere

# a step that fails once, and a disk that from a step on takes nothing more
ONCE, LASTING = False, True
KINDS = [(errno.ENOSPC, ONCE), (errno.ENOSPC, LASTING), (errno.EIO, ONCE), (errno.EIO, LASTING)]
NAMES = ["full_once", "full_from_there", "broken_once", "broken_from_there"]
WORDS = {errno.ENOSPC: "the disk is full", errno.EIO: "the disk reports an input/output error"}


def verdict(laboratory: Laboratory, done: Done, error: int) -> list[str]:
    """What is wrong with how a run ended that met the error."""
    if done.code == 0:
        # nothing was left to write but the log
        return differences(results(laboratory.folders), laboratory.finished().results)
    said = rf"(\w+|working on) ({re.escape(str(laboratory.place))}\S+): {WORDS[error]} \({errno.errorcode[error]}\)"
    wanted = [said, r"run the same command again"]
    if error == errno.ENOSPC:
        wanted += [r"[\d,]+ bytes are free on that disk", r"free space there or write elsewhere"]
    wrong = [f"not said: {each}" for each in wanted if not re.search(each, done.output)]
    wrong += ["a traceback"] if "Traceback" in done.output else []
    wrong += [f"code {done.code}"] if done.code != 1 else []
    # nobody was killed, so that each had the time to tidy up
    return wrong + [f"left over: {path}" for path in torn(laboratory.folders)]


def tried_at(laboratory: Laboratory, step: int, error: int, lasting: bool) -> list[str]:
    """What is wrong after a fault at ``step`` and, with the disk as it should be, one more start."""
    folders = laboratory.started()
    done = laboratory.run(at=step, error=error, lasting=lasting)
    wrong = verdict(laboratory, done, error)
    again = laboratory.run()
    wrong += [] if again.code == 0 else [f"then code {again.code}: {again.output[-1500:]}"]
    wrong += differences(results(folders), laboratory.finished().results)
    wrong += differences(learned(folders), laboratory.finished().learned)
    where = done.steps[-1] if done.steps else "not reached"
    return [f"{os.strerror(error)} at step {step}, {where}", *wrong, done.output[-1500:]] if wrong else []


@pytest.mark.parametrize(
    ("part", "error", "lasting"), [("run/images", errno.EIO, ONCE), ("run/scores", errno.ENOSPC, LASTING)]
)
def test_a_disk_error_is_named_and_changes_no_byte(
    laboratory: Laboratory, part: str, error: int, lasting: bool
) -> None:
    if lasting and not can_refuse():
        pytest.skip("needs Linux on x86_64 or aarch64")
    steps = kinds(laboratory.finished(started=True).done.steps)[part]
    wrong = tried_at(laboratory, steps[len(steps) // 2], error, lasting)
    assert not wrong, "\n".join(wrong)


def test_a_disk_that_is_full_from_the_start_is_named_without_a_traceback(laboratory: Laboratory) -> None:
    """Hydra makes the run's folder before anything of this project runs."""
    if not can_refuse():
        pytest.skip("needs Linux on x86_64 or aarch64")
    laboratory.empty()
    done = laboratory.run(at=1, error=errno.ENOSPC, lasting=LASTING)
    assert verdict(laboratory, done, errno.ENOSPC) == [] and done.code == 1, done.output


@pytest.mark.slow
@pytest.mark.parametrize(("error", "lasting"), KINDS, ids=NAMES)
@everywhere(24)
def test_a_disk_error_anywhere_is_named_and_changes_no_byte(
    laboratory: Laboratory, point: Point, error: int, lasting: bool
) -> None:
    if lasting and not can_refuse():
        pytest.skip("needs Linux on x86_64 or aarch64")
    wrong = tried_at(laboratory, point.step(laboratory.finished(started=True).done.steps), error, lasting)
    assert not wrong, "\n".join(wrong)
