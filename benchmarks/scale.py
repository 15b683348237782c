"""How fast every stage of a run is on this machine, and how much memory it takes by the number of images.

``python -m benchmarks.scale`` draws pictures of noise, prepares them, samples as many from the generator ``noise``,
encodes both and writes the record, in a process of its own for each number of images, and prints a table of rates, a
table of memory, and the bytes that each further image took.
"""

from __future__ import annotations

import argparse
import csv
import gc
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, open_dict
from PIL import Image

from bench.storage.text_table import markdown_table
from benchmarks.clock import status

INTERVAL = 0.005  # seconds between two looks at the memory
LABELS = {"finding": {"kind": "binary", "values": [0, 1]}, "grade": {"kind": "ordinal", "values": [1, 2, 3, 4]}}
PARTS = {"train": 0.8, "test": 0.2}  # of which a quarter of the first is held out
MB = 2**20


@dataclass(frozen=True)
class Spent:
    """What a stage took.

    Attributes:
        images: how many it handled.
        seconds: that passed, and of processor time over all threads.
        private: most MB of memory of the process's own; what is mapped from files is not in it.
        resident: most MB in all, files mapped from disk included: the system takes those back when it needs room.
    """

    stage: str
    images: int
    seconds: float
    processor: float
    private: float
    resident: float


class Watch:
    """Looks at the memory of this process, in a thread, while a stage runs."""

    def __init__(self) -> None:
        self.spent: list[Spent] = []

    def __call__(self, stage: str, images: int, work: Callable[[], Any]) -> Any:
        """What ``work`` gives; how long it took and what memory it needed is noted."""
        gc.collect()
        most, done = [0.0, 0.0], threading.Event()

        def look() -> None:
            while not done.wait(INTERVAL):
                for place, field in enumerate(("RssAnon", "VmRSS")):
                    most[place] = max(most[place], status(field) or 0.0)

        thread = threading.Thread(target=look)
        begin = time.perf_counter(), time.process_time()
        thread.start()
        try:
            return work()
        finally:
            took = time.perf_counter() - begin[0], time.process_time() - begin[1]
            done.set()
            thread.join()
            self.spent.append(Spent(stage, images, *took, *most))


def draw(folder: Path, images: int, side: int) -> None:
    """A data set in the layout of ``dataset=imagefolder``: noise, three images a patient."""
    rng = np.random.default_rng([images, side])
    for part, share in PARTS.items():
        (folder / part).mkdir(parents=True)
        buffer = io.StringIO()
        table = csv.writer(buffer, lineterminator="\n")
        table.writerow(["file_name", "patient_id", *LABELS, "view", "text"])
        for number in range(round(images * share)):
            name = f"{part}_{number:07d}.png"
            Image.fromarray(rng.integers(0, 256, (side, side), np.uint8)).save(folder / part / name, compress_level=1)
            grade = number % 4 + 1
            row = [
                name,
                f"{part}-{number // 3:07d}",
                number % 2,
                grade,
                "frontal",
                f"Radiograph, finding of grade {grade}",
            ]
            table.writerow(row)
        (folder / part / "metadata.csv").write_text(buffer.getvalue())


def configured(folder: Path, images: int, side: int, encoders: Sequence[str], evaluators: Sequence[str]) -> DictConfig:
    """A run on what ``draw`` left, which asks for as many images as there are real ones."""
    choices = [
        "dataset=imagefolder",
        f"dataset.root={folder / 'data'}",
        f"dataset.image_size={side}",
        "dataset.attributes=[view]",
        "dataset.conditions=[finding,grade]",
        "dataset.groups=[finding]",
        "dataset.targets=[finding]",
        "dataset.prompt=text",
        "generator=noise",
        f"encoder=[{','.join(encoders)}]",
        f"evaluator=[{','.join(evaluators)}]",
        f"requests.privacy={round(images * PARTS['test'])}",
        "wandb.mode=disabled",
        f"cache={folder / 'cache'}",
        "name=noise",
    ]
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=choices)
    with open_dict(config):
        config.dataset.labels = LABELS
    return config


