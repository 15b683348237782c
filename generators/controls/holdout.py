"""The ceiling: real images that no generator may learn from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from bench.api import Part, Purpose
from generators.controls.real_images import RealImages


class Holdout(RealImages):
    """Gives every request a real holdout image, of the asked conditions and groups where one is left.

    What it scores is what a perfect generator of unseen images of the same population would score. It has no place in
    privacy, where nearness to the holdout is what nearness to the training images is compared with.
    """

    learns_from: ClassVar[Part] = "holdout"
    control: ClassVar[Literal["ceiling"]] = "ceiling"
    refuses: ClassVar[Mapping[Purpose, str]] = MappingProxyType(
        {"privacy": "its images are those of the holdout, which is what privacy compares the training images with"}
    )
