"""The settings of a data set as a file, with every assumption as a comment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.datasets.own_sizes import GREATEST_FOLLOWED
from bench.describe.columns import LEAST_IMAGES, Table
from bench.describe.pictures import Pictures

TEST_FRACTION = 0.2


def settings_text(root: Path, name: str, pictures: Pictures, table: Table | None) -> str:
    """The YAML of ``dataset=NAME`` for the images below ``root``, whose parts, columns and sizes are settings.

    Raises:
        BenchError: a path that a configuration would take for something to look up.
    """
    blocks = [
        *_head(root, name, pictures),
        *(_with_table(root, table) if table else _without_table(pictures)),
        *_foot(table),
    ]
    return "\n\n".join(blocks) + "\n"


def _head(root: Path, name: str, pictures: Pictures) -> Iterator[str]:
    if "${" in str(root):
        raise BenchError(f"{root} holds ${{, which a configuration would look up; rename the folder")
    yield (
        "# Written by python -m bench.describe from what the files look like; change what is wrong.\n"
        "# What each setting means: conf/dataset/imagefolder.yaml and docs/own_data.md.\n"
        "_target_: bench.datasets.imagefolder.ImageFolder"
    )
    yield f"# The folder of the images.\nroot: {_value(str(root))}"
    yield f"# On the leaderboard and in the path of runs.\nname: {_value(name)}"
    yield (
        f"# Found: {sizes_in_words(pictures)}. null judges at the most common size, scaled down to a longer side of\n"
        f"# {GREATEST_FOLLOWED} where that is over it; a number judges at a square of that side.\nimage_size: null"
    )
    if pictures.window:
        yield (
            "# Files have over 8 bits. Assumed: black is 0 and white the greatest value of the bits in use in some of\n"
            f"# the files. Check it against how these images are shown.\nwindow: {_value(list(pictures.window))}"
        )


def _with_table(root: Path, table: Table) -> Iterator[str]:
    path = table.path.relative_to(root) if table.path.is_relative_to(root) else table.path
    yield f"# Column that names files, with or without folder and suffix.\ntable: {_value(str(path))}\n" + (
        f"file_column: {_value(table.file_column)}"
    )
    if table.lost or table.unnamed:
        yield (
            f"# {table.lost} rows name no image file and {table.unnamed} image files have no row: they are left out.\n"
            "unmatched: leave_out"
        )
    yield from _patients(table)
    yield from _parts(table)
    yield from _labels(table)
    yield (
        "# Text columns. Groups are those of few values: results are also given for each of them.\n"
        f"attributes: {_value(list(table.attributes))}\ngroups: {_value(list(table.groups))}"
    )
    if table.unused:
        lines = [f"#   {_value(name)}: {why}" for name, why in table.unused.items()]
        yield "\n".join(["# Not used:", *lines])


def _patients(table: Table) -> Iterator[str]:
    if table.patient is None:
        yield NO_PATIENTS
        return
    count = len({row[table.patient] for row in table.rows})
    yield (
        f"# Whose image it is, by the name of the column: {count} patients with {len(table.rows)} images. Parts are\n"
        f"# divided by it, so check that it names people and not images.\npatient_column: {_value(table.patient)}"
    )


NO_PATIENTS = (
    "# PATIENTS ARE UNKNOWN. null states that every image is of another patient. If some have several, they end up in\n"
    "# training and test alike, and privacy and utility come out wrong: name a column with patients if you can.\n"
    "patient_column: null"
)


def _parts(table: Table) -> Iterator[str]:
    if table.split is None:
        yield _drawn(table.patient is not None)
        return
    column, names = table.split
    yield (
        f"# The column with parts. Validation counts as train: what is held out of it is decided below.\n"
        f"split_column: {_value(column)}\nsplit_names: {_value(dict(names))}"
    )


def _drawn(known: bool) -> str:
    whom = "patients" if known else "images"
    return (
        f"# No column says train and test. Assumed: this share of the {whom}, chosen by the seed, is the test part.\n"
        f"# Results compare only where the split is the same.\ntest_fraction: {TEST_FRACTION}\nsplit_seed: 0"
    )


def _labels(table: Table) -> Iterator[str]:
    lines = [
        "# Labels: columns of few values, with images in brackets. Assumed: a categorical label has no order (one that",
        "# has is ordinal), and the cells under unknown say nothing.",
        "labels:" if table.labels else "labels: null",
    ]
    for name, settings in table.labels.items():
        counts = ", ".join(f"{_value(cell)} ({count})" for cell, count in table.counts[name].items())
        lines += [f"  # {counts}", f"  {_value(name)}: {_value(dict(settings))}"]
    yield "\n".join(lines)
    targets = table.targets
    yield (
        f"# What generators are asked for and classifiers predict: labels with {LEAST_IMAGES} images of every value.\n"
        f"conditions: {_value(targets)}\ntargets: {_value(targets)}"
    )


def _without_table(pictures: Pictures) -> Iterator[str]:
    yield "# No table: every image below the folder counts, and nothing is known of it but what stands below."
    if pictures.owners is None:
        yield NO_PATIENTS
    else:
        yield (
            f"# Whose image it is, by the headers of the DICOM files: {pictures.owners} patients with "
            f"{len(pictures.files)} images.\npatient_column: PatientID"
        )
    if pictures.divided:
        yield "# The folders train and test say which image is for what.\ntest_fraction: null"
    else:
        yield _drawn(pictures.owners is not None)


def _foot(table: Table | None) -> Iterator[str]:
    yield (
        "# A quarter of the training patients is kept from every generator: what privacy is measured against.\n"
        "holdout_fraction: 0.25"
    )
    yield (
        "# Stated on the card. Assumed: the images may not be passed on, so that no page shows them.\n"
        "# Example: {title: My radiographs, modality: chest radiograph, licence: ..., redistributable: false}\n"
        "about: {redistributable: false}"
    )


def sizes_in_words(pictures: Pictures) -> str:
    """``256 x 256 (700 images), 512 x 512 (27 images)``: height x width, at most three."""
    ordered = sorted(pictures.sizes.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{height} x {width} ({count} images)" for (height, width), count in ordered[:3]]
    more = [f"{len(ordered) - 3} other sizes"] if len(ordered) > 3 else []
    return ", ".join([*words, *more]) or "no size, for headers do not tell"


def _value(value: Any) -> str:
    """JSON is YAML, whatever is in a name."""
    return json.dumps(value, ensure_ascii=False)
