"""What a person gives for one side of a comparison: a folder, a file, paths or an array, before anything is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import BenchError
from bench.storage.image_reader import Grey

Size = tuple[int, int]  # height, width in pixels
Window = tuple[float, float]
Read = Callable[[], Grey]
LISTED = 3  # kinds of files that a note names
VOLUMES = (".nii", ".nii.gz")
PARQUET = ".parquet"


@dataclass(frozen=True)
class Given:
    """The images of one side, in the order in which they came.

    Attributes:
        side: ``REAL``, ``FAKE`` or ``TRAIN``, for messages.
        names: as the person knows them, each once.
        patients: whose image each is; ``None`` for one that is of nobody known.
        sizes: (height, width) of each as it is stored.
        readers: in order, what decodes each image; asked for again, they start again.
        slices: whether the images are slices of volumes, whose ends may show nothing.
        deep: how many image files have more than 8 bits and are shown through a window.
        notes: what was found and decided on the way.
    """

    side: str
    names: Sequence[str]
    patients: Sequence[str | None]
    sizes: Sequence[Size]
    readers: Callable[[], Iterator[Read]]
    slices: bool = False
    deep: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def given(side: str, source: Any, window: Window | None = None, patients: Sequence[Any] | None = None) -> Given:
    """The images that ``source`` stands for.

    Args:
        source: the path of a folder, a parquet file, a NIfTI file or an image; a list of paths of images or of NIfTI
            files; or an array ``(N, H, W)`` of uint8.
        window: grey levels shown as 0 and 255, for files of more than 8 bits.
        patients: whose image each is, in the order of an array or a list of paths.

    Raises:
        BenchError: nothing there, several kinds of files, no array as needed, or patients that do not fit.
    """
    if isinstance(source, str | Path):
        if patients is not None:
            raise BenchError(
                f"{side}: patients were given for {source}; give a list of paths or an array with them, whose order is "
                "known, or write a metadata.csv with the columns file_name and patient_id into the folder"
            )
        return _of_path(side, Path(source).expanduser(), window)
    if isinstance(source, Sequence) and all(isinstance(each, str | Path) for each in source):
        paths = [Path(each).expanduser() for each in source]
        found = _of_files(side, paths, None, window)
    else:
        found = _of_array(side, source)
    return found if patients is None else _with_patients(found, patients)


def _of_path(side: str, path: Path, window: Window | None) -> Given:
    if path.is_dir():
        return _of_files(side, sorted(_files(path)), path, window)
    if not path.exists():
        raise BenchError(f"{side}: {path} is not there; name a folder of images, a parquet file or a NIfTI file")
    return _of_files(side, [path], None, window)


def _files(folder: Path) -> Iterator[Path]:
    """All files below ``folder`` but hidden ones and those in hidden folders, which are nobody's images."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _of_files(side: str, files: Sequence[Path], root: Path | None, window: Window | None) -> Given:
    """Files of one kind; below a folder ``root`` those that are of no kind are counted and left aside."""
    from bench.compare.image_files import image_files
    from bench.compare.image_tables import image_table
    from bench.compare.volumes import volumes

    kinds: dict[str, list[Path]] = {"image": [], "NIfTI": [], "parquet": []}
    others: Counter[str] = Counter()
    for file in files:
        kind = _kind(file)
        if kind:
            kinds[kind].append(file)
        elif file.name != "metadata.csv":
            others[file.suffix.lower() or file.name] += 1
    present = {kind: paths for kind, paths in kinds.items() if paths}
    where = root or (files[0] if len(files) == 1 else "the list of paths")
    if not present or (root is None and others):
        seen = f"{len(files)} files ({_named(others)})" if files else "no file"
        raise BenchError(
            f"{side}: {where} has {seen}, needed images (png, jpeg, tiff, dcm), parquet files or NIfTI files alone"
        )
    if len(present) > 1:
        counts = ", ".join(f"{len(paths)} {kind} files" for kind, paths in present.items())
        raise BenchError(f"{side}: {where} has {counts}; name a folder with one kind of them")
    ((kind, paths),) = present.items()
    if kind == "parquet":
        found = image_table(side, paths, window)
    else:
        found = volumes(side, paths, root) if kind == "NIfTI" else image_files(side, paths, root, window)
    if not others:
        return found
    note = f"{side}: {sum(others.values())} other files were not read ({_named(others)})"
    return replace(found, notes=(*found.notes, note))


def _kind(file: Path) -> str | None:
    from bench.storage.image_reader import SUFFIXES

    name = file.name.lower()
    if name.startswith("."):
        return None
    if name.endswith(VOLUMES):
        return "NIfTI"
    return "parquet" if name.endswith(PARQUET) else "image" if file.suffix.lower() in SUFFIXES else None


def _named(kinds: Counter[str]) -> str:
    some = [f"{count} {kind}" for kind, count in kinds.most_common(LISTED)]
    return ", ".join([*some, *(["..."] if len(kinds) > LISTED else [])])


def _of_array(side: str, source: Any) -> Given:
    try:
        images = np.asarray(source)
    except Exception as error:  # whatever the array of another library raises
        raise BenchError(f"{side}: got {type(source).__name__}, which is no array: {error}") from None
    if images.ndim != 3 or images.dtype != np.uint8:
        raise BenchError(f"{side}: got {_described(source, images)}, {_needed(images)}")
    size = images.shape[1], images.shape[2]
    names = [f"image {number}" for number in range(len(images))]

    def readers() -> Iterator[Read]:
        return (partial(np.array, image) for image in images)

    return Given(side, names, [None] * len(images), [size] * len(images), readers)


def _described(source: Any, images: Any) -> str:
    if images.dtype == object or images.dtype.kind not in "buif":
        return type(source).__name__
    values = f", values {images.min():g} to {images.max():g}" if images.size else ""
    return f"an array {images.shape} of {images.dtype}{values}"


def _needed(images: Any) -> str:
    needed = "needed an array (N, H, W) of uint8, grey levels 0 to 255, a list of paths, or the path of a folder"
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        return f"{needed}: take the one channel out, images[:, 0] or images[..., 0]"
    if images.ndim == 3 and images.dtype.kind == "f":
        return f"{needed}: bring values to 0 to 255 and round, for 0 to 1 np.rint(255 * images).astype(np.uint8)"
    if images.ndim == 3 and images.dtype.kind in "iub":
        return f"{needed}: bring values to 0 to 255 by one rule for both sides, then images.astype(np.uint8)"
    return needed


def _with_patients(found: Given, patients: Sequence[Any]) -> Given:
    names = [str(each) for each in patients]
    if found.slices:
        raise BenchError(f"{found.side}: patients were given for volumes; each volume is a patient, so leave them out")
    if len(names) != len(found):
        raise BenchError(f"{found.side}: {len(names)} patients for {len(found)} images, needed one for each image")
    return replace(found, patients=names)
