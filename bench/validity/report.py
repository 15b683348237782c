"""From configuration to ``validity.json``, ``validity.html``, ``validity.png`` and a table on the terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.api import Dataset, Evaluator
from bench.pipeline.features import FeatureStore
from bench.runtime.plugins import Encoders, build
from bench.runtime.publication import Publication
from bench.storage.files import write_atomic, write_json
from bench.storage.text_table import text_table
from bench.validity.measure import DAMAGES, Bench
from bench.validity.page import Report, heat_map, page
from bench.validity.response import LIMIT

GLYPHS = {"sees": "sees from {first}", "blind": "blind", "fooled": "FOOLED", "refused": "refused"}


def report(config: DictConfig, folder: Path) -> str:
    """Measure, write the files into ``folder`` and return the table.

    Raises:
        BenchError: bad data or settings, or too few holdout images.
    """
    encoders = Encoders(config.encoder, config.allow)
    evaluators: dict[str, Evaluator] = {
        str(name): build(part, Evaluator, config.allow) for name, part in config.evaluator.items()
    }
    split = build(config.dataset, Dataset, config.allow).load(Path(config.cache))
    targets = {str(name): part._target_ for name, part in config.encoder.items()}
    features = FeatureStore(Path(config.cache) / "features", encoders, targets=targets)
    bench = Bench(split, evaluators, encoders, features, config.images, config.draws, config.evaluation_seed)
    result = Report(split.info, bench.n, len(split.test), config.draws, bench.metrics, bench.responses())
    picture, publication = heat_map(result), Publication(config)
    write_json(folder / "validity.json", publication.value(_json(result, encoders, split.digest)))
    write_atomic(folder / "validity.png", picture)
    told = page(result, picture, bench.examples()).encode()
    write_atomic(folder / "validity.html", publication.content("validity.html", told))
    return table(result)


def _json(result: Report, encoders: Encoders, split: str) -> dict[str, Any]:
    responses = [asdict(each) | {"values": list(each.values), "losses": list(each.losses)} for each in result.responses]
    return {
        "schema": 1,
        "dataset": result.info.name,
        "split": split,
        "images": {"synthetic": result.n, "real": result.real},
        "limit": LIMIT,
        "draws": result.draws,
        "encoders": {name: encoders[name].id for name in encoders},
        "damages": [asdict(damage) | {"strengths": list(damage.strengths)} for damage in DAMAGES],
        "described": result.described,
        "responses": responses,
    }


def table(report: Report) -> str:
    """One line a metric and encoder, one column a damage; below, the counts of verdicts and what was not judged."""
    rows: dict[tuple[str, str], list[str]] = {}
    for each in report.responses:
        text = GLYPHS[each.verdict].format(first=each.first)
        rows.setdefault((each.metric, each.encoder or "pixels"), []).append(text)
    lines = [("metric", "encoder", *(damage.name for damage in DAMAGES))]
    lines += [(*place, *cells) for place, cells in rows.items()]
    printed = text_table(lines)
    counts = Counter(each.verdict for each in report.responses)
    printed += ["", ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())]
    if report.described:
        printed.append(f"not judged, because they only describe: {', '.join(report.described)}")
    return "\n".join(printed)
