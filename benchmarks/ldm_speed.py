"""Images a second and memory of the latent diffusion generator beside MONAI's own loop, on the same networks.

    python -m benchmarks.ldm_speed --size 64 --batch 4 --steps 2
    python -m benchmarks.ldm_speed --device cuda --out figures --train-minutes 20

Both sides have the same weights, batches and number of steps, run in one process and take turns, lap after lap, after
a lap that is not counted. On a CPU one thread works and seconds are CPU seconds of the process. Images are drawn
phantoms. Before anything is timed, the latents of both samplers must agree after every step.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import platform
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.api import BenchError, Split
from bench.datasets.phantom import Phantom
from bench.runtime.device import resolve
from bench.storage.files import write_atomic, write_json
from benchmarks import ldm_agreement
from benchmarks.clock import Clock, swept
from benchmarks.ldm_loops import SEED, Material, Monai, Ours, Preset, Task, Variant, material_of, networks, seeds_of
from benchmarks.ldm_training import Course, lines
from generators.ldm.settings import AutoencoderSettings, DiffusionSettings

VARIANTS = {
    each.name: each
    for each in (
        Variant("float32"),
        Variant("bf16", torch.bfloat16),
        Variant("bf16+channels_last", torch.bfloat16, channels_last=True),
        Variant("bf16+channels_last+compiled", torch.bfloat16, channels_last=True, compiled=True),
    )
}
PRESETS = {
    each.name: each
    for each in (
        Preset(
            "tiny",
            AutoencoderSettings(channels=(16, 32, 32), latent_channels=4, steps=1, batch=1, rate=1e-3),
            DiffusionSettings(
                channels=(32, 64), attention=(False, True), head_channels=(0, 32), steps=1, batch=1, rate=1e-3
            ),
        ),
        # of the order of published models of 256 x 256 pixels; the schedule is that of MONAI's tutorials
        Preset(
            "large",
            AutoencoderSettings(
                channels=(128, 256, 256), latent_channels=4, blocks=2, groups=32, steps=1, batch=1, rate=1e-4
            ),
            DiffusionSettings(
                channels=(128, 256, 512),
                attention=(False, True, True),
                head_channels=(0, 256, 512),
                blocks=2,
                groups=32,
                noise=(0.0015, 0.0195),
                steps=1,
                batch=1,
                rate=1e-4,
            ),
        ),
    )
}
HEADER = "| variant | part | method | images/s | from - to | over MONAI | peak MB |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Part:
    """Something both contenders do.

    Attributes:
        prepare: what a lap does, for one contender.
        sides: who does it.
        updates: whether every step of a lap has images of its own.
    """

    name: str
    prepare: Callable[[Any, Task], Callable[[], Any]]
    sides: tuple[type[Ours] | type[Monai], ...] = (Ours, Monai)
    updates: bool = True

    @property
    def names(self) -> list[str]:
        return [side.name for side in self.sides]

    def images(self, task: Task) -> int:
        """Images a lap counts for."""
        return task.batch * task.steps if self.updates else task.batch


def _sampling(side: Ours | Monai, task: Task) -> Callable[[], Any]:
    return partial(side.sampler(task.steps), seeds_of(task.batch), side.material.labels[: task.batch])


PARTS = (
    Part("autoencoder training", lambda side, task: partial(side.autoencoder(), task.steps)),
    Part("encoding, once", lambda side, task: partial(side.encoder(), task.steps), (Ours,)),
    Part("denoiser training", lambda side, task: partial(side.denoiser(), task.steps)),
    Part("sampling", _sampling, updates=False),
)


@dataclass(frozen=True)
class Row:
    """Images a second of each lap, and the greatest memory in MB, own networks and optimiser included."""

    variant: str
    part: str
    method: str
    rates: tuple[float, ...]
    peak: float | None

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def cells(self, other: Row | None) -> tuple[str, ...]:
        """Of the table; ``other`` is MONAI's row of the same part."""
        spread = f"{min(self.rates):.3g} - {max(self.rates):.3g}"
        ratio = "" if other is None or other is self else f"{self.rate / other.rate:.2f}"
        peak = "" if self.peak is None else f"{self.peak:.0f}"
        return self.variant, self.part, self.method, f"{self.rate:.3g}", spread, ratio, peak


