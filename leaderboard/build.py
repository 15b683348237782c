"""The site: one page, the tidy scores, and the records it was made of. Same records, same bytes."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.api import CONTROLS
from bench.storage.agreement import short_digest
from bench.storage.files import write_atomic
from bench.storage.names import visible
from bench.storage.record import sizes_words, trained_on_words
from leaderboard.check import Problem, parse_json
from leaderboard.columns import Arm, Grid, Section, sections
from leaderboard.estimate import loss, narrowing
from leaderboard.read import Run, artifact, inside
from leaderboard.settings import columns_of, shown, swept_settings
from leaderboard.tables import codes
from leaderboard.wording import (
    BEST_FIRST,
    compared,
    duration,
    exact,
    from_null,
    from_null_in_full,
    interval,
    number,
    plain,
    scale,
    source,
)

LARGEST = 32 * 2**20  # bytes of a picture, card or report
PNG = b"\x89PNG\r\n\x1a\n"
CARDS = ("card.md", "card.json")  # a card.html comes with a run, perhaps from a stranger, and is never published
# A report is a page of its own: nothing in it may run, load or send.
REPORT_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'\">"
)
Files = dict[str, bytes]


def build(runs: Sequence[Run], problems: Sequence[Problem], validity: Path | None = None) -> Files:
    """Every file of the site by its path within it. Depends on nothing but the runs, problems and ``validity``.

    ``validity`` is the folder of reports on what the metrics see, ``<dataset>/validity.html`` each.
    """
    ordered = sorted(runs, key=lambda run: run.place)
    files: Files = {".nojekyll": b""}  # a host that turns Markdown into pages would serve a stranger's card as one
    for run in ordered:
        for name, content in _copies(run):
            files[f"records/{run.place}/{name}"] = content
    board = sections(ordered)
    files |= _reports(board, validity)
    rows = tidy(ordered)
    files["leaderboard.csv"] = as_csv(rows)
    files["leaderboard.js"] = (resources.files("leaderboard") / "templates" / "leaderboard.js").read_bytes()
    files["index.html"] = page(board, files, problems)
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}
    data = {"schema": 1, "scores": rows, "files": sums}
    files["leaderboard.json"] = (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()
    return files


def write(files: Files, out: Path) -> None:
    """Write the site, each file whole or not at all, the page last; records of an earlier build that went are removed.

    Files in ``out`` that no build made stay as they are.
    """
    before = _recorded(out / "leaderboard.json")
    for path, content in sorted(
        files.items(), key=lambda item: (item[0] in ("leaderboard.json", "index.html"), item[0])
    ):
        write_atomic(out / path, content)
    for path in sorted(before - files.keys()):
        old = inside(out, path)
        if old is not None:
            old.unlink()


def _recorded(path: Path) -> set[str]:
    try:
        listed = parse_json(path.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in listed if isinstance(name, str) and name.startswith(("records/", "validity/"))}


def _copies(run: Run) -> Iterator[tuple[str, bytes]]:
    """What of a run is published: nothing that a browser would take for a page.

    Real images are shown only where the data set allows it; a card of words holds none.
    """
    yield from run.files.items()
    for name in CARDS:
        content = artifact(run, name, LARGEST)
        if content is not None:
            yield name, content
    picture = _content(run.folder, "sheet.png")
    if picture is not None and picture.startswith(PNG) and may_show(run):
        yield "sheet.png", picture


def _content(folder: Path, name: str) -> bytes | None:
    path = inside(folder, name)
    return path.read_bytes() if path is not None and path.stat().st_size <= LARGEST else None


def _reports(board: Sequence[Section], validity: Path | None) -> Files:
    """What the metrics see on each data set of the board, where somebody made the report."""
    if validity is None:
        return {}
    names = sorted({section.dataset for section in board})
    found = {name: _content(validity, f"{name}/validity.html") for name in names}
    return {f"validity/{name}.html": guarded(page) for name, page in found.items() if page is not None}


def may_show(run: Run) -> bool:
    """Whether the run's images may stand on a public page."""
    return not run.record.shows_real or run.record.info.get("redistributable") is True


def guarded(report: bytes) -> bytes:
    """A report with a policy before its first element, under which the browser runs no script and loads nothing."""
    doctype = re.match(rb"\s*<!doctype html>", report, re.IGNORECASE)
    start = doctype.end() if doctype else 0
    return b"<!doctype html>" + REPORT_POLICY.encode() + report[start:]


