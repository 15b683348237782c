"""Two folders by ``bench.compare`` and, on the same features, by published packages: values, intervals, seconds."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.compare.comparison import Comparison
from bench.compare.measure import comparison
from benchmarks import peers

ENCODER = "small_cnn"
PEERS: tuple[tuple[str, tuple[str, ...], Callable[..., Any]], ...] = (
    ("torch-fidelity", ("fd_plain",), peers.torch_fidelity_fd),
    ("torchmetrics", ("fd_plain",), peers.torchmetrics_fd),
    ("cov + sqrtm", ("fd_plain",), peers.square_root_fd),
    ("prdc", ("precision", "recall", "density", "coverage"), peers.prdc_package),
)


def rows(found: Comparison) -> list[tuple[str, ...]]:
    """By metric: our value and interval, and what each package finds on the same features."""
    ours = {score.metric: score for score in found.scores if score.encoder == ENCODER}
    real, fake = (found.rows(ENCODER, images) for images in (found.real, found.fake))
    theirs: dict[str, list[str]] = {}
    for name, keys, measure in PEERS:
        value = measure(real, fake)
        for key, each in zip(keys, value if isinstance(value, list) else [value], strict=True):
            theirs.setdefault(key, []).append(f"{name} {each:.6g}")
    cells = []
    for key, score in ours.items():
        interval = "" if score.low is None else f"{score.low:.4g} to {score.high:.4g}"
        value = "refused" if score.value is None else f"{score.value:.6g}"
        cells.append((key, value, interval, "; ".join(theirs.get(key, []))))
    return cells


def main() -> None:
    """``python -m benchmarks.two_folders REAL FAKE``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("fake", type=Path)
    chosen = parser.parse_args()
    begin = time.perf_counter()
    found = comparison(chosen.real, chosen.fake)
    seconds = time.perf_counter() - begin
    print("| metric | bench.compare | 95% interval | on the same features |\n|---|---|---|---|")
    for cells in rows(found):
        print("| " + " | ".join(cells) + " |")
    print(f"\n{seconds:.0f} s for {len(found.real)} and {len(found.fake)} images at {found.real.size}")


if __name__ == "__main__":
    main()
