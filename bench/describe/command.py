"""Look at a folder, write the settings, and say on one screen what was assumed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.api import BenchError
from bench.datasets.named_files import NamedFiles
from bench.describe.columns import LEAST_IMAGES, Table, find_table, understand
from bench.describe.pictures import Pictures, look
from bench.describe.settings_file import TEST_FRACTION, settings_text, sizes_in_words
from bench.storage.files import write_atomic
from bench.storage.names import path_name_faults, visible


def describe(folder: Path, table: Path | None, out: Path, name: str) -> str:
    """Write the settings of the data set in ``folder`` to ``out``; what was found and assumed, as text.

    Args:
        table: the CSV; ``None`` takes the one in ``folder`` that names the most images, if there is one.

    Raises:
        BenchError: no image files, a table that cannot be used, ``out`` is there already, or a name that cannot stand
            in a path.
    """
    for fault in path_name_faults(name):
        raise BenchError(f"--name: {fault}; give another")
    if out.exists():
        raise BenchError(f"{out} is there already; remove it, or write another with --out")
    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder; name the one with the images")
    root = folder.resolve()
    pictures = look(root)
    files = NamedFiles(root, pictures.files)
    path = table.resolve() if table else find_table(root, files)
    found = understand(path, files) if path else None
    text = settings_text(root, name, pictures, found)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text.encode())
    return visible("\n".join([*_found(root, pictures, found), *_assumed(pictures, found), *_next(out)]))


def _found(root: Path, pictures: Pictures, table: Table | None) -> Iterator[str]:
    formats = ", ".join(f"{count} {suffix}" for suffix, count in sorted(pictures.formats.items()))
    yield f"{len(pictures.files)} images below {root}: {formats}; {sizes_in_words(pictures)}"
    if table is None:
        yield "no table"
        return
    yield f"table {table.path.name}: {len(table.rows)} rows with an image, {table.lost} without"
    yield f"  files       {table.file_column}"
    if table.patient:
        yield f"  patients    {table.patient} ({len({row[table.patient] for row in table.rows})} patients)"
    for label, counts in table.counts.items():
        shown = ", ".join(f"{cell}: {count}" for cell, count in counts.items())
        yield f"  label       {label} ({shown})"
    yield f"  attributes  {', '.join(table.attributes) or 'none'}"
    if table.unused:
        yield "  not used    " + ", ".join(f"{column} ({why})" for column, why in table.unused.items())


def _assumed(pictures: Pictures, table: Table | None) -> Iterator[str]:
    yield "assumed; please check:"
    if table is None and pictures.owners is not None:
        yield f"  - PatientID of the DICOM headers names people ({pictures.owners} patients)"
    elif table is None or table.patient is None:
        yield "  - PATIENTS ARE UNKNOWN: every image counts as another patient. If that is wrong, so is every result"
        yield "    on privacy and utility: name a column with patient_column"
    else:
        yield f"  - {table.patient!r} names people"
    if table is not None and table.split:
        yield f"  - {table.split[0]!r} says which images are for testing; validation counts as training"
    elif table is None and pictures.divided:
        yield "  - the folders train and test say which images are for testing"
    else:
        yield f"  - the test part is {TEST_FRACTION:.0%} of the patients, chosen by a seed: no column says it"
    if table is not None and (table.lost or table.unnamed):
        yield f"  - {table.lost} rows without an image and {table.unnamed} images without a row are left out"
    if table is not None and (rare := [name for name in table.labels if name not in table.targets]):
        yield f"  - not asked for nor predicted, under {LEAST_IMAGES} images of a value: {', '.join(rare)}"
    if pictures.window:
        yield f"  - images of over 8 bits are shown from {pictures.window[0]} to {pictures.window[1]} (window)"
    if pictures.coloured:
        yield f"  - colour images will be refused, such as {pictures.coloured[0]}: save them as grey"
    for doubt in table.doubts if table else ():
        yield f"  - {doubt}"
    yield "  - the images may not be passed on (about.redistributable)"


def _next(out: Path) -> Iterator[str]:
    yield f"written: {out}"
    if out.parent.name != "dataset" or out.suffix != ".yaml":
        yield "put it as NAME.yaml into a folder called dataset, and say where that is with --config-dir"
        return
    yield f"next:    python -m bench --config-dir {out.parent.parent} dataset={out.stem} generator=pca"


def main() -> None:
    """Write the settings of a data set of one's own from the images, and the table, in a folder."""
    parser = argparse.ArgumentParser(prog="python -m bench.describe", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the images, and of the CSV where there is one")
    parser.add_argument("--table", type=Path, help="the CSV; by default the one in the folder")
    parser.add_argument("--out", type=Path, help="the file to write; by default dataset/NAME.yaml")
    parser.add_argument("--name", default="mine", help="what the data set is called; by default mine")
    given = parser.parse_args()
    try:
        out = given.out or Path("dataset") / f"{given.name}.yaml"
        sys.stdout.write(describe(given.folder, given.table, out, given.name) + "\n")
    except BenchError as error:
        sys.exit(str(error))