def tidy(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row a score, and one for each evaluator that has none.

    ``conformance`` is the same for records of one protocol whose code finds the same in the fixed material; ``None`` is
    unknown. ``settings`` are those in which runs of one data set and one class of generators differ.
    """
    rows = []
    known, settings = codes(runs), swept_settings(runs)
    for run in runs:
        record = run.record
        who = {
            "dataset": record.dataset,
            "split": record.digests.get("split"),
            "generator": record.generator,
            "control": record.control,
            "seed": record.seed,
            "settings": settings[run.place],
        }
        for evaluator, found in sorted(run.scores.items()):
            what: dict[str, Any] = {"evaluator": evaluator, "protocol": short_digest(found.protocol)}
            what |= {"conformance": known[run.place, evaluator], "status": found.status}
            metrics = {metric.key: metric for metric in found.metrics}
            for score in found.scores:
                metric = metrics[score.metric]
                sense = {"better": metric.better, "target": metric.target, "unit": metric.unit}
                spread = score.spread
                sides = {"se_real": spread and spread.real, "se_synthetic": spread and spread.synthetic}
                rows.append({**who, **what, **score.model_dump(exclude={"spread"}), **sense, **sides})
            if not found.scores:
                why = found.reason if found.error is None else f"{found.error.type}: {found.error.message}"
                rows.append({**who, **what, **dict.fromkeys(SCORE), "reason": why})
    return rows


_MEASURED = ("metric", "value", "low", "high", "n", "group", "encoder", "reason", "words", "ranked")
SCORE = (*_MEASURED, "better", "target", "unit", "se_real", "se_synthetic")


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as CSV whose text cells no spreadsheet takes for a formula; each swept setting is a column, last."""
    who = ("dataset", "split", "generator", "control", "seed")
    names = (*who, "evaluator", "protocol", "conformance", "status", *SCORE)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    swept = columns_of(rows)
    writer.writerow([*names, *map(_csv_cell, swept)])
    for row in rows:
        own = row["settings"]
        settings = [shown(own[name]) if name in own else None for name in swept]
        writer.writerow(map(_csv_cell, [*(row[name] for name in names), *settings]))
    return text.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else shown


def page(board: Sequence[Section], files: Files, problems: Sequence[Problem]) -> bytes:
    """``index.html``; ``files`` says which copies there are to link to."""
    environment = Environment(
        loader=PackageLoader("leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "plain": plain,
        "exact": exact,
        "interval": interval,
        "duration": duration,
        "source": source,
        "narrowing": narrowing,
    }
    environment.globals |= {
        "notes": notes,
        "sheet": lambda run: sheet(run, files),
        "cards": lambda run: cards(run, files),
        "records": records,
        "unread": unread,
        "validity": lambda dataset: report(dataset, files),
    }
    environment.globals |= {"compared": compared, "from_null": from_null, "from_null_in_full": from_null_in_full}
    environment.globals |= {"may_show": may_show, "loss": loss, "scale": scale, "best_first": BEST_FIRST}
    controls = {name: f"reference: {words}" for name, words in CONTROLS.items()}
    environment.globals |= {"controls": controls, "trained_on": trained_on_words, "sizes": sizes_words}
    style = (resources.files("leaderboard") / "templates" / "leaderboard.css").read_text(encoding="utf-8")
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    reported = [name for name in sorted({section.dataset for section in board}) if report(name, files)]
    text = environment.get_template("page.html").render(
        board=board, problems=problems, reported=reported, style=Markup(style), style_hash=hashed
    )
    return text.encode()


def _finalize(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def notes(arm: Arm, grid: Grid) -> dict[str, int]:
    """The footnotes of a table, numbered from 1 in reading order."""
    found: dict[str, int] = {}
    for row in arm.rows:
        for column in grid.columns:
            for note in column.cells[row.name].notes:
                found.setdefault(note, len(found) + 1)
    return found


def sheet(run: Run, files: Files) -> dict[str, Any] | None:
    """Address, width and height of the run's contact sheet."""
    path = f"records/{run.place}/sheet.png"
    if path not in files or len(files[path]) < 24:
        return None
    width, height = struct.unpack(">II", files[path][16:24])
    return {"address": quote(path), "width": width, "height": height}


def cards(run: Run, files: Files) -> list[tuple[str, str]]:
    """Title and address of the run's cards as text and as data."""
    paths = {name: f"records/{run.place}/{name}" for name in CARDS}
    return [(name, quote(path)) for name, path in paths.items() if path in files]


def report(dataset: str, files: Files) -> str | None:
    """Address of the report on what the metrics see on a data set."""
    path = f"validity/{dataset}.html"
    return quote(path) if path in files else None


def records(run: Run) -> list[tuple[str, str]]:
    """Title and address of the run's records: the run itself, then the scores by evaluator."""
    entries = [(name, entry.file) for name, entry in sorted(run.record.evaluators.items()) if name in run.scores]
    return [(title, quote(f"records/{run.place}/{file}")) for title, file in [("run", "run.json"), *entries]]


def unread(run: Run) -> list[str]:
    """The conditions that were asked for but that the generator does not read; its numbers are lower for it."""
    names = run.record.facts.get("conditions_unread")
    return [str(name) for name in names] if isinstance(names, list) else []
