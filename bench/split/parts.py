"""The split of a data set as lists, as folders of images, or as parquet files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.api import Dataset, ImageSet, Split
from bench.runtime.plugins import build
from bench.runtime.progress import track
from bench.runtime.publication import Publication
from bench.split.place import put
from bench.storage.text_table import text_table

PARTS = ("train", "holdout", "test")
ROWS = 64  # images in memory at a time
USE = (
    "Learn from train alone; holdout is the control that no generator may have seen, and test is what images are "
    "compared with. Tell the benchmark so with generator.trained_on={membership}, which holds at any working size, or "
    "name this file. The images are those of the data set, under its terms: they are not to be passed on because they "
    "are written here."
)


def write_parts(config: DictConfig, out: Path) -> str:
    """Load the configured data set and write its parts into ``out``; what was done, in a few lines.

    Raises:
        BenchError: the data cannot be loaded, or ``out`` holds something else.
    """
    split = build(config.dataset, Dataset, config.allow).load(Path(config.cache))
    told = description(split, config.kind, Publication(config).recorded(config.dataset))
    written = put(out, told, partial(KINDS[config.kind], split))
    head = ("part", "images", "patients")
    rows = [(name, str(part["images"]), str(part["patients"])) for name, part in told["parts"].items()]
    state = "written" if written else "found as it is written now"
    return "\n".join([*text_table([head, *rows]), f"split {told['membership']} of {told['dataset']}, {state}: {out}"])


def description(split: Split, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``split.json`` says."""
    membership = split.membership
    return {
        "membership": membership,
        "digest": split.digest,
        "dataset": split.info.name,
        "kind": kind,
        "size": list(split.train.size),
        "parts": {
            name: {"images": len(part), "patients": len(set(part.patients)), "digest": part.unordered_digest}
            for name, part in _parts(split)
        },
        "settings": dict(settings),
        "use": USE.format(membership=membership),
    }


def _parts(split: Split) -> Iterator[tuple[str, ImageSet]]:
    for name in PARTS:
        yield name, getattr(split, name)


def _lists(split: Split, folder: Path) -> None:
    for name, part in _parts(split):
        _table(folder / f"{name}.csv", part, {})


def _folders(split: Split, folder: Path) -> None:
    for name, part in _parts(split):
        (folder / name).mkdir()
        files = file_names(part.ids)
        contents = _contents(part)
        for file, content in track(zip(files, contents, strict=True), f"writing {name}", total=len(part), unit="image"):
            (folder / name / file).write_bytes(content)
        _table(folder / name / "metadata.csv", part, {"file_name": files})


def _tables(split: Split, folder: Path) -> None:
    for name, part in _parts(split):
        part.rows.to_parquet(str(folder / f"{name}.parquet"), batch_size=ROWS)


KINDS: Mapping[str, Callable[[Split, Path], None]] = {"lists": _lists, "imagefolder": _folders, "parquet": _tables}


def _contents(part: ImageSet) -> Iterator[bytes]:
    cells = part.rows.select_columns("image").with_format("arrow")
    for batch in cells.iter(ROWS):
        for cell in batch.column("image"):
            yield cell.as_py()["bytes"]


def _table(path: Path, part: ImageSet, first: Mapping[str, list[str]]) -> None:
    """Everything known of the images but their pixels; unknown is empty."""
    names = [name for name in part.rows.column_names if name != "image"]
    columns = {**first, **{name: part.column(name) for name in names}}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for cells in zip(*columns.values(), strict=True):
            writer.writerow(["" if cell is None else cell for cell in cells])


def file_names(ids: list[str]) -> list[str]:
    """A different file name for each id: the id itself where it can be one, with a number where two would be alike."""
    plain = [re.sub(r"[^A-Za-z0-9._-]", "_", each).lstrip(".") or "image" for each in ids]
    taken: set[str] = set()
    names = []
    for each in plain:
        name, number = each, 1
        while name.casefold() in taken:
            number += 1
            name = f"{each}-{number}"
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names
