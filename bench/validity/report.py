"""From configuration to ``validity.json``, ``validity.html``, ``validity.png`` and a table on the terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

from omegaconf import DictConfig

from bench.api import Dataset, Evaluator
from bench.pipeline.features import FeatureStore
from bench.runtime.plugins import Encoders, build
from bench.runtime.publication import Publication
from bench.storage.files import write_atomic, write_json
from bench.storage.text_table import text_table
from bench.validity.damages import DAMAGES, Damage
from bench.validity.heat_map import heat_map
from bench.validity.measure import Bench
from bench.validity.page import Report, page
from bench.validity.response import LIMIT

GLYPHS = {"sees": "{first}", "blind": "·", "fooled": "X", "refused": "?"}
LEGEND = "1-5: sees it from this grade on    ·: blind    X: fooled, calls it better    ?: refused"
PICTURES = {"all": "validity.png", "groups": "validity_groups.png"}
WIDTH = 100  # columns of the terminal
LETTERS = "abcdefghijklmnopqrstuvwxyz"


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
    responses, damages = bench.responses(), bench.damages
    result = Report(split.info, bench.n, len(split.test), config.draws, bench.metrics, responses, damages)
    maps, publication = {over: heat_map(result, over) for over in result.scopes}, Publication(config)
    write_json(folder / "validity.json", publication.value(_json(result, encoders, split.digest)))
    for over, picture in maps.items():
        write_atomic(folder / PICTURES[over], picture)
    told = page(result, maps, bench.examples()).encode()
    write_atomic(folder / "validity.html", publication.content("validity.html", told))
    return table(result)


def _json(result: Report, encoders: Encoders, split: str) -> dict[str, Any]:
    responses = [asdict(each) | {"values": list(each.values), "losses": list(each.losses)} for each in result.responses]
    return {
        "schema": 2,
        "dataset": result.info.name,
        "split": split,
        "images": {"synthetic": result.n, "real": result.real},
        "limit": LIMIT,
        "draws": result.draws,
        "encoders": {name: encoders[name].id for name in encoders},
        "damages": [_described(damage) for damage in result.damages],
        "without_effect": [each.name for each in DAMAGES if each not in result.damages],
        "described": result.described,
        "responses": responses,
    }


def _described(damage: Damage) -> dict[str, Any]:
    told = {"name": damage.name, "title": damage.title, "unit": damage.unit}
    return told | {"strengths": list(damage.strengths), "chance": list(damage.chance)}


def table(report: Report) -> str:
    """One line a metric, encoder and scope, a letter a damage, whose names stand above; below, how many verdicts."""
    keys = dict(zip((damage.name for damage in report.damages), LETTERS, strict=False))
    lines = [("metric", "encoder", "over", *keys.values())]
    for over in report.scopes:
        for (encoder, metric), found in report.rows(over).items():
            cells = (GLYPHS[found[name].verdict].format(first=found[name].first) for name in keys)
            lines.append((metric, encoder or "pixels", over, *cells))
    printed = [*wrap("   ".join(f"{key} {name}" for name, key in keys.items()), WIDTH), LEGEND, ""]
    printed += text_table(lines)
    counts = Counter(each.verdict for each in report.responses)
    printed += ["", ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())]
    if report.unmeasured:
        printed.append(f"refused whatever the damage: {', '.join(report.unmeasured)}")
    if report.described:
        printed.append(f"not judged, because they only describe: {', '.join(report.described)}")
    return "\n".join(printed)
