"""``python -m tests.coverage --repetitions 400``: counts, prints a table, leaves with 1 if a cell does not stand."""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.coverage.cells import Cell, judged
from tests.coverage.counting import all_populations, counted
from tests.coverage.estimators import KEYS
from tests.coverage.radiographs import FOLDER

PLACE = "metric population shift n repetitions without truth of"
COUNTED = "mean bias bias_se half_width ratio coverage low high p p_holm"


def rows(cells: Sequence[Cell]) -> list[list[str]]:
    """The table: a header, then a row for each cell with what is wrong with it."""
    table = [[*PLACE.split(), *COUNTED.split(), "faults"]]
    for cell, p, faults in judged(cells):
        (bias, se), (low, high) = cell.bias, cell.coverage_interval
        numbers = [cell.aim, cell.found[:, 0].mean(), bias, se, cell.half_width, cell.width_ratio]
        shares = [cell.coverage, low, high, cell.p_value, p]
        kind = "this n" if cell.truth is None else "any n"
        texts = [f"{number:.4g}" for number in numbers]
        place = [cell.metric, cell.population, cell.shift, str(cell.n), str(cell.repetitions), str(cell.without)]
        table.append([*place, texts[0], kind, *texts[1:], *(f"{share:.3f}" for share in shares), ", ".join(faults)])
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 if every cell stands."""
    parser = argparse.ArgumentParser("python -m tests.coverage", description=__doc__)
    whole = partial(parser.add_argument, type=int)
    whole("--repetitions", default=400, help="draws of each population and shift")
    whole("--n", default=250, help="images of a side")
    whole("--jobs", default=2, help="processes")
    parser.add_argument("--metrics", nargs="+", choices=sorted(KEYS), default=sorted(KEYS), metavar="KEY")
    parser.add_argument("--populations", nargs="+", metavar="NAME", help="all by default")
    parser.add_argument("--csv", type=Path, help="file for the table")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "bench-coverage")
    chosen = parser.parse_args(arguments)
    chosen.cache.mkdir(parents=True, exist_ok=True)
    known = all_populations(chosen.cache)
    unknown = sorted(set(chosen.populations or ()) - set(known))
    if unknown:
        parser.error(f"no populations {unknown}; there are {list(known)}")
    if not FOLDER.is_dir():
        sys.stderr.write(f"populations of radiographs are skipped: nothing at {FOLDER} (set BENCH_SHARED_DATA)\n")
    populations = [known[name] for name in chosen.populations or known]
    table = rows(counted(populations, chosen.n, chosen.repetitions, chosen.metrics, chosen.jobs))
    widths = [max(map(len, each)) for each in zip(*table, strict=True)]
    for row in table:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    failed = sum(bool(row[-1]) for row in table[1:])
    sys.stdout.write(f"{failed} of {len(table) - 1} cells do not stand\n")
    if chosen.csv:
        with chosen.csv.open("w", newline="") as file:
            csv.writer(file).writerows(table)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
