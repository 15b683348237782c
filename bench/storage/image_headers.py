"""What the header of an image file tells, without decoding it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bench.storage.image_reader import is_dicom


def header_size(path: Path) -> tuple[int, int] | None:
    """(height, width) of an image file; ``None`` where the header does not tell, of whatever it is."""
    try:
        with path.open("rb") as file:
            if is_dicom(file.read(132)):
                from bench.storage.dicom import header

                return header(path).size
        with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as picture:
            return picture.height, picture.width
    except Exception:  # the reader knows what is wrong with it, or copes
        return None