def measure(task: Task, variant: Variant, part: Part, material: Material) -> list[Row]:
    """One part of one variant: laps in turn, then one more of each for its memory."""
    clock = Clock(task.device)
    laps: dict[str, Callable[[], Any]] = {}
    for side in part.sides:
        model = networks(task.preset, material, variant, task.device)
        laps[side.name] = part.prepare(side(model, material, variant), task)
        laps[side.name]()
    del model
    seconds = in_turn(clock, laps, task.laps)
    above = {name: clock.peak(laps[name]) for name in part.names}
    if variant.compiled:
        # kernels hold the networks they were made for
        torch.compiler.reset()
    return [
        Row(
            variant.name,
            part.name,
            name,
            tuple(part.images(task) / each for each in seconds[name]),
            _sum(above[name], _let_go(clock, laps, name)),
        )
        for name in part.names
    ]


def in_turn(clock: Clock, laps: dict[str, Callable[[], Any]], count: int) -> dict[str, list[float]]:
    """Seconds of ``count`` laps of each, one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in laps}
    for _ in range(count):
        for name, lap in laps.items():
            seconds[name].append(clock.seconds(lap))
    return seconds


def _let_go(clock: Clock, laps: dict[str, Callable[[], Any]], name: str) -> float | None:
    """MB that were held for the laps of ``name``."""
    before = clock.held()
    del laps[name]
    after = clock.held()
    return None if before is None or after is None else before - after


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def report(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of the table."""
    known = {(each.variant, each.part, each.method): each for each in rows}
    for (variant, part, _), row in known.items():
        yield f"| {' | '.join(row.cells(known.get((variant, part, Monai.name))))} |"


def write(folder: Path, facts: dict[str, Any], rows: list[Row]) -> None:
    """``ldm_speed.json`` with everything, ``ldm_speed.csv`` with a line for each row."""
    listed = [{**asdict(each), "images_per_second": each.rate} for each in rows]
    write_json(folder / "ldm_speed.json", {**facts, "rows": listed})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["variant", "part", "method", "images_per_second", "least", "most", "peak_mb"])
    for each in rows:
        cells = (f"{value:.6g}" for value in (each.rate, min(each.rates), max(each.rates)))
        peak = "" if each.peak is None else f"{each.peak:.1f}"
        table.writerow([each.variant, each.part, each.method, *cells, peak])
    write_atomic(folder / "ldm_speed.csv", text.getvalue().encode())


def facts_of(task: Task, material: Material) -> dict[str, Any]:
    """What the figures depend on."""
    import monai

    cuda = task.device.type == "cuda"
    model = networks(task.preset, material, Variant("float32"), torch.device("cpu"))
    modules: dict[str, torch.nn.Module] = {"autoencoder": model.autoencoder, "denoiser": model.denoiser}
    return {
        "device": torch.cuda.get_device_name(task.device) if cuda else f"one thread of {_processor()}",
        "counts": Clock(task.device).counts,
        "torch": torch.__version__,
        "monai": monai.__version__,
        "preset": task.preset.name,
        "size": task.size,
        "batch": task.batch,
        "steps": task.steps,
        "laps": task.laps,
        "latent_shape": list(model.latent_shape),
        "parameters": {name: sum(each.numel() for each in net.parameters()) for name, net in modules.items()},
        "largest_difference_of_latents": ldm_agreement.check(task.preset, material, task.device),
    }


