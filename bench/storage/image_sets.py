"""Image sets on disk: one schema, Arrow rows beside the digest they are verified by, parquet for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bench.api import BenchError, DatasetInfo, ImageSet, OwnSize
from bench.storage.files import Damaged, file_digest, read_checked, refuse_if_only_reading, write_checked, writing
from bench.storage.image_reader import as_own_size, encode_png, pixel_hash, size_span

if TYPE_CHECKING:
    import pyarrow

BATCH = 256  # rows in memory at once
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
    refuse_if_only_reading(folder)
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise BenchError(f"{folder}: no images to write, needed at least one")
    schema = _schema(info, "purpose" in first)
    span = _Span()
    cells = _cells(span.seen(chain([first], rows)), info)
    with writing(folder) as draft:
        _write_rows(_batches(cells, schema), schema, draft)
        _write_manifest(draft, span.own_size)
    return open_set(folder, info)


def write_part(rows: Iterable[dict[str, Any]], info: DatasetInfo, path: Path) -> None:
    """Rows of a generated set, as ``write_set`` takes them, as one parquet file that ``load_dataset`` reads."""
    import pyarrow.parquet

    schema = _schema(info, True)
    with writing(path) as draft, pyarrow.parquet.ParquetWriter(draft, schema) as file:
        for batch in _batches(_cells(rows, info), schema):
            file.write_batch(batch)


def join_parts(parts: Sequence[Path], info: DatasetInfo, folder: Path) -> ImageSet:
    """The rows of parquet files in order, copied into ``folder`` so that they can be mapped from disk; see
    ``write_set``."""
    import pyarrow.parquet

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for part in parts:
            with pyarrow.parquet.ParquetFile(part) as file:
                yield from file.iter_batches(BATCH)

    with writing(folder) as draft:
        _write_rows(batches(), _schema(info, True), draft)
        _write_manifest(draft, None)
    return open_set(folder, info)


def _write_rows(batches: Iterable[pyarrow.RecordBatch], schema: pyarrow.Schema, draft: Path) -> None:
    import pyarrow

    draft.mkdir()
    with (draft / _ROWS).open("wb") as file, pyarrow.ipc.new_stream(file, schema) as stream:
        for batch in batches:
            stream.write_batch(batch.cast(schema))


def _write_manifest(draft: Path, own_size: OwnSize | None) -> None:
    write_checked(draft / _MANIFEST, {"sha256": file_digest(draft / _ROWS), "own_size": own_size})


def _batches(cells: Iterator[dict[str, Any]], schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    while batch := list(islice(cells, BATCH)):
        yield pyarrow.RecordBatch.from_pylist(batch, schema)


def load_set(folder: Path, info: DatasetInfo) -> ImageSet:
    """Open what ``write_set`` wrote; rows are mapped from disk, not read.

    Raises:
        BenchError: nothing there, changed or damaged since it was written, or written for other columns.
    """
    manifest = _manifest(folder)
    if not (folder / _ROWS).is_file():
        raise BenchError(f"{folder}: no image set there ({_ROWS} is missing)")
    if file_digest(folder / _ROWS) != manifest["sha256"]:
        raise BenchError(f"{folder / _ROWS}: changed since it was written; remove the folder to have it made again")
    images = open_set(folder, info)
    if missing := set(_schema(info, False).names) - set(images.rows.column_names):
        raise BenchError(f"{folder}: lacks the columns {sorted(missing)}; remove it to have it made again")
    return images


def open_set(folder: Path, info: DatasetInfo) -> ImageSet:
    """``load_set`` where the files were verified already."""
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_file(str(folder / _ROWS))
    return ImageSet(rows, info, as_own_size(_manifest(folder)["own_size"]))


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_checked(folder / _MANIFEST)
    except Damaged as error:
        raise BenchError(f"{error}; remove the folder to have it made again") from None
    if manifest is None:
        raise BenchError(f"{folder}: no image set there ({_MANIFEST} is missing)")
    return manifest


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


class _Span:
    """The least and the greatest size that rows had as files; ``None`` once one of them does not say it."""

    def __init__(self) -> None:
        self.own_size: OwnSize | None = None
        self._known = True

    def seen(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same rows, looked at on their way."""
        for row in rows:
            size = row.get("own_size")
            if size is None or not self._known:
                self._known, self.own_size = False, None
            else:
                self.own_size = size_span([*(self.own_size or ()), size])
            yield row


def _cells(rows: Iterable[dict[str, Any]], info: DatasetInfo) -> Iterator[dict[str, Any]]:
    """Rows as they are stored, checked to be 8-bit grey and of one size."""
    size = None
    for row in rows:
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
