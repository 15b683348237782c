"""Pictures of a finished set brought to the size of the data set they are judged on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.api import BenchError, Request
from bench.storage.image_reader import Aspect, Grey, resize
from generators.finished.joining import SHOWN, repeating


def check_crop_rows(crop_rows: Sequence[int]) -> None:
    """Raise ``BenchError`` unless it is a number of rows off the top and one off the bottom."""
    if len(crop_rows) != 2 or min(crop_rows) < 0:
        raise BenchError(f"generator.crop_rows is {list(crop_rows)}; needed rows off the top and the bottom")


def cut(image: Grey, crop_rows: Sequence[int], where: str) -> Grey:
    """The picture ``where`` without so many rows at the top and at the bottom."""
    top, bottom = crop_rows
    if top + bottom >= len(image):
        raise BenchError(f"{where}: {len(image)} rows, generator.crop_rows takes {top + bottom}")
    return image[top : len(image) - bottom]


def shaped(image: Grey, size: tuple[int, int], aspect: Aspect | None, where: str) -> Grey:
    """The picture ``where`` at ``size``.

    Raises:
        BenchError: it has another size and ``aspect`` is ``None``.
    """
    if image.shape == size:
        return image
    if aspect is None:
        height, width = image.shape
        theirs = f"dataset.image_size={height}" if height == width else f"'dataset.image_size=[{height},{width}]'"
        raise BenchError(
            f"{where} is {height} x {width}, the data set is {size[0]} x {size[1]} (height x width); {theirs} judges "
            "both at the size of the picture, generator.resize=pad or crop brings pictures to that of the data set"
        )
    return resize(image, size, aspect)


def same_pictures(
    given: Mapping[str, str], pixels: Mapping[str, str], requests: Iterable[Request]
) -> tuple[list[str], str]:
    """Requests whose picture an earlier request of the same purpose has, and which pictures these are, in words.

    Args:
        given: what a message calls the picture of each request.
        pixels: the ``pixel_hash`` of each of those.
    """
    asked = list(requests)
    again = repeating({name: pixels[where] for name, where in given.items()}, asked)
    alike: dict[str, list[str]] = {}
    for name in again:
        alike.setdefault(pixels[given[name]], [])
    for where, digest in pixels.items():
        if digest in alike:
            alike[digest].append(where)
    groups = [" = ".join(wheres) if len(wheres) > 1 else f"{wheres[0]} given again" for wheres in alike.values()]
    more = f" and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    return again, "; ".join(groups[:SHOWN]) + more