def _processor() -> str:
    """The processor's name where the system gives one."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def phantoms(task: Task, learned: int, cache: Path) -> Split:
    """``learned`` training images, or a little more, and a quarter of that in whole batches to test on."""
    tested = -(-learned // 4 // task.batch) * task.batch
    split = Phantom([task.size, task.size], -(-4 * learned // 3), max(5, tested), holdout_fraction=0.25)
    return split.load(cache)


def options(arguments: Iterable[str] | None) -> argparse.Namespace:
    """The command line, with what depends on the device filled in.

    Raises:
        BenchError: a number out of range or an unknown variant.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--preset", choices=list(PRESETS), help="of networks; default tiny on a CPU, else large")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images, default 256")
    parser.add_argument("--batch", type=int, help="images, default 4 on a CPU, else 16")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps or DDIM steps of a lap, default 20")
    parser.add_argument("--laps", type=int, default=5, help="of which medians are taken, default 5")
    parser.add_argument("--variants", help=f"with commas between: {', '.join(VARIANTS)}; a CPU leaves out the last")
    parser.add_argument("--out", type=Path, help="folder for ldm_speed.json, ldm_speed.csv, samples.png")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of the phantoms, default cache")
    parser.add_argument("--train-minutes", type=float, help="train the last variant for about so long, then sample")
    parser.add_argument("--images", type=int, default=2048, help="to train on with --train-minutes, default 2048")
    asked = parser.parse_args(None if arguments is None else list(arguments))
    asked.device = torch.device(resolve(asked.device))
    cpu = asked.device.type == "cpu"
    asked.preset = asked.preset or ("tiny" if cpu else "large")
    asked.batch = (4 if cpu else 16) if asked.batch is None else asked.batch
    asked.variants = asked.variants.split(",") if asked.variants else list(VARIANTS)[: 3 if cpu else None]
    _check(asked)
    return asked


def _check(asked: argparse.Namespace) -> None:
    if unknown := [name for name in asked.variants if name not in VARIANTS]:
        raise BenchError(f"ldm_speed: --variants {unknown[0]!r}, needed some of {list(VARIANTS)}")
    for name, least in (("size", 32), ("batch", 1), ("steps", 1), ("laps", 1)):
        if getattr(asked, name) < least:
            raise BenchError(f"ldm_speed: --{name} {getattr(asked, name)}, needed at least {least}")
    if asked.steps > (most := PRESETS[asked.preset].diffusion.noise_steps):
        raise BenchError(f"ldm_speed: --steps {asked.steps}, needed at most {most}")
    if asked.images < 4 * asked.batch:
        raise BenchError(f"ldm_speed: --images {asked.images}, needed at least 4 batches of {asked.batch}")
    if asked.train_minutes is not None and not (asked.train_minutes > 0 and asked.out):
        raise BenchError("ldm_speed: --train-minutes needs more than 0 minutes and a folder --out for the sheet")
    if asked.device.type == "cuda" and not torch.cuda.is_available():
        raise BenchError("ldm_speed: --device cuda, but this machine has no usable CUDA device; use --device cpu")


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, print the table, and write what was asked for."""
    asked = options(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)
    if asked.device.type == "cpu":
        torch.set_num_threads(1)
    # MONAI draws the noise of latents from the global source
    devices = [asked.device] if asked.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(SEED)
        _measure_all(asked)


def _measure_all(asked: argparse.Namespace) -> None:
    preset = PRESETS[asked.preset].at(asked.batch)
    task = Task(preset, asked.size, asked.batch, asked.steps, asked.laps, asked.device)
    split = phantoms(task, max(asked.images if asked.train_minutes else 0, 4, 2 * asked.batch), asked.cache)
    material = material_of(split)
    facts = facts_of(task, material)
    for name, value in facts.items():
        print(f"{name}: {value}", flush=True)
    print(f"\n{HEADER}", flush=True)
    rows: list[Row] = []
    for name in asked.variants:
        for part in PARTS:
            with swept():
                found = measure(task, VARIANTS[name], part, material)
            rows += found
            print("\n".join(report(found)), flush=True)
    if asked.train_minutes:
        last = rows[-1].variant
        rates = {each.part: each.rate for each in rows if (each.variant, each.method) == (last, Ours.name)}
        facts["trained"] = Course(task, VARIANTS[last], asked.train_minutes, rates).run(split, asked.out)
        print("", *lines(facts["trained"]), sep="\n", flush=True)
    if asked.out:
        write(asked.out, facts, rows)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        raise SystemExit(str(error)) from None
