"""The README of an exported set: what a hub reads of it, and what a person should know before using it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.pipeline.filtering import REPORT
from bench.pipeline.requests import PURPOSES
from bench.storage.files import file_digest, read_json
from bench.storage.record import Record, RunRecord, ScoreRow, trained_on_words
from bench.storage.text_table import markdown_cell, markdown_table

if TYPE_CHECKING:
    import datasets

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
CARD = "card.md"


@dataclass(frozen=True)
class Written:
    """How much an export holds: rows, bytes before compression, bytes on disk, and by purpose the requests that these
    rows answer."""

    rows: int
    memory: int
    disk: int
    purposes: Mapping[str, int]


def data_card(folder: Path, record: RunRecord, features: datasets.Features, size: Written) -> str:
    """``README.md``: YAML front matter, then licence, origin, what was asked, filter, scores and the run's own card.

    Raises:
        BenchError: a score record is missing or changed since ``run.json`` was written.
    """
    records = _records(folder, record)
    title = f"{record.info['title']}, made by {record.generator}"
    blocks = [f"# {title}", *_origin(record), *_asked(record, size), *_filter(folder, record)]
    blocks += [*_scores(records), *_own_card(folder, records), *_use()]
    return f"---\n{_front_matter(record, title, features, size)}\n---\n\n" + "\n\n".join(blocks) + "\n"


def size_category(rows: int) -> str:
    """The hub's name for a number of rows, e.g. ``1K<n<10K``."""
    return next((name for limit, name in SIZES if rows < limit), "n>10M")


def _front_matter(record: RunRecord, title: str, features: datasets.Features, size: Written) -> str:
    import datasets
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    card = DatasetCardData(
        license="other",
        license_name="see-below",
        pretty_name=title,
        size_categories=[size_category(size.rows)],
        tags=["medical", "synthetic", re.sub(r"\W+", "-", record.info["modality"]).strip("-")],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
    )
    split = datasets.SplitInfo("train", num_bytes=size.memory, num_examples=size.rows)
    info = datasets.DatasetInfo(
        features=features,
        splits=datasets.SplitDict({"train": split}),
        download_size=size.disk,
        dataset_size=size.memory,
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(card)
    return str(card.to_yaml())


def _origin(record: RunRecord) -> Iterator[str]:
    info = record.info
    real = "These are real images, given back as a control." if record.shows_real else "They are synthetic."
    yield f"Modality {markdown_cell(info['modality'])}, generator `{record.generator}`, seed {record.seed}. {real}"
    yield "## Licence"
    yield (
        f"Not stated by the exporter: whoever publishes this set decides, within the terms of the real data set the "
        f"generator learned from, {markdown_cell(info['title'])}: {markdown_cell(info['licence']) or 'unknown'}."
    )
    if info["citation"]:
        yield f"Cite: {markdown_cell(info['citation'])}"
    yield "## Origin"
    settings = record.config.get("generator", {})
    rows = [
        ("generator", settings.get("_target_", record.generator)),
        ("trained on", trained_on_words(record.facts)),
    ]
    if stated := record.facts.get("trained_on_stated"):
        rows += [("what was stated of the training", stated)]
    rows += [("conditions used", ", ".join(record.facts.get("columns_used", [])) or "none")]
    ignored = record.facts.get("conditions_unread", [])
    rows += [("labels asked for, but not read by the generator", ", ".join(ignored))] if ignored else []
    rows += [("control", record.control)] if record.control else []
    rows += [(f"digest of {name}", value) for name, value in record.digests.items()]
    rows += [("commit of the benchmark", record.provenance.get("commit"))]
    yield markdown_table(("what", "value"), rows)


def _asked(record: RunRecord, size: Written) -> Iterator[str]:
    yield "## What was asked"
    yield (
        "One image for each request; a request repeats the conditions of one real image: of the test part (fidelity), "
        "of the training part (utility), of training and holdout patients alike (privacy). Only what was asked for is "
        "stated here: the data set's conditions and what else the generator was told, the prompt only if it read it."
    )
    rows: list[tuple[Any, ...]] = [(name, record.images.get(name, 0), size.purposes.get(name, 0)) for name in PURPOSES]
    answered = sum(size.purposes.values())
    rows.append(("all", record.images["asked"], answered))
    yield markdown_table(("purpose", "asked", "in this set"), rows)
    if answered > size.rows:
        yield (
            f"The set holds {size.rows} different images, each once: `request_ids` lists the requests that got it, "
            "`purposes` what for. A label or prompt is empty where these requests asked for different ones."
        )
    yield f"Blank images among those made: {record.images['blank']}."


def _filter(folder: Path, record: RunRecord) -> Iterator[str]:
    if "kept" not in record.images:
        return
    report = read_json(folder / REPORT) or {}
    yield "## Filter"
    kept, dropped = record.images["kept"], record.images["dropped"]
    yield f"`{markdown_cell(report['key']['filter']['id'])}` kept {kept} and dropped {dropped}."
    grades = [(name, *each.values()) for name, each in report["by_grade"].items()]
    yield markdown_table(("grade", "kept", "dropped"), grades)
    if "meta_prompt" in report["facts"]:
        yield "Meta-prompt: " + markdown_cell(report["facts"]["meta_prompt"])


def _scores(records: Mapping[str, Record]) -> Iterator[str]:
    yield "## Scores"
    yield "Over all images of their purpose" + (
        ", with 95% intervals or the reason why there is none." if records else ": none."
    )
    for name, record in records.items():
        yield f"### {name}"
        if record.status == "refused":
            yield f"Refused: {markdown_cell(record.reason)}"
            continue
        titles = {metric.key: (metric.title, metric.better) for metric in record.metrics}
        rows = [(*titles[score.metric], *_cells(score)) for score in record.scores if score.group == "all"]
        yield markdown_table(("metric", "better", "value", "95% interval", "n", "encoder", "note"), rows)


def _cells(score: ScoreRow) -> tuple[str, str, int, str, str]:
    encoder, note = score.encoder or "", score.reason or ""
    if score.value is None:
        return "refused", "", score.n, encoder, note
    interval = "none" if score.low is None or score.high is None else f"{score.low:.4g} to {score.high:.4g}"
    return score.words or f"{score.value:.4g}", interval, score.n, encoder, note


def _own_card(folder: Path, records: Mapping[str, Record]) -> Iterator[str]:
    for record in records.values():
        if CARD not in record.artifacts:
            continue
        path = folder / CARD
        if not path.exists() or file_digest(path) != record.artifacts[CARD]:
            raise BenchError(f"{path} is missing or changed since it was written; run the same configuration again")
        yield "## Card"
        # its headings go under this one
        yield re.sub(r"^(#{1,4}) ", r"##\1 ", path.read_text(encoding="utf-8"), flags=re.MULTILINE).strip()


def _use() -> Iterator[str]:
    yield "## Use"
    yield '```python\nimport datasets\n\nimages = datasets.load_dataset("FOLDER_OR_HUB_NAME", split="train")\n```'
    yield "Synthetic medical images are for research. They are no evidence about any patient."


def _records(folder: Path, record: RunRecord) -> dict[str, Record]:
    found = {}
    for name, entry in record.evaluators.items():
        path = folder / entry.file
        if not path.exists() or file_digest(path) != entry.sha256:
            raise BenchError(f"{path} is missing or changed since run.json was written; run it again")
        found[name] = Record.model_validate(read_json(path))
    return found
