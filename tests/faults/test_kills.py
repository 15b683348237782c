"""Killed before any step that changes the disk, the same command again leaves the same bytes."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import Laboratory
from tests.faults.places import differences, kinds, results

MANY = 100
# in the default suite one kill in each; which are there is checked
PARTS = ("cache/phantom", "cache/prepared", "cache/fits", "cache/features", "run/images", "run/scores", "run")


def test_without_a_kill_nothing_is_made_again(laboratory: Laboratory) -> None:
    """What the other tests stand on: a copy of a finished run in its place is found whole, and looks the same."""
    laboratory.restored()
    done = laboratory.run()
    assert done.code == 0, done.output
    assert "sampling: found" in done.output and "making" not in done.output
    assert len(done.steps) < len(laboratory.finished().done.steps) // 10
    assert differences(results(laboratory.folders), laboratory.finished().results) == []


def killed_at(laboratory: Laboratory, step: int) -> list[str]:
    """What is wrong after a kill before ``step`` and one more start."""
    folders = laboratory.empty()
    killed = laboratory.run(at=step)
    assert killed.code == -signal.SIGKILL, f"step {step} was not reached, code {killed.code}:\n{killed.output}"
    again = laboratory.run()
    wrong = [] if again.code == 0 else [f"code {again.code}: {again.output[-1500:]}"]
    wrong += differences(results(folders), laboratory.finished().results)
    return [f"killed before step {step}, {killed.steps[-1]}", *wrong] if wrong else []


@pytest.mark.parametrize("part", PARTS)
def test_a_kill_in_each_part_of_the_disk_changes_no_byte(laboratory: Laboratory, part: str) -> None:
    steps = kinds(laboratory.finished().done.steps)
    assert part in steps, f"no step changes {part}, only {sorted(steps)}: adapt PARTS and tests/faults/places.py"
    # a draft that has not got its name yet is what a kill can leave behind
    drafted = [step for step in steps[part] if laboratory.finished().done.steps[step - 1].startswith("os.rename")]
    wrong = killed_at(laboratory, drafted[len(drafted) * 2 // 3])
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MANY))
def test_a_kill_anywhere_changes_no_byte(laboratory: Laboratory, number: int) -> None:
    """Evenly over all steps but those of drawing the phantoms, which are many and alike: a tenth of the kills."""
    steps = kinds(laboratory.finished().done.steps)
    phantoms = steps.pop("cache/phantom")
    others = sorted(step for each in steps.values() for step in each)
    few = MANY // 10
    chosen, rank, count = (phantoms, number, few) if number < few else (others, number - few, MANY - few)
    wrong = killed_at(laboratory, chosen[rank * len(chosen) // count])
    assert not wrong, "\n".join(wrong)
