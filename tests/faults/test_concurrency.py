"""Runs at the same time that share a cache: each waits for what another is making, and leaves what it leaves alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from itertools import product

import pytest

from tests.faults.conftest import DIFFUSION, SMALL, Laboratory
from tests.faults.fork_server import Done, Job
from tests.faults.places import Folders, cached, differences, kinds, results

Choice = tuple[str, ...]
GENERATORS = ("ldm", "pca", "copy", "noise")
AT_ONCE = 8


def command(generator: str, seed: int) -> Choice:
    chosen = [*DIFFUSION, "name=ldm"] if generator == "ldm" else [f"generator={generator}"]
    return (*SMALL, *chosen, f"seed={seed}")


def all_of(folders: Folders) -> dict[str, bytes]:
    """What every run left, and what was trained and encoded; prepared images lie under the time of their files."""
    found = {name: content for name, content in cached(folders).items() if not name.startswith("prepared/")}
    for run in sorted(folders.home.glob("runs/*/*/seed=*")):
        there = results(Folders(folders.home, str(run.relative_to(folders.home))))
        found |= {f"{run.parent.name}/{run.name}/{name}": content for name, content in there.items()}
    return found


def at_once(laboratory: Laboratory, choices: Sequence[Choice]) -> list[str]:
    """What the commands that did not end with 0 said; up to ``AT_ONCE`` run at the same time."""
    waiting, running, failed = list(choices), dict[Job, Choice](), list[str]()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            choice = waiting.pop(0)
            running[laboratory.server.start(choice, laboratory.folders.home)] = choice
        job = next(iter(running))
        done, choice = job.wait(), running.pop(job)
        failed += [f"{choice}: {done.code}\n{done.output}"] if done.code else []
    return failed


def together_as_in_series(laboratory: Laboratory, choices: Sequence[Choice]) -> list[str]:
    laboratory.empty()
    for choice in choices:
        done = laboratory.server.run(choice, laboratory.folders.home)
        assert done.code == 0, done.output
    series = all_of(laboratory.folders)
    laboratory.empty()
    failed = at_once(laboratory, choices)
    return failed or differences(all_of(laboratory.folders), series)


def test_seeds_of_one_generator_from_an_empty_cache(laboratory: Laboratory) -> None:
    assert together_as_in_series(laboratory, [command("pca", seed) for seed in range(3)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("generator", GENERATORS)
def test_eight_seeds_from_an_empty_cache(laboratory: Laboratory, generator: str) -> None:
    assert together_as_in_series(laboratory, [command(generator, seed) for seed in range(8)]) == []


@pytest.mark.slow
def test_eight_seeds_of_four_generators_from_an_empty_cache(laboratory: Laboratory) -> None:
    choices = [command(generator, seed) for generator, seed in product(GENERATORS, range(8))]
    assert together_as_in_series(laboratory, choices) == []


def waits(job: Job, seconds: float = 60) -> bool:
    """Until it says that it waits for another process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if job.output.exists() and "waiting for process" in job.output.read_text(errors="replace"):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGCONT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_who_needs_a_training_waits_for_whoever_trains(laboratory: Laboratory, number: int) -> None:
    """The first stands still while it trains, then goes on or dies; the second takes what is there or trains."""
    steps = kinds(laboratory.finished().done.steps)["cache/fits"]
    folders = laboratory.empty()
    first = laboratory.start(at=steps[len(steps) // 2], number=signal.SIGSTOP)
    assert first.stands_still()
    second = laboratory.server.start(command("pca", 1), folders.home)
    try:
        assert waits(second)
    finally:
        os.kill(first.process, number)
    ended = first.wait()
    done = second.wait()
    assert done.code == 0 and f"waiting for process {first.process} on" in done.output, done.output
    assert ended.code == (0 if number == signal.SIGCONT else -signal.SIGKILL), ended.output
    assert ("training: making" in done.output) == (number == signal.SIGKILL)
    again = laboratory.run()
    assert again.code == 0 and "training: making" not in again.output
    assert differences(results(folders), laboratory.finished().results) == []


def encoded(done: Done) -> str:
    return next(line for line in done.output.splitlines() if line.startswith("images encoded:"))


def test_who_needs_features_waits_for_whoever_encodes_them(laboratory: Laboratory) -> None:
    """The real images go through each encoder once, also where two runs want them at the same time."""
    steps = laboratory.finished().done.steps
    first_rows = next(number for number, step in enumerate(steps, 1) if "/features/" in step and ".npy" in step)
    folders = laboratory.empty()
    first = laboratory.start(at=first_rows, number=signal.SIGSTOP)
    assert first.stands_still()
    second = laboratory.server.start(command("pca", 1), folders.home)
    try:
        assert waits(second)
    finally:
        os.kill(first.process, signal.SIGCONT)
    assert first.wait().code == 0
    done = second.wait()
    assert done.code == 0 and differences(results(folders), laboratory.finished().results) == []
    third = laboratory.server.run(command("pca", 2), folders.home)
    assert encoded(done) == encoded(third) != encoded(laboratory.finished().done)


@pytest.mark.slow
def test_who_waits_in_vain_says_for_whom_and_ends_with_1(laboratory: Laboratory) -> None:
    steps = kinds(laboratory.finished().done.steps)["cache/fits"]
    folders = laboratory.empty()
    first = laboratory.start(at=steps[len(steps) // 2], number=signal.SIGSTOP)
    assert first.stands_still()
    try:
        done = laboratory.server.run(command("pca", 1), folders.home, environment={"BENCH_WAIT_HOURS": "0.0001"})
    finally:
        os.kill(first.process, signal.SIGCONT)
    assert first.wait().code == 0
    assert done.code == 1 and "Traceback" not in done.output
    assert f"in use by process {first.process} on" in done.output and "BENCH_WAIT_HOURS" in done.output
