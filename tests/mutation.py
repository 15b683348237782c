"""Do the tests notice a wrong metric? ``python -m tests.mutation`` plants bugs one at a time and counts those caught.

Each bug is a patch of one line or a few, applied to a copy of the tree. A patch that no longer fits, tests that fail
without any bug, and a bug that breaks more than the code it stands in (nothing can be imported or collected) are
errors, never catches. ``python -m tests.mutation NAME ...`` plants the named bugs only.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.planted_bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("bench", "conf", "evaluators", "generators", "leaderboard", "tests", "pyproject.toml")
LIBRARIES = (
    "pytest",
    "numpy",
    "scipy.stats",
    "scipy.ndimage",
    "sklearn.metrics",
    "skimage.metrics",
    "torch",
    "datasets",
)
PASSED, FAILED, ELSEWHERE = 0, 1, 99  # exit codes: two of pytest, and one for tests that ran on other code
LIMIT = 600  # seconds


class DoesNotFit(Exception):
    """The text that a patch replaces is not there exactly once."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a bug: ``caught``, ``survived`` or ``error``, and the first failure or the reason."""

    bug: Bug
    outcome: str
    detail: str
    seconds: float


def patched(bug: Bug, root: Path = ROOT) -> str:
    """The source with the bug in it.

    Raises:
        DoesNotFit: the text it replaces stands there not once, or nothing would change.
    """
    text = (root / bug.file).read_text(encoding="utf-8")
    if text.count(bug.old) != 1 or bug.old == bug.new:
        raise DoesNotFit(f"{bug.name}: {bug.file} has {text.count(bug.old)} times {bug.old!r}, needed once")
    return text.replace(bug.old, bug.new)


def copy_tree(folder: Path) -> Path:
    """A copy of the code without compiled files, whose age could hide a patch."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of the tests in the copy, stopping at the first failure.

    Raises:
        TimeoutError: they take longer than ``LIMIT``.
    """
    output = tree / "output.txt"
    # a process that has loaded the libraries, and nothing of ours, is copied for every run
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    process = context.Process(target=_test, args=(tree, tuple(tests), output))
    process.start()
    process.join(LIMIT)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"tests took over {LIMIT} s")
    return process.exitcode, output.read_text(encoding="utf-8", errors="replace")


def _test(tree: Path, tests: Sequence[str], output: Path) -> None:
    """In a process of its own: forget this tree, import from the copy, and leave with pytest's exit code."""
    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[name]
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    sys.path[:] = [str(tree), *(place for place in sys.path if Path(place).resolve() != ROOT)]
    sys.dont_write_bytecode = True
    import pytest

    code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
    bench = sys.modules.get("bench")
    if bench is None or not str(bench.__file__).startswith(str(tree)):
        code = ELSEWHERE
    sys.stdout.flush()
    os._exit(code)


def plant(bug: Bug, tree: Path) -> Found:
    """Apply the bug, run its tests, take it out again."""
    begin = time.perf_counter()
    target = tree / bug.file
    clean = target.read_text(encoding="utf-8")
    try:
        target.write_text(patched(bug, tree), encoding="utf-8")
        code, output = run_tests(tree, bug.tests)
    except DoesNotFit as error:
        return Found(bug, "error", str(error), 0.0)
    except TimeoutError as error:
        return Found(bug, "error", str(error), LIMIT)
    finally:
        target.write_text(clean, encoding="utf-8")
    lines = output.strip().splitlines() or [""]
    outcome = {PASSED: "survived", FAILED: "caught"}.get(code, "error")
    first = next((line for line in lines if line.startswith("FAILED")), lines[-1])
    return Found(bug, outcome, first, time.perf_counter() - begin)


def run(bugs: Iterable[Bug]) -> list[Found]:
    """Plant every bug in one copy of the tree, after its tests have passed there without any."""
    found: list[Found] = []
    sound: dict[tuple[str, ...], str] = {}
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = copy_tree(Path(folder))
        for bug in bugs:
            if bug.tests not in sound:
                code, output = run_tests(tree, bug.tests)
                sound[bug.tests] = "" if code == PASSED else f"the tests fail without the bug: {output[-400:]}"
            if sound[bug.tests]:
                found.append(Found(bug, "error", sound[bug.tests], 0.0))
            else:
                found.append(plant(bug, tree))
            sys.stdout.write(line(found[-1]) + "\n")
            sys.stdout.flush()
    return found


def line(found: Found) -> str:
    """One line about one bug."""
    return f"{found.outcome:8}  {found.bug.name:44}  {found.seconds:4.0f} s  {found.detail}"


def main(names: Sequence[str]) -> int:
    """Exit code 0 if all but one in 25 were caught and nothing went wrong."""
    bugs = [bug for bug in BUGS if not names or bug.name in names]
    found = run(bugs)
    caught = sum(each.outcome == "caught" for each in found)
    errors = [each for each in found if each.outcome == "error"]
    sys.stdout.write(f"caught {caught} of {len(found)}, {len(errors)} errors\n")
    return int(bool(errors) or len(found) - caught > len(found) // 25)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
