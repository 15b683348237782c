"""Whatever is damaged on disk is made again with a warning that names it, or refused by name: never read in silence."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow
import pytest

from tests.faults import places
from tests.faults.conftest import Laboratory
from tests.faults.fork_server import Done
from tests.faults.places import Folders, cached, differences, results

FILTER = ("filter=manifold", "filter.encoder=pixels")
# TOLD: made again, and a warning names it. MADE: what is not there is simply made, as in a first run.
# EITHER: told, or refused by an error that names it
Wanted = Literal["told", "made", "either"]
TOLD: Wanted = "told"
MADE: Wanted = "made"
EITHER: Wanted = "either"


@dataclass(frozen=True)
class Case:
    """One damage.

    Attributes:
        damage: does it and gives back the path that was damaged.
        anew: the run folder is deleted afterwards, so that the next run reads the cache again.
        choice: settings of the run.
        few: runs in the default suite too.
    """

    name: str
    damage: Callable[[Folders], Path]
    wanted: Wanted = TOLD
    anew: bool = False
    choice: tuple[str, ...] = ()
    few: bool = False


def flip(path: Path) -> Path:
    """Change a bit in each of three bytes in the middle."""
    content = bytearray(path.read_bytes())
    for place in (len(content) // 2, len(content) // 2 + 4, len(content) // 2 + 8):
        content[place] ^= 0x10
    path.write_bytes(content)
    return path


def cut(path: Path) -> Path:
    """Lose the last third."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def remove(path: Path) -> Path:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


def replace(path: Path, old: str, new: str) -> Path:
    """Another text in the place of the first ``old``, a regular expression."""
    text, count = re.subn(old, new, path.read_text(encoding="utf-8"), count=1)
    assert count, f"{path} has no {old}"
    path.write_text(text, encoding="utf-8")
    return path


