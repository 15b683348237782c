"""``python -m bench.export RUN_FOLDER OUT``: a finished set of images, ready to be given to others."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.api import BenchError
from bench.export.dataset_card import Written, data_card
from bench.export.pictures import Picture, pictures
from bench.pipeline.filtering import kept_ids
from bench.pipeline.image_parts import image_parts
from bench.pipeline.requests import PURPOSES
from bench.runtime.progress import meter
from bench.runtime.publication import Publication
from bench.storage.files import read_json, writing
from bench.storage.record import RunRecord

if TYPE_CHECKING:
    import datasets
    import pyarrow

log = logging.getLogger(__name__)
GROUP = 100  # rows that a reader must load together; viewers refuse large ones
SHARD_BYTES = 400 * 2**20
COLUMNS = ("image", "filename", "prompt", "labels_dict", "request_ids", "purposes", "grade", "pixel_hash")


def export(folder: Path, out: Path, purpose: str | None = None) -> Written:
    """Write the images of the run in ``folder`` to ``out``, each once; those a filter dropped are left out.

    ``out/data/train-*.parquet`` has the columns of SynthCheX-75K (``image``, ``filename``, ``prompt``,
    ``labels_dict``; Dutt 2025, arXiv:2505.10496), then ``request_ids`` and ``purposes``, lists of the requests that got
    this picture and what for, one for each label and attribute asked for (``asked``), empty where these requests asked
    for different ones, ``pixel_hash``, and ``grade`` if a filter gave one; the prompt is empty where the generator read
    none. ``out/README.md`` is the data card.
    ``datasets.load_dataset(str(out))`` reads it. ``out`` appears whole or not at all.

    Raises:
        BenchError: the run is not finished or not whole, shows real images that may not be passed on, has no image
            of ``purpose``, or ``out`` exists.
    """
    record = checked(folder)
    if out.exists():
        raise BenchError(f"{out} is there already; remove it or name another folder")
    if not record.info["redistributable"]:
        log.warning(
            "what was asked for (labels, prompts) was taken from %s, whose images may not be passed on: "
            "check that its terms allow publishing them",
            record.dataset,
        )
    with writing(out) as draft:
        (draft / "data").mkdir(parents=True)
        features = columns(record)
        written = _write(folder, record, features, purpose, draft / "data")
        card = Publication().text(data_card(folder, record, features, written))
        (draft / "README.md").write_text(card, encoding="utf-8")
    return written


def checked(folder: Path) -> RunRecord:
    """The record of a run whose images may be exported; see ``export`` for what is refused."""
    found = read_json(folder / "run.json")
    if found is None:
        raise BenchError(f"{folder} has no run.json; name the folder of a finished run, the one that holds it")
    try:
        record = RunRecord.model_validate(found)
    except ValidationError as error:
        raise BenchError(f"{folder / 'run.json'} is no valid record: {error}") from error
    if record.status != "ok":
        bad = [name for name, entry in record.evaluators.items() if entry.status == "failed"]
        raise BenchError(f"{folder}: the run's status is {record.status} ({bad} failed); run it again until it is ok")
    if record.shows_real and record.info.get("redistributable") is not True:
        raise BenchError(
            f"{folder}: the generator {record.generator} shows real images of {record.dataset}, which may not be "
            "passed on; export the run of a generator that makes its own"
        )
    return record


def columns(record: RunRecord) -> datasets.Features:
    """The columns of the export and their types.

    Raises:
        BenchError: a label or attribute has the name of another column.
    """
    import datasets

    labels, attributes = asked(record)
    if taken := sorted({*COLUMNS} & {*labels, *attributes}):
        raise BenchError(
            f"{record.dataset}: labels or attributes {taken} have names that the export needs; rename them"
        )
    text, whole = datasets.Value("string"), datasets.Value("int64")
    kinds: dict[str, Any] = {"image": datasets.Image(), "filename": text, "prompt": text}
    if labels:
        kinds["labels_dict"] = dict.fromkeys(labels, whole)
    kinds |= {"request_ids": datasets.List(text), "purposes": datasets.List(text)}
    kinds |= dict.fromkeys(labels, whole) | dict.fromkeys(attributes, text)
    if "kept" in record.images:
        kinds["grade"] = text
    return datasets.Features(kinds | {"pixel_hash": text})


def asked(record: RunRecord) -> tuple[list[str], list[str]]:
    """The labels and the attributes that decided the images: the conditions, and what else the generator was told.

    The others came with a request from a real image (a woman's density, a patient's age) and say nothing of the image
    that was made for it.
    """
    known = {*record.info["conditions"], *record.facts.get("columns_used", [])}
    labels = [str(label["name"]) for label in record.info["labels"]]
    return [name for name in labels if name in known], [str(n) for n in record.info["attributes"] if n in known]


def _write(folder: Path, record: RunRecord, features: datasets.Features, purpose: str | None, data: Path) -> Written:
    import pyarrow.parquet

    schema = features.arrow_schema
    total = record.images["made"]
    rows = memory = 0
    purposes: Counter[str] = Counter()
    shards: list[Path] = []
    writer: pyarrow.parquet.ParquetWriter | None = None
    with meter("exporting", total=total, unit="image") as bar:
        for batch in _batches(folder, record, schema, purpose, bar):
            if writer is None or shards[-1].stat().st_size > SHARD_BYTES:
                _close(writer)
                shards.append(data / f"{len(shards)}.parquet")
                writer = pyarrow.parquet.ParquetWriter(shards[-1], schema)
            writer.write_table(batch, row_group_size=GROUP)
            rows, memory = rows + len(batch), memory + batch.nbytes
            for ids in batch["request_ids"].to_pylist():
                purposes.update(name.rpartition("-")[0] for name in ids)
    _close(writer)
    if not rows:
        raise BenchError(
            f"{folder} has no image for purpose={purpose}; it has {_asked(record)}. The same command with an evaluator "
            "that reads such images makes them, and with evaluator=[] makes images for every purpose"
        )
    for number, shard in enumerate(shards):
        shard.rename(data / f"train-{number:05d}-of-{len(shards):05d}.parquet")
    return Written(rows, memory, sum(path.stat().st_size for path in data.iterdir()), purposes)


def _close(writer: Any) -> None:
    if writer is not None:
        writer.close()


def _asked(record: RunRecord) -> dict[str, int]:
    return {name: record.images[name] for name in PURPOSES if record.images.get(name)}


def _batches(
    folder: Path, record: RunRecord, schema: pyarrow.Schema, purpose: str | None, bar: Any
) -> Iterator[pyarrow.Table]:
    import pyarrow

    grades = kept_ids(folder, record.digests.get("filter")) if "kept" in record.images else None
    labels, attributes = asked(record)
    told = ["prompt"] if "prompt" in record.facts.get("columns_used", []) else []
    paths = image_parts(folder, record.digests["images"])
    chosen = pictures(paths, [*labels, *attributes, *told], purpose, grades)
    for path in paths:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(GROUP, columns=["image", "image_id", "pixel_hash"]):
            rows = [
                _row(row, chosen[row["image_id"]], labels) for row in batch.to_pylist() if row["image_id"] in chosen
            ]
            bar.update(batch.num_rows)
            if rows:
                # what the schema does not name is left out
                yield pyarrow.Table.from_pylist(rows, schema=schema)


def _row(row: dict[str, Any], picture: Picture, labels: list[str]) -> dict[str, Any]:
    name = f"{row['image_id']}.png"
    return {
        **picture.cells,
        "image": {"bytes": row["image"]["bytes"], "path": name},
        "filename": name,
        "labels_dict": {label: picture.cells[label] for label in labels},
        "request_ids": picture.request_ids,
        "purposes": picture.purposes,
        "pixel_hash": row["pixel_hash"],
    }


def main() -> None:
    """``python -m bench.export RUN_FOLDER OUT`` writes a run's images as a data set with a card."""
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a finished run's folder, the one that holds run.json")
    parser.add_argument("out", type=Path, help="the folder to be made")
    parser.add_argument("--purpose", choices=PURPOSES, help="only the images made for this; all by default")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        written = export(given.folder, given.out, given.purpose)
    except BenchError as error:
        sys.exit(str(error))
    log.info("%d images in %s; its README.md is the data card to complete", written.rows, given.out)
