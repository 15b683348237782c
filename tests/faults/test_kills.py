"""Killed before any step that changes the disk, the same command again leaves the same bytes."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import DIFFUSION, Laboratory
from tests.faults.places import differences, kinds, learned, results, torn
from tests.faults.points import Point, everywhere

# in the default suite one kill in each; which are there is checked
PARTS = ("cache/phantom", "cache/prepared", "cache/fits", "cache/features", "run/images", "run/scores", "run")
PCA: tuple[str, ...] = ()


def test_without_a_kill_nothing_is_made_again(laboratory: Laboratory) -> None:
    """What the other tests stand on: a copy of a finished run in its place is found whole, and looks the same."""
    laboratory.restored()
    done = laboratory.run()
    assert done.code == 0, done.output
    assert "sampling: found" in done.output and "making" not in done.output
    assert len(done.steps) < len(laboratory.finished().done.steps) // 10
    assert differences(results(laboratory.folders), laboratory.finished().results) == []


def killed_at(laboratory: Laboratory, choice: tuple[str, ...], *steps: int) -> list[str]:
    """What is wrong after a kill before each of ``steps``, each of another start, and one more start."""
    whole = laboratory.finished(*choice, started=True)
    folders = laboratory.started()
    where = []
    for step in steps:
        killed = laboratory.run(*choice, at=step)
        assert killed.code == -signal.SIGKILL, f"step {step} was not reached, code {killed.code}:\n{killed.output}"
        where.append(f"killed before step {step}, {killed.steps[-1]}")
    again = laboratory.run(*choice)
    wrong = [] if again.code == 0 else [f"code {again.code}: {again.output[-1500:]}"]
    wrong += differences(results(folders), whole.results)
    wrong += differences(learned(folders), whole.learned)
    wrong += [f"left over: {path}" for path in torn(folders)]
    return [*where, *wrong] if wrong else []


@pytest.mark.parametrize("part", PARTS)
def test_a_kill_in_each_part_of_the_disk_changes_no_byte(laboratory: Laboratory, part: str) -> None:
    done = laboratory.finished(started=True).done
    steps = kinds(done.steps)
    assert part in steps, f"no step changes {part}, only {sorted(steps)}: adapt PARTS and tests/faults/places.py"
    # a draft that has not got its name yet is what a kill can leave behind
    drafted = [step for step in steps[part] if done.steps[step - 1].startswith("os.rename")]
    wrong = killed_at(laboratory, PCA, drafted[len(drafted) * 2 // 3])
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@everywhere(80)
def test_a_kill_anywhere_changes_no_byte(laboratory: Laboratory, point: Point) -> None:
    wrong = killed_at(laboratory, PCA, point.step(laboratory.finished(started=True).done.steps))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@everywhere(40)
def test_a_kill_anywhere_in_a_diffusion_model_changes_no_byte(laboratory: Laboratory, point: Point) -> None:
    wrong = killed_at(laboratory, DIFFUSION, point.step(laboratory.finished(*DIFFUSION, started=True).done.steps))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_a_kill_while_the_fixed_material_is_measured_changes_no_byte(laboratory: Laboratory, number: int) -> None:
    """Where the other trials do not come, for they find it measured."""
    whole = laboratory.finished()
    steps = kinds(whole.done.steps)["cache/conformance"]
    folders = laboratory.empty()
    assert laboratory.run(at=steps[number * len(steps) // 4]).code == -signal.SIGKILL
    again = laboratory.run()
    assert again.code == 0 and differences(results(folders), whole.results) == [], again.output


@pytest.mark.slow
@pytest.mark.parametrize("choice", [PCA, DIFFUSION], ids=["pca", "ldm"])
@everywhere(10)
def test_a_kill_of_the_resume_too_changes_no_byte(
    laboratory: Laboratory, choice: tuple[str, ...], point: Point
) -> None:
    steps = laboratory.finished(*choice, started=True).done.steps
    first = point.step(steps)
    # what is left takes at least the steps that opening the folder takes
    wrong = killed_at(laboratory, choice, first, 1 + (len(steps) - first) // 3)
    assert not wrong, "\n".join(wrong)
