"""Completeness and comprehension: what is said of the images and of how they were made."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from bench.api import ImageSet

# the twelve fields of the official comprehension file (DIDSR/ScoreCard, notebook 06)
DOCUMENTED = (
    "generation_method",
    "model_version",
    "hyperparameters",
    "random_seed",
    "real_data_source",
    "preprocessing_steps",
    "initial_evaluation",
    "intended_use",
    "not_intended_for",
    "privacy_method",
    "code_repository",
    "environment",
)


def accounted(facts: Mapping[str, Any]) -> str | None:
    """What the record of a privacy accountant says, in words; ``None`` where the generator brings none.

    Under (epsilon, 0)-differential privacy, whoever guesses which patients were learned from has an advantage (his true
    less his false positive rate) of at most ``tanh(epsilon / 2)`` (Kairouz, Oh & Viswanath 2015, arXiv 1311.0776): 1
    less that is 1 where nothing can be learned of anybody. It leaves ``delta`` out, and is given only where the unit is
    the patient: a guarantee for each image says less of somebody who has several.
    """
    record = facts.get("accounting")
    if record is None:
        return None
    guarantee = f"{record['mechanism']}, epsilon {record['epsilon']:g}, delta {record['delta']:g}"
    accountant = f"{record['accountant']} {record['version']}"
    stated = f"{guarantee} for each {record['unit']}, as stated by its accountant ({accountant})"
    if record["unit"] != "patient":
        return f"{stated}; the unit is not the patient, so nothing is counted"
    share = 1 - math.tanh(record["epsilon"] / 2)
    meaning = "where 1 leaves a membership attack no advantage but what delta allows"
    return f"{stated}; 1 - tanh(epsilon / 2) = {share:.3f}, {meaning}"


def filled_attributes(images: ImageSet, told: Collection[str]) -> dict[str, float | None]:
    """For every required attribute the share of images that state it; ``None`` where there is no such column.

    ``told`` are the columns that decided the images. What stands in any other column was copied from a real image with
    the request, and states nothing of the image that was made.
    """
    columns = {label.name for label in images.info.labels} | set(images.info.attributes)
    shares: dict[str, float | None] = {}
    for name in images.info.required_attributes:
        if name not in columns:
            shares[name] = None
            continue
        values = images.column(name) if name in told else []
        shares[name] = sum(value is not None for value in values) / len(values) if values else 0.0
    return shares


def recorded(images: ImageSet, generator: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, str | None]:
    """What the run itself knows for each documented field, ``None`` where it knows nothing."""
    facts = dict(generator.get("facts", {}))
    known: dict[str, str | None] = {
        "generation_method": generator.get("target"),
        "model_version": facts.get("checkpoint_sha256"),
        "hyperparameters": _text(generator.get("settings")),
        "random_seed": _text(generator.get("seed")),
        "real_data_source": images.info.citation or None,
        "preprocessing_steps": f"resized to {images.size[0]} x {images.size[1]}" if len(images) else None,
        "initial_evaluation": ", ".join(measured) or None,
    }
    return {name: known.get(name) for name in DOCUMENTED}


def _text(value: Any) -> str | None:
    if value is None or value == {} or value == "":
        return None
    return value if isinstance(value, str) else str(value)
