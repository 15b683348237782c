"""NIfTI volumes: every slice along the last axis is an image, the volume is the patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import BenchError
from bench.compare.given import Given, Read
from bench.storage.image_reader import Grey, ImageError

LOW, HIGH = 0.5, 99.5  # percentiles of a volume that are shown as black and white


def volumes(side: str, paths: Sequence[Path], root: Path | None) -> Given:
    """The slices ``volume[:, :, k]`` as they are stored: the first axis runs down, the second to the right.

    Raises:
        BenchError: a file that cannot be read, has four axes, colours or complex numbers.
    """
    headers = [_opened(path) for path in paths]
    shapes = [_shape(path, each) for path, each in zip(paths, headers, strict=True)]
    stems = [path.relative_to(root).as_posix() if root else str(path) for path in paths]
    names = [f"{stem} slice {k}" for stem, shape in zip(stems, shapes, strict=True) for k in range(shape[2])]
    patients = [stem for stem, shape in zip(stems, shapes, strict=True) for _ in range(shape[2])]
    sizes = [(shape[0], shape[1]) for shape in shapes for _ in range(shape[2])]

    def readers() -> Iterator[Read]:
        for path in paths:
            slices = _grey(path)
            yield from (partial(np.ascontiguousarray, slices[:, :, k]) for k in range(slices.shape[2]))

    return Given(side, names, patients, sizes, readers, slices=True, notes=_notes(side, headers, len(names)))


def _notes(side: str, headers: Sequence[Any], slices: int) -> tuple[str, ...]:
    import nibabel

    deep = sum(not _is_plain(each) for each in headers)
    shown = (
        f"; of {deep} volumes that are not plain 8-bit the grey levels from percentile {LOW} to {HIGH} of the volume "
        "are shown as 0 to 255"
        if deep
        else ""
    )
    found = [f"{side}: {len(headers)} volumes with {slices} slices along the last axis, each volume a patient{shown}"]
    ways = sorted({"".join(code or "?" for code in nibabel.aff2axcodes(each.affine)) for each in headers})
    if len(ways) > 1:
        found.append(f"{side}: volumes lie in several orientations ({', '.join(ways)}) and were not turned")
    return tuple(found)


def _opened(path: Path) -> Any:
    import nibabel

    try:
        return nibabel.load(path)
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise ImageError(f"{path}: not a sound NIfTI file ({error}); copy it again from its source") from None


def _shape(path: Path, volume: Any) -> tuple[int, int, int]:
    shape = tuple(volume.shape)
    shape = (*shape, 1) if len(shape) == 2 else shape
    if len(shape) != 3 or volume.get_data_dtype().kind not in "uif":
        raise ImageError(
            f"{path}: a volume {tuple(volume.shape)} of {volume.get_data_dtype()}, needed three axes of real numbers; "
            "save one time point or channel a file"
        )
    return shape[0], shape[1], shape[2]


def _is_plain(volume: Any) -> bool:
    """Whether the file holds 8-bit grey levels as they are to be shown."""
    stored = volume.dataobj
    return bool(volume.get_data_dtype() == np.uint8 and stored.slope == 1.0 and stored.inter == 0.0)


def _grey(path: Path) -> Grey:
    """``(H, W, slices)`` uint8."""
    volume = _opened(path)
    shape = _shape(path, volume)
    try:
        values = np.asanyarray(volume.dataobj).reshape(shape)
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise ImageError(f"{path}: damaged NIfTI file ({error}); copy it again from its source") from None
    if _is_plain(volume):
        return np.asarray(values, np.uint8)
    values = np.asarray(values, np.float64)
    if wrong := int((~np.isfinite(values)).sum()):
        raise ImageError(f"{path}: {wrong:,} values are not finite; replace them before saving")
    low, high = np.percentile(values, (LOW, HIGH))
    if not low < high:
        raise BenchError(f"{path}: percentiles {LOW} and {HIGH} of its values are both {low:g}: it shows nothing")
    return np.clip(np.rint((values - low) / (high - low) * 255), 0, 255).astype(np.uint8)
