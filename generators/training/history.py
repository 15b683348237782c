"""The losses of a training as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.storage.files import write_atomic

CURVE = 200  # points of a stage in history.csv
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
