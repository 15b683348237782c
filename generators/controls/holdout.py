"""The ceiling: real images that no generator may learn from."""

from __future__ import annotations

from typing import ClassVar, Literal

from bench.api import Part
from generators.controls.real_images import RealImages


class Holdout(RealImages):
    """Gives every request a real holdout image, of the asked conditions and groups where one is left.

    What it scores is what a perfect generator of unseen images of the same population would score.
    """

    learns_from: ClassVar[Part] = "holdout"
    control: ClassVar[Literal["ceiling"]] = "ceiling"
