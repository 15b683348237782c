"""NIfTI headers: the fields of free text, and extensions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.deidentify.finding import masked
from bench.deidentify.suspicions import suspicions

LOOK = "NIfTI headers"
SUFFIXES = (".nii", ".nii.gz", ".hdr")
_FIELDS = ("descrip", "aux_file", "db_name", "intent_name", "data_type")


def is_volume(path: Path) -> bool:
    """Whether the file's name is that of a NIfTI volume."""
    return path.name.lower().endswith(SUFFIXES)


def sightings(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of what was found in a header and how its value may be told.

    Raises:
        Exception: whatever the library raises on a damaged file.
    """
    import nibabel

    header = nibabel.load(path).header
    for field in _FIELDS:
        value = bytes(np.asarray(header[field]).tobytes()).rstrip(b"\0 ").decode("latin-1") if field in header else ""
        if value:
            kinds = dict.fromkeys(each.kind for each in suspicions(value))
            yield f"header field {field}", masked(value) + (f"; holds {', '.join(kinds)}" if kinds else "")
    for extension in getattr(header, "extensions", ()):
        yield f"a header extension of code {extension.get_code()}", f"{extension.get_sizeondisk()} bytes"