def measured(folder: Path, images: int, side: int, encoders: Sequence[str], evaluators: Sequence[str]) -> list[Spent]:
    """The stages of one run, one after the other, in this process."""
    from bench.pipeline.features import Encoding
    from bench.pipeline.filtering import Filtered
    from bench.pipeline.loading import Loading
    from bench.pipeline.plan import Plan
    from bench.pipeline.requests import make_requests
    from bench.pipeline.run import Evaluations, sampling
    from bench.pipeline.run_record import Results, keep, run_record
    from bench.pipeline.stage import result

    draw(folder / "data", images, side)
    config = configured(folder, images, side, encoders, evaluators)
    watch, home = Watch(), folder / "run"
    plan = watch("start", 0, lambda: Plan.of(config))
    watch("preparing", images, lambda: result(Loading(plan.dataset, plan.cache)))
    split = watch("loading", images, lambda: result(Loading(plan.dataset, plan.cache)))
    requests = watch("requests", images, lambda: make_requests(split, plan.config.seed, plan.config.requests))
    made = len(requests)
    sampled = watch("sampling", made, lambda: result(sampling(plan, home, split, requests)))
    features = plan.features()
    sets = (split.train, split.holdout, split.test, sampled.images)
    for name in encoders:
        watch(f"encoding: {name}", images + made, lambda: result(Encoding(home, features, [name], sets)))  # noqa: B023
        watch(f"reading: {name}", images + made, lambda: [features(name, each) for each in sets])  # noqa: B023
    found: dict[str, Any] = {}
    evaluations = Evaluations(plan, home, split, requests, sampled, Filtered(sampled.images), features)
    for name in plan.evaluators:
        found[name] = watch(f"evaluator: {name}", made, lambda: result(evaluations.stage(name, found)))  # noqa: B023
    results = Results(split, requests, sampled, evaluations.kept, found, features.encoded, 0.0)
    watch("recording", images + made, lambda: keep(run_record(plan, home, results), home))
    return watch.spent


def rates(found: Sequence[Spent]) -> str:
    """Images a second of each stage, by the clock and by processor time, and what a million images take of the latter.

    On a machine that others use the clock says little.
    """
    rows = []
    for each in found:
        if each.images:
            by_clock, by_processor = each.images / each.seconds, each.images / each.processor
            hours = 1e6 / by_processor / 3600
            rows.append([each.stage, f"{each.images:,}", f"{by_clock:,.0f}", f"{by_processor:,.0f}", f"{hours:.2f}"])
    header = ["stage", "images", "images/s", "images a processor second", "processor hours a million"]
    return markdown_table(header, rows)


def memory(found: Mapping[int, Sequence[Spent]]) -> str:
    """Most memory of each stage by number of real images, and what each further image added, real and generated."""
    header = ["stage", *(f"MB at {images:,}" for images in found), "bytes an image", "with mapped files"]
    rows = []
    for stages in zip(*found.values(), strict=True):
        private, resident = ([getattr(each, kind) for each in stages] for kind in ("private", "resident"))
        added = [f"{slope(list(found), kind):,.0f}" for kind in (private, resident)]
        rows.append([stages[0].stage, *(f"{each:,.0f}" for each in private), *added])
    return markdown_table(header, rows)


def slope(images: Sequence[int], megabytes: Sequence[float]) -> float:
    """Bytes that each further image added, real and generated, between the first and the last number of images."""
    return (megabytes[-1] - megabytes[0]) * MB / (2 * (images[-1] - images[0]))


def main() -> None:
    given = arguments()
    if given.alone:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            spent = measured(Path(folder), given.images[0], given.side, given.encoders, given.evaluators)
        print(json.dumps([asdict(each) for each in spent]))
        return
    found = {}
    for images in given.images:
        command = [sys.executable, "-m", "benchmarks.scale", "--alone", "--images", str(images)]
        command += ["--side", str(given.side), "--encoders", *given.encoders, "--evaluators", *given.evaluators]
        command += ["--folder", str(given.folder)] if given.folder else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[images] = [Spent(**each) for each in json.loads(done.stdout.splitlines()[-1])]
    print(rates(found[given.images[-1]]))
    if len(found) > 1:
        print()
        print(memory(found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 8000], help="real ones; as many are generated")
    parser.add_argument("--side", type=int, default=32, help="pixels of a side")
    parser.add_argument("--encoders", nargs="*", default=["pixels"])
    parser.add_argument("--evaluators", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--alone", action="store_true", help="the first number only, in this process, told as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
