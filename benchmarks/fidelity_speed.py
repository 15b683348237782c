"""CPU seconds and memory of the fidelity measures beside published packages, on one thread.

    python -m benchmarks.fidelity_speed --quick
    python -m benchmarks.fidelity_speed --rounds 3 fd-768-10000 prdc-768-10000

Ours and its peers run in turn, in one process, round after round, a float32 matrix product before each: a busy
machine slows all of them alike. Reported are medians of process CPU seconds, the greatest memory above the features
(``VmHWM`` after a reset, Linux only), and CPU seconds over those of the products alone at the rate just measured.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import Rows
from bench.statistics.clusters import Clusters
from bench.statistics.distances import nearest, operand, product
from bench.statistics.neighbours import View, neighbourhood
from bench.statistics.resampling import folds
from benchmarks import peers
from benchmarks.clock import status
from evaluators.fidelity.cmmd import unit
from evaluators.fidelity.frechet_distance import frechet
from evaluators.fidelity.kernel_distance import kernel_distance
from evaluators.fidelity.pairwise_pass import compare
from evaluators.fidelity.vendi import effective_number

FOLDS = 20
PRDC = (View.precision, View.recall, View.density, View.coverage)


@dataclass(frozen=True)
class Case:
    """One measure at one size.

    Attributes:
        operations: floating point operations of the matrix products alone, of the best known exact algorithm.
        ours, peers: each takes nothing and returns the value, a number or several.
        slow: peers that are run once whatever the number of rounds.
    """

    name: str
    operations: float
    ours: Callable[[], Any]
    peers: Mapping[str, Callable[[], Any]]
    slow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timing:
    """CPU seconds, MB above what was held before, and the rate of the product timed just before, in operations/s."""

    seconds: float
    peak: float
    rate: float
    value: Any


def features(seed: int, n: int, columns: int) -> Rows:
    """``(n, columns)`` Gaussian rows whose variances fall off as 1/i, every mean at 0.5."""
    rng = np.random.default_rng([seed, columns])
    spread = np.arange(1, columns + 1, dtype=np.float32) ** np.float32(-0.5)
    turn = np.linalg.qr(np.random.default_rng(columns).normal(size=(columns, columns)))[0].astype(np.float32)
    rows = np.empty((n, columns), np.float32)
    for start in range(0, n, 5000):
        part = rows[start : start + 5000]
        part[:] = (rng.standard_normal(part.shape, dtype=np.float32) * spread) @ turn + np.float32(0.5)
    return rows


def cases() -> dict[str, Callable[[], Case]]:
    """Every case by name, features made when it is called."""
    made: dict[str, Callable[[], Case]] = {}
    for columns, n in ((768, 2000), (768, 10000), (2048, 500), (2048, 2000), (2048, 10000), (2048, 50000)):
        made[f"fd-{columns}-{n}"] = partial(fd_case, columns, n)
    for n in (2000, 10000, 20000):
        made[f"prdc-768-{n}"] = partial(prdc_case, 768, n)
    for n in (2000, 10000):
        made[f"kid-768-{n}"] = partial(kid_case, 768, n)
    for n, references in ((2000, 10000), (10000, 50000)):
        made[f"nearest-768-{n}x{references}"] = partial(nearest_case, 768, n, references)
        made[f"all-768-{n}x{references}"] = partial(all_case, 768, n, references)
    made["vendi-768-4000"] = partial(vendi_case, 768, 4000)
    return made


QUICK = ("fd-768-2000", "fd-2048-500", "prdc-768-2000", "kid-768-2000", "nearest-768-2000x10000", "all-768-2000x10000")


def _sets(n: int, columns: int) -> tuple[Rows, Rows, Clusters, Clusters]:
    rng = np.random.default_rng(0)
    real, fake = features(1, n, columns), features(2, n, columns) * np.float32(1.05)
    return real, fake, Clusters.apart(folds(n, FOLDS, rng)), Clusters.apart(folds(n, FOLDS, rng))


def fd_case(columns: int, n: int) -> Case:
    real, fake, _, _ = _sets(n, columns)
    operations = 2.0 * n * columns**2 if n > columns else 2.0 * n * n * columns
    others = {
        "torchmetrics": partial(peers.torchmetrics_fd, real, fake),
        "torch-fidelity": partial(peers.torch_fidelity_fd, real, fake),
        "cov + sqrtm": partial(peers.square_root_fd, real, fake),
    }
    return Case(f"FD {columns} x {n}", operations, partial(frechet, real, fake), others, ("cov + sqrtm",))


def prdc_case(columns: int, n: int) -> Case:
    real, fake, a, b = _sets(n, columns)

    def ours() -> list[float]:
        return [each.value for each in neighbourhood(real, fake, 5, a, b).estimates(PRDC)]

    return Case(f"PRDC {columns} x {n}", 4.0 * n * n * columns, ours, {"prdc": partial(peers.prdc_package, real, fake)})


def kid_case(columns: int, n: int) -> Case:
    real, fake, a, b = _sets(n, columns)
    others = {
        "torchmetrics": partial(peers.torchmetrics_kid, real, fake),
        "torch-fidelity": partial(peers.torch_fidelity_kid, real, fake),
    }

    def ours() -> float:
        return kernel_distance(real, fake, a, b).distance()

    return Case(f"KID {columns} x {n}", 4.0 * n * n * columns, ours, others)


def _with_train(columns: int, n: int, references: int) -> tuple[Rows, Rows]:
    """Synthetic rows, of which the first 50 are copies, and training rows."""
    train, fake = features(3, references, columns), features(2, n, columns)
    fake[:50] = train[:50]
    return fake, train


def nearest_case(columns: int, n: int, references: int) -> Case:
    fake, train = _with_train(columns, n, references)

    def ours() -> float:
        distances = nearest(fake, train)[0]
        if distances[:50].any():
            raise AssertionError("copies are not at distance 0")
        return float(distances.sum())

    others = {"faiss flat": partial(peers.faiss_flat, fake, train)}
    return Case(f"Nearest {columns} x {n} x {references}", 2.0 * n * references * columns, ours, others)


def all_case(columns: int, n: int, references: int) -> Case:
    real, _, a, b = _sets(n, columns)
    fake, train = _with_train(columns, n, references)

    def ours() -> list[float]:
        found = compare(real, fake, 5, a, b)
        shares = [each.value for each in found.neighbourhood.estimates(PRDC)]
        distances = [found.kernel_distance.distance(), found.discrepancy.distance()]
        return [*distances, *shares, float(nearest(fake, train)[0].sum())]

    operations = (4.0 * n * n + 2.0 * n * references) * columns
    return Case(f"PRDC + KID + CMMD + nearest {columns} x {n} x {references}", operations, ours, {})


def vendi_case(columns: int, n: int) -> Case:
    rows = features(1, n, columns)

    def ours() -> float:
        x = unit(rows)
        return effective_number(x.T @ x)

    return Case(f"Vendi {columns} x {n}", 2.0 * n * columns**2, ours, {"n x n": partial(peers.primal_vendi, rows)})


def product_rate() -> float:
    """Operations a second of the float32 product of a tile, the best of a few."""
    left, right = torch.ones(512, 768), torch.ones(2048, 768)
    left, right = operand(left), operand(right)
    best = np.inf
    for _ in range(6):
        start = time.process_time()
        for _ in range(4):
            product(left, right)
        best = min(best, (time.process_time() - start) / 4)
    return 2.0 * 512 * 2048 * 768 / best


def timed(run: Callable[[], Any]) -> Timing:
    """One run, with memory and the rate of products just before it."""
    rate = product_rate()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before, start = _memory("VmRSS"), time.process_time()
    value = run()
    seconds = time.process_time() - start
    return Timing(seconds, _memory("VmHWM") - before, rate, value)


def _memory(field: str) -> float:
    """A field of the process's status in MB, NaN where the system has none."""
    found = status(field)
    return float("nan") if found is None else found


