"""What can be watched while a model is trained: losses as a table and a picture, and samples at a few steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.api import Images
from bench.storage.files import write_atomic
from bench.storage.image_reader import contact_sheet

CURVE = 200  # points of a stage in history.csv
STOPS = (1 / 16, 1 / 4, 1 / 2, 1)  # shares of a stage after which samples are drawn
Losses = npt.NDArray[np.float32]  # (steps, terms)
Curves = Mapping[str, tuple[tuple[str, ...], Losses]]  # names of terms and losses, by stage


def points(losses: Losses) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Steps and, for each term, the mean over the steps since the point before; about ``CURVE`` of them."""
    width = max(1, len(losses) // CURVE)
    for start in range(0, len(losses), width):
        yield min(start + width, len(losses)), losses[start : start + width].mean(axis=0, dtype=np.float64)


def write_history(path: Path, curves: Curves) -> None:
    """Losses as CSV (stage, step, term, value), each value the mean over the steps since the one before."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "step", "term", "value"])
    for stage, (terms, losses) in curves.items():
        for step, means in points(losses):
            writer.writerows([stage, step, term, f"{mean:.6g}"] for term, mean in zip(terms, means, strict=True))
    write_atomic(path, text.getvalue().encode())


def draw_losses(path: Path, curves: Curves) -> None:
    """PNG of the same curves: a panel a stage, a line a term, on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(curves), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (stage, (terms, losses)) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), place + 1, title=stage, xlabel="step", yscale="log")
        steps, means = zip(*points(losses), strict=True)
        for term, values in zip(terms, np.array(means).T, strict=True):
            # a term that has not begun is zero, which has no place on this scale
            axes.plot(steps, np.where(values > 0, values, np.nan), label=term, linewidth=1)
        axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())


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
