"""What a generator is asked for: one request an image, made from the real images' conditions."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import BenchError, ImageSet, Purpose, Request, Split
from bench.storage.files import content_key, write_atomic

PURPOSES: tuple[Purpose, ...] = ("fidelity", "utility", "privacy")
# the last change of the rules that asks for other conditions of the same split, by purpose
RULES: Mapping[Purpose, int] = {"fidelity": 1, "utility": 1, "privacy": 2}
LEAST = 1000  # images asked for under privacy where there are fewer conditions: the tests of privacy need them


def request_seed(run_seed: int, request_id: str) -> int:
    """63 bits of the SHA-256 of the run's seed and the request's id."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}:{request_id}".encode()).digest()[:8], "big") >> 1


def make_requests(
    split: Split, run_seed: int, limits: Mapping[str, int | None], purposes: Sequence[Purpose] = PURPOSES
) -> list[Request]:
    """The requests of a run for ``purposes``, in the order fidelity, utility, privacy.

    ``fidelity`` asks for the conditions of the test part, ``utility`` for those of the training part. ``privacy`` asks
    for those of training and holdout patients together, each patient equally often whatever part it is in: a generator
    that follows its conditions makes images like those it is asked for, so a part whose patients are asked for more
    often would look remembered. Neither who is asked for, nor how many, nor the order depends on who is in which part.

    Where ``limits`` caps a purpose, a fixed random choice (the same for every run seed) is asked for. What is asked for
    one purpose does not depend on the others.

    Raises:
        BenchError: ``limits`` leave nothing to ask for.
    """
    parts = (split.test, split.train, split.holdout)
    test, train, holdout = (_conditions(part) for part in parts)
    # one source for each choice: a cap on one purpose must not change what another asks for
    choosers = np.random.default_rng(sum(map(len, parts))).spawn(3)
    owners = [*split.train.patients, *split.holdout.patients]
    cap, number = limits.get("privacy"), _privacy_number(split)
    rows: dict[Purpose, list[dict[str, Any]]] = {
        "fidelity": _choose(test, limits.get("fidelity"), choosers[0]),
        "utility": _choose(train, limits.get("utility"), choosers[1]),
        "privacy": _in_turn(train + holdout, owners, number if cap is None else min(number, cap), choosers[2]),
    }
    requests = []
    for purpose in (each for each in PURPOSES if each in purposes):
        for number, row in enumerate(rows[purpose]):
            name = f"{purpose}-{number:06d}"
            requests.append(Request(request_id=name, purpose=purpose, seed=request_seed(run_seed, name), **row))
    if not requests:
        caps = ", ".join(f"requests.{each}={limits.get(each)}" for each in purposes)
        raise BenchError(f"{caps}: no image is left to ask for; raise the limit, or set it to null for all there are")
    return requests


def _conditions(part: ImageSet) -> list[dict[str, Any]]:
    labels = {label.name: part.column(label.name) for label in part.info.labels}
    attributes = {name: part.column(name) for name in part.info.attributes}
    ids, prompts = part.ids, part.column("prompt")
    return [
        {
            "labels": {name: values[i] for name, values in labels.items()},
            "attributes": {name: values[i] for name, values in attributes.items()},
            "prompt": prompts[i],
            "source": ids[i],
        }
        for i in range(len(part))
    ]


def _choose(rows: list[dict[str, Any]], limit: int | None, rng: np.random.Generator) -> list[dict[str, Any]]:
    if limit is None or limit >= len(rows):
        return rows
    return [rows[i] for i in np.sort(rng.choice(len(rows), limit, replace=False))]


def _privacy_number(split: Split) -> int:
    """Twice the images that fall to the smaller part by its number of patients, ``LEAST`` at least.

    By patients, since the images of the smaller part itself depend on who is in it.
    """
    people = [len(set(part.patients)) for part in (split.train, split.holdout)]
    smaller = (len(split.train) + len(split.holdout)) * min(people) // sum(people)
    return max(LEAST, 2 * smaller)


def _in_turn(
    rows: list[dict[str, Any]], owners: Sequence[str], count: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """``count`` rows: one patient after the other in random order, again and again, with its images in turn.

    ``owners`` says of whom each row is. The order of ``rows`` does not matter.
    """
    images: dict[str, list[dict[str, Any]]] = {}
    for owner, row in sorted(zip(owners, rows, strict=True), key=lambda each: (each[0], each[1]["source"])):
        images.setdefault(owner, []).append(row)
    patients = [[each[i] for i in rng.permutation(len(each))] for each in images.values()]
    order = rng.permutation(len(patients))
    rounds = ((turn, patients[place]) for turn in range(-(-count // len(order))) for place in order)
    return [each[turn % len(each)] for turn, each in islice(rounds, count)]


def asked_for(requests: Sequence[Request], purposes: Sequence[Purpose]) -> dict[str, int]:
    """What a protocol says of the requests beside the split: the rule they are made by, and how many for each purpose.

    The rule is the latest of those for ``purposes``. Which rows a rule that chooses at random takes is chance, as the
    noise of the images is.
    """
    return {
        "rule": max((RULES[each] for each in purposes), default=1),
        **{each: sum(request.purpose == each for request in requests) for each in purposes},
    }


def requests_digest(requests: Sequence[Request]) -> str:
    """16 hex digits over the whole table, seeds included."""
    return content_key([asdict(request) for request in requests])


def requests_by_purpose(requests: Sequence[Request]) -> dict[Purpose, list[Request]]:
    """The requests of each purpose that has any."""
    found = {each: [request for request in requests if request.purpose == each] for each in PURPOSES}
    return {purpose: each for purpose, each in found.items() if each}


def requests_key(requests: Sequence[Request]) -> dict[Purpose, Any]:
    """How many requests of each purpose there are, and a digest of them."""
    asked = requests_by_purpose(requests)
    return {purpose: {"count": len(each), "digest": requests_digest(each)} for purpose, each in asked.items()}


def images_by_purpose(images: ImageSet) -> dict[Purpose, ImageSet]:
    """The generated images of each purpose, none where none were asked for."""
    purposes = images.column("purpose")
    return {each: images.select([i for i, found in enumerate(purposes) if found == each]) for each in PURPOSES}


def write_requests(requests: Sequence[Request], path: Path) -> None:
    """The table as CSV, for people who make their images elsewhere."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    labels, attributes = list(requests[0].labels), list(requests[0].attributes)
    writer.writerow(["request_id", "purpose", "seed", "source", "prompt", *labels, *attributes])
    for each in requests:
        conditions = [*(each.labels[name] for name in labels), *(each.attributes[name] for name in attributes)]
        cells = [each.request_id, each.purpose, each.seed, each.source, each.prompt, *conditions]
        writer.writerow(["" if cell is None else cell for cell in cells])
    write_atomic(path, buffer.getvalue().encode())
