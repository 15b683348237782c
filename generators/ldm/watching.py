"""What can be watched of a model while it is trained: samples at a few steps."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.api import Images
from bench.storage.files import write_atomic
from bench.storage.image_reader import contact_sheet

STOPS = (1 / 16, 1 / 4, 1 / 2, 1)  # shares of a stage after which samples are drawn


@dataclass
class Strip:
    """``ldm_progress.png`` in ``folder``: what the same seeds give after a few of ``steps``, a row for each.

    The rows so far lie in ``progress.npy``, so that a training that was killed need not draw them again.

    Attributes:
        draw: images (N, H, W) of the model as it is.
    """

    folder: Path
    steps: int
    draw: Callable[[], Images]
    stops: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.stops = sorted({max(1, round(self.steps * share)) for share in STOPS})

    def __call__(self, done: int) -> None:
        """To be called after every step, before its checkpoint is written; ``done`` counts the steps."""
        if done not in self.stops:
            return
        place, path = self.stops.index(done), self.folder / "progress.npy"
        made = self.draw()
        row = np.concatenate([_caption(f"step {done}", made.shape[1:])[None], made])[None]
        rows = np.concatenate([np.load(path)[:place], row]) if place and path.exists() else row
        content = io.BytesIO()
        np.save(content, rows)
        write_atomic(path, content.getvalue())
        sheet = contact_sheet(rows.reshape(-1, *rows.shape[2:]), rows.shape[1])
        write_atomic(self.folder / "ldm_progress.png", sheet)


def _caption(text: str, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    height, width = size
    picture = Image.new("L", (width, height))
    ImageDraw.Draw(picture).text((2, height // 2), text, fill=255, anchor="lm")
    return np.asarray(picture)
