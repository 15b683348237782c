"""Images inside parquet files, read with the same strictness as image files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from bench.api import BenchError
from bench.storage.image_reader import PIXEL_CAP, Grey, ImageError, decode_grey, encode_png

if TYPE_CHECKING:
    import pyarrow

Colour = Literal["refuse", "luma"]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
STEP = 32  # rows whose images are in memory at a time


class ImageTable:
    """Rows of one parquet file, or of all below a folder in the order of their names, with a column ``image``.

    A cell of ``image`` is the struct of ``datasets.Image``, whose ``bytes`` hold a PNG, JPEG or TIFF file.
    """

    def __init__(self, path: Path, required: Sequence[str] = ()) -> None:
        """Raises ``BenchError``: no parquet file, a damaged one, other columns than the first, a column missing."""
        self.files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
        if not self.files:
            raise BenchError(f"{path} has no parquet file; name a file or folder that has")
        self._schema = self._checked(["image", *required])

    def __len__(self) -> int:
        return len(self._where)

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(self._schema.names)

    def column(self, name: str) -> list[Any]:
        """All values of a column other than ``image``."""
        import pyarrow.parquet

        return [
            value for file in self.files for value in pyarrow.parquet.read_table(file, columns=[name])[name].to_pylist()
        ]

    def where(self, row: int) -> str:
        """``file.parquet row 12``, counted from 0 as the datasets library does."""
        file, inner = self._where[row]
        return f"{self.files[file].name} row {inner}"

    def content(self, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Row and image file, undecoded, of the given rows in ascending order.

        Raises:
            BenchError: the cell has no bytes.
        """
        import pyarrow.parquet

        wanted = sorted(set(rows))
        for number, path in enumerate(self.files):
            inner = {self._where[row][1]: row for row in wanted if self._where[row][0] == number}
            if not inner:
                continue
            start = 0
            with pyarrow.parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    here = [place for place in inner if start <= place < stop]
                    yield from self._cells(file, group, start, {place: inner[place] for place in here})
                    start = stop

    def _cells(
        self, file: pyarrow.parquet.ParquetFile, group: int, start: int, inner: dict[int, int]
    ) -> Iterator[tuple[int, bytes]]:
        if not inner:
            return
        for batch in file.iter_batches(STEP, row_groups=[group], columns=["image"]):
            for place in range(start, start + batch.num_rows):
                if place in inner:
                    yield inner[place], self._bytes(batch.column(0)[place - start].as_py(), inner[place])
            start += batch.num_rows

    def _bytes(self, cell: Any, row: int) -> bytes:
        content = cell.get("bytes") if isinstance(cell, dict) else None
        if not content:
            raise BenchError(f"{self.where(row)}: column 'image' holds no image file; save it with datasets.Image()")
        return bytes(content)

    @cached_property
    def _where(self) -> list[tuple[int, int]]:
        import pyarrow.parquet

        counts = [pyarrow.parquet.read_metadata(file).num_rows for file in self.files]
        return [(file, row) for file, count in enumerate(counts) for row in range(count)]

    def _checked(self, required: Sequence[str]) -> pyarrow.Schema:
        import pyarrow.parquet

        schemas = []
        for file in self.files:
            try:
                schemas.append(pyarrow.parquet.read_schema(file))
            except (OSError, pyarrow.ArrowInvalid) as error:
                raise BenchError(f"{file} is not a whole parquet file ({error}); copy it again") from error
            if missing := [name for name in required if name not in schemas[-1].names]:
                raise BenchError(f"{file} lacks the columns {missing}; it has {schemas[-1].names}")
            if not schemas[-1].equals(schemas[0]):
                raise BenchError(f"{file} has other columns than {self.files[0].name}; name one set at a time")
        return schemas[0]


def grey(content: bytes, where: str, *, colour: Colour = "refuse", window: tuple[float, float] | None = None) -> Grey:
    """An image file in memory as ``(H, W)`` uint8: ``decode_grey``, or with colours taken as grey.

    ``colour="luma"`` accepts pictures whose channels differ, as decoders of text-to-image models give, and takes
    0.299 R + 0.587 G + 0.114 B.

    Raises:
        ImageError: as ``decode_grey``.
    """
    if colour not in get_args(Colour):
        raise BenchError(f"colour = {colour!r}, needed refuse or luma")
    if colour == "luma":
        content = _luma(content, where)
    return decode_grey(content, where, window=window)


def _luma(content: bytes, where: str) -> bytes:
    """A one-frame colour picture as grey PNG; anything else unchanged, for the strict reader to judge."""
    try:
        with _opened(content) as picture:
            if picture.mode != "RGB" or picture.width * picture.height > PIXEL_CAP:
                return content
            picture.verify()
        with _opened(content) as picture:
            if getattr(picture, "n_frames", 1) > 1 or picture.getexif() or "transparency" in picture.info:
                return content
            pixels = np.asarray(picture)
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise ImageError(f"{where}: damaged or truncated image ({error}); copy it again from its source") from None
    return encode_png(np.rint(pixels @ np.array(LUMA)).astype(np.uint8))


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "TIFF"])


def label_value(value: Any, values: Sequence[int], unknown: Sequence[int]) -> int | None:
    """A stored label as one of ``values``, or ``None`` for null, NaN and those in ``unknown``.

    Raises:
        ValueError: anything else.
    """
    if value is None or value != value or value in unknown:
        return None
    if value not in values:
        raise ValueError(f"got {value!r}, needed one of {list(values)}")
    return int(value)


def labels_dict(cell: Any, where: str) -> dict[str, Any]:
    """A cell of SynthCheX-75K's ``labels_dict``: a struct, or its JSON.

    Raises:
        BenchError: neither.
    """
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise BenchError(f"{where}: labels_dict is not JSON: {cell[:60]!r}") from None
    if not isinstance(cell, dict):
        raise BenchError(f"{where}: labels_dict is {type(cell).__name__}, needed names and values")
    return cell
