"""The folder of runs, read: every run that can be trusted, and what is wrong with the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.storage.files import file_digest
from bench.storage.names import path_name_faults
from bench.storage.record import Record, RunRecord
from leaderboard.check import Broken, Problem, is_inner, pointer, read_record

PATTERN = "*/*/seed=*/run.json"


class NoRuns(Exception):
    """There is nothing to show."""


@dataclass(frozen=True)
class Run:
    """One run: ``<dataset>/<name>/seed=<seed>``.

    Attributes:
        place: its folder relative to the folder of runs, with slashes.
        scores: its readable score records by evaluator.
        files: the bytes of those records, by path within the run.
    """

    folder: Path
    place: str
    record: RunRecord
    scores: Mapping[str, Record]
    files: Mapping[str, bytes]


def read_runs(root: Path) -> tuple[list[Run], list[Problem]]:
    """Every readable run below ``root`` in the order of their places, and every fault found on the way.

    Raises:
        NoRuns: ``root`` has no run at all.
    """
    paths = sorted(root.glob(PATTERN), key=lambda path: path.relative_to(root).as_posix())
    if not paths:
        here = "has no run" if root.is_dir() else "does not exist"
        raise NoRuns(f"{root} {here}: looked for {root}/<dataset>/<name>/seed=<seed>/run.json")
    runs: list[Run] = []
    problems: list[Problem] = []
    taken: dict[tuple[str, str, str, int], str] = {}
    for path in paths:
        try:
            run, faults = _read_run(path, root)
            _claim(run, taken)
        except Broken as broken:
            problems.extend(broken.problems)
            continue
        runs.append(run)
        problems.extend(faults)
    return runs, sorted(problems)


def _claim(run: Run, taken: dict[tuple[str, str, str, int], str]) -> None:
    record = run.record
    identity = (record.dataset, record.digests.get("split", ""), record.generator, record.seed)
    if identity in taken:
        message = f"the same data set, generator and seed as {taken[identity]}; rename or remove one"
        raise Broken([Problem(f"{run.place}/run.json", "", message)])
    taken[identity] = run.place


def _read_run(path: Path, root: Path) -> tuple[Run, list[Problem]]:
    place = path.parent.relative_to(root).as_posix()
    name = f"{place}/run.json"
    if not is_inner(place):
        raise Broken([Problem(name, "", "the folder's name has characters that cannot stand in a link")])
    if faults := [fault for part in place.split("/")[:2] for fault in path_name_faults(part)]:
        raise Broken([Problem(name, "", f"the folder's name is none a run can have: {fault}") for fault in faults])
    if inside(path.parent, "run.json") is None:
        raise Broken([Problem(name, "", "is not a plain file in its folder")])
    record, content = read_record(path, name)
    if not isinstance(record, RunRecord):
        raise Broken([Problem(name, "", "is a score record, not the record of a run")])
    if path.parent.name != f"seed={record.seed}":
        raise Broken([Problem(name, "/seed", f"{record.seed}, but the folder is called {path.parent.name}")])
    scores: dict[str, Record] = {}
    files = {"run.json": content}
    problems: list[Problem] = []
    for evaluator, entry in sorted(record.evaluators.items()):
        try:
            scores[evaluator], files[entry.file] = _read_scores(path.parent, place, record, evaluator)
        except Broken as broken:
            problems.extend(broken.problems)
    problems.extend(_strangers(path.parent, place, record))
    problems.extend(_changed(path.parent, place, scores))
    return Run(path.parent, place, record, scores, files), problems


def _read_scores(folder: Path, place: str, run: RunRecord, evaluator: str) -> tuple[Record, bytes]:
    entry = run.evaluators[evaluator]
    here = pointer("evaluators", evaluator)
    path = inside(folder, entry.file)
    if path is None:
        message = f"{entry.file} is missing or no plain file within the run's folder"
        raise Broken([Problem(f"{place}/run.json", f"{here}/file", message)])
    name = f"{place}/{entry.file}"
    record, content = read_record(path, name)
    if not isinstance(record, Record):
        raise Broken([Problem(name, "", "is the record of a run, not a score record")])
    if not _is(content, entry.sha256):
        message = f"{entry.file} is not the file this digest was taken of; run the evaluator again"
        raise Broken([Problem(f"{place}/run.json", f"{here}/sha256", message)])
    if record.evaluator != evaluator:
        raise Broken([Problem(name, "/evaluator", f"{record.evaluator!r}, but run.json lists it as {evaluator!r}")])
    if record.status != entry.status:
        raise Broken([Problem(name, "/status", f"{record.status!r}, but run.json says {entry.status!r}")])
    return record, content


def _strangers(folder: Path, place: str, record: RunRecord) -> Iterator[Problem]:
    """Score files that ``run.json`` does not list."""
    listed = {entry.file for entry in record.evaluators.values()}
    for path in sorted((folder / "scores").glob("[!.]*.json")):
        if f"scores/{path.name}" not in listed:
            yield Problem(f"{place}/scores/{path.name}", "", "left out: run.json does not list it")


def _changed(folder: Path, place: str, scores: Mapping[str, Record]) -> Iterator[Problem]:
    """What evaluators left that is no longer what their records speak of."""
    for name, digest in sorted(artifacts(scores).items()):
        path = inside(folder, name)
        if path is not None and not file_digest(path).startswith(digest):
            message = "left out: is not the file its score record speaks of; run the same configuration again"
            yield Problem(f"{place}/{name}", "", message)


def artifacts(scores: Mapping[str, Record]) -> dict[str, str]:
    """The SHA-256 of every file that evaluators left beside their scores, by its path within the run."""
    return {name: digest for record in scores.values() for name, digest in record.artifacts.items()}


def artifact(run: Run, name: str, largest: int) -> bytes | None:
    """The content of such a file; ``None`` if it is missing, changed, or has more than ``largest`` bytes."""
    path, digest = inside(run.folder, name), artifacts(run.scores).get(name)
    if path is None or digest is None or path.stat().st_size > largest:
        return None
    content = path.read_bytes()
    return content if _is(content, digest) else None


def _is(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest().startswith(digest)


def inside(folder: Path, path: str) -> Path | None:
    """The regular file at ``path`` within ``folder``; ``None`` if there is none or it lies elsewhere by a link."""
    if not is_inner(path):
        return None
    found = (folder / path).resolve()
    return found if found.is_file() and found.is_relative_to(folder.resolve()) else None


def check_file(path: Path) -> list[Problem]:
    """Every fault of one record file; for a ``run.json`` also of the score files it lists and of what these left."""
    try:
        record, _ = read_record(path)
    except Broken as broken:
        return list(broken.problems)
    if not isinstance(record, RunRecord):
        return []
    problems: list[Problem] = []
    scores: dict[str, Record] = {}
    for evaluator in sorted(record.evaluators):
        try:
            scores[evaluator], _ = _read_scores(path.parent, path.parent.as_posix(), record, evaluator)
        except Broken as broken:
            problems.extend(broken.problems)
    return [*problems, *_changed(path.parent, path.parent.as_posix(), scores)]
