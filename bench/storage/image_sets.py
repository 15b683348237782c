"""Image sets on disk: Arrow rows beside the digest they are verified by."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from bench.api import BenchError, DatasetInfo, ImageSet, OwnSize
from bench.storage.files import file_digest
from bench.storage.image_reader import as_own_size, encode_png, pixel_hash, size_span

_ROWS, _MANIFEST = "images.arrow", "manifest.json"


def write_set(rows: Iterable[dict[str, Any]], info: DatasetInfo, folder: Path) -> ImageSet:
    """Stream rows into ``folder`` and open it; the folder appears whole or not at all.

    Each row has ``image`` (``(H, W)`` uint8, or the bytes of such a PNG), ``image_id``, ``patient_id``, ``prompt``,
    the mappings ``labels`` and ``attributes`` (a name left out is unknown) and, for generated sets, ``purpose``.
    All rows have one image size. ``own_size`` is the (height, width) of the row's file before that; a row without it
    makes the set's own size unknown. A folder that was there before is replaced. ``load_dataset("arrow", ...)`` reads
    it.

    Raises:
        BenchError: no rows, images of several sizes or types, or label names that are column names already.
    """
    import pyarrow

    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise BenchError(f"{folder}: no images to write, needed at least one")
    schema = _schema(info, "purpose" in first)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        own_sizes: set[tuple[int, int] | None] = set()
        cells = _cells(chain([first], rows), info, own_sizes)
        with (draft / _ROWS).open("wb") as file:
            with pyarrow.ipc.new_stream(file, schema) as stream:
                while batch := list(islice(cells, 256)):
                    stream.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema))
            _flush(file)
        known = [size for size in own_sizes if size is not None]
        own_size = size_span(known) if len(known) == len(own_sizes) else None
        with (draft / _MANIFEST).open("w") as text:
            json.dump({"sha256": file_digest(draft / _ROWS), "own_size": own_size}, text)
            _flush(text)
        draft.chmod(0o755)
        _place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _open(folder, info, own_size)


def load_set(folder: Path, info: DatasetInfo) -> ImageSet:
    """Open what ``write_set`` wrote; rows are mapped from disk, not read.

    Raises:
        BenchError: nothing there, changed or damaged since it was written, or written for other columns.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        written, own_size = manifest["sha256"], as_own_size(manifest["own_size"])
        found = file_digest(folder / _ROWS)
    except FileNotFoundError as error:
        raise BenchError(f"{folder}: no image set there ({Path(error.filename).name} is missing)") from None
    except (ValueError, KeyError, TypeError):
        raise BenchError(f"{folder / _MANIFEST}: damaged; remove the folder to have it made again") from None
    if found != written:
        raise BenchError(f"{folder / _ROWS}: changed since it was written; remove the folder to have it made again")
    images = _open(folder, info, own_size)
    if missing := set(_schema(info, False).names) - set(images.rows.column_names):
        raise BenchError(f"{folder}: lacks the columns {sorted(missing)}; remove it to have it made again")
    return images


def _schema(info: DatasetInfo, generated: bool) -> Any:
    import datasets

    text = datasets.Value("string")
    columns: dict[str, Any] = {"image": datasets.Image(), "pixel_hash": text, "image_id": text, "patient_id": text}
    columns |= {"prompt": text} | ({"purpose": text} if generated else {})
    reserved = {*columns, "purpose"}
    added = [*(label.name for label in info.labels), *info.attributes]
    if twice := sorted({name for name in added if name in reserved or added.count(name) > 1}):
        raise BenchError(f"{info.name}: the columns {twice} are taken already; rename these labels or attributes")
    columns |= {label.name: datasets.Value("int64") for label in info.labels}
    columns |= dict.fromkeys(info.attributes, text)
    return datasets.Features(columns).arrow_schema


def _cells(
    rows: Iterable[dict[str, Any]], info: DatasetInfo, own_sizes: set[tuple[int, int] | None]
) -> Iterator[dict[str, Any]]:
    """Rows as they are stored, checked to be 8-bit grey and of one size; ``own_sizes`` collects what they had."""
    size = None
    for row in rows:
        own_sizes.add(row.get("own_size"))
        content = row["image"]
        pixels = np.asarray(Image.open(io.BytesIO(content))) if isinstance(content, bytes) else content
        size = size or pixels.shape
        if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape != size:
            got = f"image {row['image_id']!r}: got {pixels.dtype} {pixels.shape}"
            raise BenchError(f"{got}, needed uint8 (height, width) {size} like the first")
        yield {
            "image": {"bytes": content if isinstance(content, bytes) else encode_png(pixels), "path": None},
            "pixel_hash": pixel_hash(pixels),
            **{name: row[name] for name in ("image_id", "patient_id", "prompt", "purpose") if name in row},
            **{label.name: row["labels"].get(label.name) for label in info.labels},
            **{name: row["attributes"].get(name) for name in info.attributes},
        }


def _open(folder: Path, info: DatasetInfo, own_size: OwnSize | None) -> ImageSet:
    import datasets

    datasets.disable_progress_bars()
    return ImageSet(datasets.Dataset.from_file(str(folder / _ROWS)), info, own_size)


def _place(draft: Path, folder: Path) -> None:
    """Move ``draft`` to ``folder``, in the place of what is there."""
    while True:
        try:
            draft.rename(folder)
            return
        except OSError:
            if not folder.exists():
                raise
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        with contextlib.suppress(FileNotFoundError):
            folder.rename(old / "old")
        shutil.rmtree(old, ignore_errors=True)


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