def measure(case: Case, rounds: int) -> dict[str, list[Timing]]:
    """Timings of ours and of every peer, taken in turn."""
    methods = {"ours": case.ours, **case.peers}
    found: dict[str, list[Timing]] = {name: [] for name in methods}
    for number in range(rounds):
        for name, run in methods.items():
            if number == 0 or name not in case.slow:
                with contextlib.suppress(ModuleNotFoundError):
                    found[name].append(timed(run))
    return {name: timings for name, timings in found.items() if timings}


def report(case: Case, found: dict[str, list[Timing]]) -> Iterator[str]:
    """Lines of the table."""
    ours = statistics.median(each.seconds for each in found["ours"])
    for name, timings in found.items():
        seconds, rate = (statistics.median(each) for each in zip(*((t.seconds, t.rate) for t in timings), strict=True))
        peak, bound = max(each.peak for each in timings), case.operations / rate
        value = ", ".join(f"{each:.6g}" for each in np.atleast_1d(timings[0].value))
        cells = (
            case.name,
            name,
            f"{seconds:.3f}",
            "" if name == "ours" else f"{seconds / ours:.2f}",
            f"{peak:.0f}",
            f"{rate / 1e9:.0f}",
            f"{seconds / bound:.2f}",
            value,
        )
        yield f"| {' | '.join(cells)} |"


HEADER = (
    "| case | method | CPU s | over ours | peak MB | product GF/s | CPU s over products alone | value |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure the cases named, or all, and print the table."""
    known = cases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="case", help=f"of: {', '.join(known)}; all by default")
    parser.add_argument("--quick", action="store_true", help="the small cases: a minute")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken, default 3")
    asked = parser.parse_args(None if arguments is None else list(arguments))
    unknown = sorted(set(asked.names) - set(known))
    if unknown:
        parser.error(f"unknown cases {unknown}")
    torch.set_num_threads(1)
    print(HEADER, flush=True)
    with contextlib.ExitStack() as limits:
        with contextlib.suppress(ModuleNotFoundError):
            from threadpoolctl import threadpool_limits

            limits.enter_context(threadpool_limits(1))
        warm_up()
        for name in asked.names or (QUICK if asked.quick else known):
            case = known[name]()
            for line in report(case, measure(case, asked.rounds)):
                print(line, flush=True)


def warm_up() -> None:
    """Libraries loaded and kernels compiled, so that no case pays for them."""
    real, fake, a, b = _sets(200, 32)
    frechet(real, fake)
    compare(real, fake, 5, a, b)
    for peer in (peers.torchmetrics_fd, peers.torch_fidelity_fd, peers.square_root_fd, peers.prdc_package):
        with contextlib.suppress(ModuleNotFoundError):
            peer(real, fake)
    with contextlib.suppress(ModuleNotFoundError):
        peers.faiss_flat(real, fake)


if __name__ == "__main__":
    main()
