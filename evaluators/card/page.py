"""The card as JSON, Markdown and HTML."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.api import CONTROLS, DatasetInfo, ImageSet, Material, Metric, Score
from bench.storage.files import as_json
from bench.storage.image_reader import contact_sheet
from bench.storage.record import sizes_words, trained_on_words
from bench.storage.text_table import markdown_table
from evaluators.card.documents import accounted

SCHEMA = 1
SHOWN = 32  # images on the card


def write_card(
    material: Material, scores: Sequence[Score], metrics: Sequence[Metric], terms: Mapping[str, Any]
) -> None:
    """Leave ``card.json``, ``card.md`` and ``card.html``; all three say the same."""
    card = describe(material, scores, metrics, terms)
    material.leave("card.json", as_json(card))
    material.leave("card.md", markdown(card).encode())
    material.leave("card.html", html(card, _picture(material)).encode())


def describe(
    material: Material, scores: Sequence[Score], metrics: Sequence[Metric], terms: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole card as plain data."""
    fake, info, generator = material.images["fidelity"], material.split.info, material.generator
    known = {metric.key: metric for metric in metrics}
    ceilings = {known[score.metric].ceiling_of: score.value for score in scores if known[score.metric].ceiling_of}
    rows = [
        {
            "criterion": known[score.metric].title,
            "meaning": known[score.metric].summary,
            "value": score.value,
            "interval": None if score.low is None else [score.low, score.high],
            "ceiling": ceilings.get(score.metric),
            "n": score.n,
            "encoder": score.encoder,
            "note": score.reason,
        }
        for score in scores
        if known[score.metric].role != "ceiling"
    ]
    return {
        "schema": SCHEMA,
        "title": _title(generator, info),
        "control": generator.get("control"),
        "shows_real": bool(generator.get("shows_real")),
        "general": _general(generator, info, fake),
        "criteria": rows,
        "terms": dict(terms),
        "composition": _composition(fake, generator.get("told", ())),
        "other_scores": _others(material),
        "reference": {
            "source": info.title,
            "train": len(material.split.train),
            "holdout": len(material.split.holdout),
            "test": len(material.split.test),
            "image_size": list(material.split.test.size),
            "licence": info.licence,
            "citation": info.citation,
        },
    }


def _title(generator: Mapping[str, Any], info: DatasetInfo) -> str:
    """A control is headed as what it is, so that nobody takes it for a contender."""
    title = f"{generator.get('name', 'generator')} on {info.title}"
    control = generator.get("control")
    return f"{title}: a control, {CONTROLS[control]}" if control else title


def _general(generator: Mapping[str, Any], info: DatasetInfo, fake: ImageSet) -> dict[str, str]:
    asked = ", ".join(info.conditions) or "nothing (unconditional)"
    unread = ", ".join(generator.get("unread", ()))
    sizes = generator.get("sizes") or {"working": (fake.size, fake.size)}
    return {
        "Name": str(generator.get("name", "unknown")),
        "Generation method": str(generator.get("target", "unknown")),
        "Modality": info.modality,
        "Images judged here": f"{len(fake)}, 8-bit grey, height x width {sizes_words(sizes)} in pixels",
        "Asked for": asked,
        **({"Asked for, but not read by the generator": unread} if unread else {}),
        "Sampling seed": str(generator.get("seed", "unknown")),
        "Training seed": str(generator.get("fit_seed", "unknown")),
        "Trained on": trained_on_words(generator),
        **({"Differential privacy": known} if (known := accounted(generator.get("facts", {}))) else {}),
        "Intended use": str(generator.get("documentation", {}).get("intended_use", "not stated")),
    }


def _composition(fake: ImageSet, told: Collection[str]) -> dict[str, dict[str, int]]:
    """Counts of every value asked for: of the conditions, and of what else the generator was told.

    Further columns come with a request from the real image it was made from, and say nothing of the image made for it.
    """
    counts = {}
    for column in dict.fromkeys((*fake.info.conditions, *told)):
        values = fake.group(column)
        counts[column] = {value: values.count(value) for value in sorted(set(values))}
    return counts


def _others(material: Material) -> list[dict[str, Any]]:
    return [
        {"evaluator": name, "metric": score.metric, "value": score.value, "low": score.low, "high": score.high}
        | {"encoder": score.encoder, "n": score.n, "words": score.words, "note": score.reason}
        for name, scores in material.scores.items()
        for score in scores
        if score.group == "all"
    ]


def _picture(material: Material) -> str | None:
    if material.generator.get("shows_real") and not material.split.info.redistributable:
        return None
    fake = material.images["fidelity"]
    return base64.b64encode(contact_sheet(fake.pixels(range(min(SHOWN, len(fake)))))).decode()


def _notice(card: Mapping[str, Any]) -> str:
    """What a reader must know before anything else; empty for a contender."""
    given = " Its pictures are real images, given back." if card["shows_real"] else ""
    return f"A control of the benchmark, not a contender.{given}" if card["control"] else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _shown(row: Mapping[str, Any]) -> str:
    """What stands in the place of the value."""
    if row["value"] is None:
        return "refused"
    return row.get("words") or _number(row["value"])


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"


def markdown(card: Mapping[str, Any]) -> str:
    """The card for a repository's README."""
    lines = [f"# Synthetic medical data card: {card['title']}", ""]
    if notice := _notice(card):
        lines += [notice, ""]
    criteria = [
        (row["criterion"], _shown(row), _interval(row["interval"]), _number(row["ceiling"]), row["note"])
        for row in card["criteria"]
    ]
    others = [(_place(row), _shown(row), _interval(_ends(row)), row["n"], row["note"]) for row in card["other_scores"]]
    lines += [markdown_table(("", ""), list(card["general"].items())), "", "## Seven Cs", ""]
    lines += [markdown_table(("Criterion", "Value", "95% interval", "Real ceiling", "Note"), criteria)]
    lines += ["", "## Other measurements", ""]
    lines += [markdown_table(("Metric", "Value", "95% interval", "n", "Note"), others)]
    reference = card["reference"]
    lines += ["", "## Reference data", "", f"{reference['source']}: {reference['train']} training, "]
    lines[-1] += f"{reference['holdout']} holdout and {reference['test']} test images. {reference['citation']}"
    return "\n".join(lines) + "\n"


def _ends(row: Mapping[str, Any]) -> tuple[float, float] | None:
    return None if row["low"] is None else (row["low"], row["high"])


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['metric']} in {row['encoder']}" if row["encoder"] else str(row["metric"])


def html(card: Mapping[str, Any], picture: str | None) -> str:
    """The card as one self-contained page; ``picture`` is a base64 PNG."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": _number, "interval": _interval, "shown": _shown, "notice": _notice}
    return environment.get_template("card.html").render(card=card, picture=picture)
