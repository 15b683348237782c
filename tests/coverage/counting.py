"""All cells of some populations, counted by several processes."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from bench.runtime.progress import track
from tests.coverage.cells import Cell, countable, gathered, repeated
from tests.coverage.estimators import Found, of_project
from tests.coverage.populations import DRAWN, SHIFTS, Population
from tests.coverage.radiographs import FOLDER, radiographs
from tests.coverage.truths import Truths

STEP = 10  # repetitions of one task


class Task(NamedTuple):
    """Some repetitions of one population and shift; without any, its truths."""

    population: str
    shift: str
    n: int
    repetitions: range


def all_populations(cache: Path) -> dict[str, Population]:
    """Every population by name; those of radiographs only where these are there."""
    real = radiographs(cache) if FOLDER.is_dir() else ()
    return {each.name: each for each in (*DRAWN, *real)}


def counted(chosen: Sequence[Population], n: int, repetitions: int, metrics: Collection[str], jobs: int) -> list[Cell]:
    """All cells of some populations."""
    tasks = [
        Task(each.name, shift.name, n, numbers)
        for each in chosen
        for shift in each.shifts
        for numbers in (range(0), *(range(s, min(s + STEP, repetitions)) for s in range(0, repetitions, STEP)))
    ]
    found: dict[tuple[str, str], dict[int, list[Mapping[str, Found]]]] = defaultdict(dict)
    truths: dict[tuple[str, str], Mapping[str, float | None]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, ({each.name: each for each in chosen}, frozenset(metrics))) as pool:
        waiting = {pool.submit(_work, task): task for task in tasks}
        for done in track(as_completed(waiting), "coverage", total=len(tasks), unit="task"):
            task = waiting[done]
            place, (known, values) = (task.population, task.shift), done.result()
            if known is None:
                found[place][task.repetitions.start] = values
            else:
                truths[place] = known
    return [
        cell
        for place, parts in sorted(found.items(), key=lambda item: _order(chosen, *item[0]))
        for cell in gathered([each for start in sorted(parts) for each in parts[start]], *place, n, truths[place])
    ]


def _order(chosen: Sequence[Population], population: str, shift: str) -> tuple[int, int]:
    return [each.name for each in chosen].index(population), [each.name for each in SHIFTS].index(shift)


_shared: dict[str, object] = {}


def _start(chosen: dict[str, Population], metrics: frozenset[str]) -> None:
    """In a worker: one thread, and what all tasks read."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    _shared.update(populations=chosen, metrics=metrics, limits=threadpool_limits(1))


def _work(task: Task) -> tuple[Mapping[str, float | None] | None, list[Mapping[str, Found]]]:
    population = _shared["populations"][task.population]  # type: ignore[index]
    shift = next(each for each in population.shifts if each.name == task.shift)
    metrics: frozenset[str] = _shared["metrics"]  # type: ignore[assignment]
    if not task.repetitions:
        truth = Truths(population, shift)
        return {metric: truth(metric) for metric in countable(metrics, population)}, []
    return None, repeated(of_project(metrics), population, shift, task.n, task.repetitions)