def edit(path: Path, change: Callable[[Any], None]) -> Path:
    """Valid JSON as before, with another content."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def zero_rows(path: Path) -> Path:
    np.save(path, np.zeros_like(np.load(path)))
    return path


def reverse_keys(path: Path) -> Path:
    first, *keys = path.read_text().split("\n")
    path.write_text("\n".join([first, *reversed(keys)]))
    return path


def other_mean(path: Path) -> Path:
    """A model that is whole, but not the one that was trained."""
    with np.load(path) as kept:
        arrays = {name: kept[name] for name in kept.files}
    buffer = BytesIO()
    np.savez(buffer, **(arrays | {"mean": arrays["mean"] + 40}))
    path.write_bytes(buffer.getvalue())
    return path


def rotate_mapped(folders: Folders) -> Path:
    """Each row gets the picture of the next; then everything is measured again."""
    path = places.mapped_images(folders)
    with pyarrow.OSFile(str(path)) as file:
        table = pyarrow.ipc.open_stream(file).read_all()
    column = table.column_names.index("image")
    turned = pyarrow.concat_tables([table.slice(1), table.slice(0, 1)]).column("image")
    table = table.set_column(column, table.schema.field(column), turned)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    shutil.rmtree(folders.run / "scores")
    return path


def unfinished(folders: Folders, damage: Callable[[Path], Path], part: int = 0) -> Path:
    """A part is damaged before its set is complete, as a power loss leaves it."""
    places.marker(folders, "sampling").unlink()
    return damage(places.image_parts(folders)[part])


def other_value(factor: float) -> Callable[[Any], None]:
    """Multiply the first score that has a value."""

    def change(record: Any) -> None:
        row = next(row for row in record["scores"] if row["value"])
        row["value"] *= factor

    return change


def other_verdict(path: Path) -> Path:
    return replace(path, '"keep": true', '"keep": false')


FEATURES = (
    Case("features_bytes_flipped", lambda each: flip(places.feature_rows(each)[1]), anew=True, few=True),
    Case("features_zeroed", lambda each: zero_rows(places.feature_rows(each, "radiomics")[1]), anew=True),
    Case("features_hashes_reversed", lambda each: reverse_keys(places.feature_keys(each)[0]), anew=True),
    Case("features_truncated", lambda each: cut(places.feature_rows(each)[0]), anew=True),
    Case("features_emptied", lambda each: empty(places.feature_rows(each)[0]), anew=True),
    Case("features_rows_missing", lambda each: remove(places.feature_rows(each, "radiomics")[0]), anew=True, few=True),
    Case("features_hashes_cut", lambda each: cut(places.feature_keys(each)[0]), anew=True),
    Case("features_hashes_missing", lambda each: remove(places.feature_keys(each)[0]), MADE, anew=True),
    Case("features_folder_missing", lambda each: remove(places.features(each)), MADE, anew=True),
)
TRAINED = (
    Case("fit_mean_replaced", lambda each: other_mean(places.fit_arrays(each)), anew=True, few=True),
    Case("fit_truncated", lambda each: cut(places.fit_arrays(each)), anew=True, few=True),
    Case("fit_missing", lambda each: remove(places.fit_arrays(each)), anew=True),
    Case("fit_marker_damaged", lambda each: cut(places.fit_marker(each)), anew=True),
    Case("fit_marker_missing", lambda each: remove(places.fit_marker(each)), MADE, anew=True),
)
PREPARED = (
    Case("prepared_rows_changed", lambda each: flip(places.prepared_rows(each)), few=True),
    Case("prepared_rows_missing", lambda each: remove(places.prepared_rows(each))),
    Case("prepared_marker_damaged", lambda each: cut(places.prepared_marker(each))),
    Case("prepared_folder_missing", lambda each: remove(places.prepared(each)[0]), MADE),
)
IMAGES = (
    Case("mapped_images_rotated", rotate_mapped, few=True),
    Case("part_changed", lambda each: flip(places.image_parts(each)[0]), EITHER),
    Case("part_missing", lambda each: remove(places.image_parts(each)[1]), EITHER),
    Case("part_emptied", lambda each: empty(places.image_parts(each)[0]), EITHER),
    Case("part_emptied_before_the_set_is_complete", lambda each: unfinished(each, empty), few=True),
    Case("part_rotten_before_the_set_is_complete", lambda each: unfinished(each, flip)),
    Case("part_missing_before_the_set_is_complete", lambda each: unfinished(each, remove), MADE),
    Case("part_account_damaged", lambda each: (unfinished(each, Path), cut(places.marker(each, "part")))[1]),
    Case("images_marker_damaged", lambda each: cut(places.marker(each, "sampling"))),
    Case("images_marker_missing", lambda each: remove(places.marker(each, "sampling")), MADE),
)
PUBLISHED = (
    Case(
        "card_page_edited", lambda each: replace(places.result(each, "card.html"), "<body", "<b>FDA</b><body"), few=True
    ),
    Case("card_text_emptied", lambda each: empty(places.result(each, "card.md"))),
    Case("card_table_edited", lambda each: edit(places.result(each, "card.json"), lambda found: found.update(more=1))),
    Case("card_page_missing", lambda each: remove(places.result(each, "card.html"))),
    Case("sheet_emptied", lambda each: empty(places.result(each, "sheet.png")), few=True),
    Case("requests_missing", lambda each: remove(places.result(each, "requests.csv"))),
    Case("requests_edited", lambda each: replace(places.result(each, "requests.csv"), "Medium", "High"), few=True),
    Case(
        "intervals_edited", lambda each: edit(places.result(each, "intervals.json"), lambda found: found.update(more=1))
    ),
    Case(
        "privacy_edited", lambda each: edit(places.result(each, "privacy.json"), lambda found: found.update(images=1))
    ),
)
RECORDS = (
    Case("score_edited", lambda each: edit(places.score(each, "fidelity"), other_value(1.01)), few=True),
    Case("score_edited_to_the_impossible", lambda each: edit(places.score(each, "fidelity"), other_value(1000))),
    Case("score_missing", lambda each: remove(places.score(each, "privacy"))),
    Case("score_truncated", lambda each: cut(places.score(each, "utility"))),
    Case("score_marker_damaged", lambda each: cut(places.marker(each, "fidelity"))),
    Case("score_marker_missing", lambda each: remove(places.marker(each, "privacy")), MADE),
    Case("record_damaged", lambda each: cut(places.result(each, "run.json")), few=True),
    Case("record_edited", lambda each: edit(places.result(each, "run.json"), lambda found: found.update(seed=7)), MADE),
    Case("record_missing", lambda each: remove(places.result(each, "run.json")), MADE),
    Case("facts_edited", lambda each: replace(places.marker(each, "sampling"), r'"facts": {', '"facts": {"made": 1, ')),
)
FILTERED = (
    Case(
        "filter_report_edited",
        lambda each: replace(places.result(each, "filter.json"), r'"judged": \d+', '"judged": 1'),
    ),
    Case("filter_report_damaged", lambda each: cut(places.result(each, "filter.json"))),
    Case("filter_table_edited", lambda each: replace(places.result(each, "filter.csv"), "yes", "no")),
    Case("filter_verdict_edited", lambda each: other_verdict(places.journal(each)), few=True),
    Case("filter_journal_cut", lambda each: cut(places.journal(each)), MADE),
)


def parameters() -> list[Any]:
    """The table; all but a few take longer than the default suite has."""
    cases = [*FEATURES, *TRAINED, *PREPARED, *IMAGES, *PUBLISHED, *RECORDS]
    cases += [Case(each.name, each.damage, each.wanted, each.anew, FILTER, each.few) for each in FILTERED]
    return [pytest.param(each, id=each.name, marks=() if each.few else pytest.mark.slow) for each in cases]


def told(output: str, path: Path, *levels: str) -> bool:
    """Whether a warning or an error names the file; a shard of features may be named by either of its files."""
    entries = re.split(r"(?m)^(?=\[\d{4}-\d\d-\d\d )", output)
    name = path.stem if path.parent.parent.name == "features" else path.name
    return any(name in each and any(f"[{level}]" in each for level in levels) for each in entries)


@pytest.mark.parametrize("case", parameters())
def test_damage_is_mended_or_named_never_read_in_silence(laboratory: Laboratory, case: Case) -> None:
    finished = laboratory.finished(*case.choice)
    folders = laboratory.restored(*case.choice)
    path = case.damage(folders)
    if case.anew:
        shutil.rmtree(folders.run)
    done = laboratory.run(*case.choice)
    wrong = differences(results(folders), finished.results)
    if done.code == 0:
        wrong += differences(cached(folders), finished.cached)
    verdict = judged(case, done, path, wrong)
    assert not verdict, f"{verdict}: {path.relative_to(folders.home)}\n{chr(10).join(wrong[:12])}\n{said(done)}"


def judged(case: Case, done: Done, path: Path, wrong: Sequence[str]) -> str:
    """What is wrong with the answer to a damage; nothing if it is the wanted one."""
    refused, warned = told(done.output, path, "ERROR"), told(done.output, path, "WARNING")
    if done.code:
        if case.wanted == EITHER and refused and "Traceback" not in done.output:
            return ""
        explained = refused and "Traceback" not in done.output
        return "REFUSED, but it can be made again" if explained else f"UNEXPLAINED, code {done.code}"
    if wrong:
        return "WARNED OF, but other results" if warned else "SILENT, other results"
    return "" if warned or case.wanted == MADE else "MENDED, but no warning names it"


def said(done: Done) -> str:
    """The log without the table of scores."""
    return done.output.split("\nfidelity (")[0][-1500:]
