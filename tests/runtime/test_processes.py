"""Several processes give what one gives, byte for byte, and no failure is silent or waits for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Encoder, Generator, Images, ImageSet, Request, Rows, Split
from bench.pipeline.features import Encoding, FeatureStore
from bench.pipeline.stage import result
from bench.pipeline.training import Training
from bench.runtime.device import resolve
from bench.runtime.processes import ALONE, Launched, Lost, Team, Told, launched
from bench.storage.feature_rows import rows_of
from bench.storage.files import Waited, alone
from tests.conftest import ROOT
from tests.pipeline.test_run import SMALL, configure, sampled, start

# 280 images in parts of 256 and less: one part for each of two processes
# images in two parts
CHOICE = ["generator=pca", "generator.block=16", "evaluator=[fidelity,privacy]", "encoder=[radiomics,pixels]"]


def in_threads(work: Callable[[Team], Any], count: int) -> list[Any]:
    """What ``work`` gives or raises for every rank of a team whose processes are threads."""
    barrier, notes, results = threading.Barrier(count, timeout=20), [None] * count, [None] * count

    def gather(rank: int, note: list[Any]) -> list[Any]:
        try:
            notes[rank] = note[0]
            barrier.wait()
            heard = list(notes)
            barrier.wait()
        except threading.BrokenBarrierError as error:
            raise RuntimeError("Connection closed by peer") from error
        return heard

    def act(rank: int) -> None:
        team = Launched(rank, count, lambda note: gather(rank, note))
        try:
            results[rank] = work(team)
        except SystemExit:
            barrier.abort()
        except Exception as error:
            results[rank] = error
            told = team.fail(error)
            assert team.is_main or told != isinstance(error, Told | Lost)

    threads = [threading.Thread(target=act, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_shares_make_the_whole() -> None:
    shares = in_threads(lambda team: team.share(range(10)), 3)
    assert sorted(item for share in shares for item in share) == list(range(10))


def test_the_main_process_goes_first() -> None:
    order: list[int] = []

    def work(team: Team) -> None:
        with team.main_first("loading"):
            order.append(team.rank)

    in_threads(work, 4)
    assert order[0] == 0 and sorted(order) == [0, 1, 2, 3]


def test_a_failure_is_told_to_all_others_with_its_reason() -> None:
    def work(team: Team) -> None:
        if team.rank == 1:
            raise ZeroDivisionError("planted")
        team.meet("sampling")

    main, failed, other = in_threads(work, 3)
    assert isinstance(failed, ZeroDivisionError)
    for heard in (main, other):
        assert isinstance(heard, Told)
        assert str(heard).startswith("while sampling: process 1 of 3 failed with ZeroDivisionError: planted; ")


def test_a_process_that_vanishes_is_noticed() -> None:
    def work(team: Team) -> None:
        if team.rank == 1:
            sys.exit()
        team.meet("sampling")

    main, _ = in_threads(work, 2)
    assert isinstance(main, Lost) and "while sampling: another process of this run was killed" in str(main)


class Blocky(Encoder):
    """Rows that depend on the whole block, as the last bits of a convolution may."""

    id = "blocky-1"
    dim = 2
    block = 4

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Images) -> Rows:
        self.calls += 1
        means = images.mean(axis=(1, 2))
        return np.stack([means, means * np.arange(len(images)) + images.std()], axis=1).astype(np.float32)


@pytest.mark.parametrize("count", [2, 5])
def test_rows_come_from_the_blocks_that_one_process_would_cut(tiny_split: Split, tmp_path: Path, count: int) -> None:
    some = tiny_split.train.select(range(1, 42, 2))

    sets = (some, tiny_split.train, tiny_split.test)
    encoders = [Blocky() for _ in range(count)]

    def asked(features: FeatureStore, team: Team = ALONE) -> list[Rows]:
        result(Encoding(tmp_path, features, ["blocky"], sets), team)
        return [features("blocky", each) for each in sets]

    def work(team: Team) -> list[Rows]:
        features = FeatureStore(tmp_path / "several", {"blocky": encoders[team.rank]})
        rows = asked(features, team)
        assert features.encoded == {"blocky": 72}
        return rows

    alone = Blocky()
    expected = asked(FeatureStore(tmp_path / "one", {"blocky": alone}))
    for found in in_threads(work, count):
        assert [rows.tobytes() for rows in found] == [rows.tobytes() for rows in expected]
    assert sum(each.calls for each in encoders) == alone.calls and all(each.calls for each in encoders)
    again = FeatureStore(tmp_path / "several", {"blocky": Blocky()})
    assert [rows.tobytes() for rows in asked(again)] == [rows.tobytes() for rows in expected] and not again.encoded


@pytest.mark.parametrize("broken", [0, 1])
def test_an_encoder_that_fails_in_one_process_stops_the_others(tiny_split: Split, tmp_path: Path, broken: int) -> None:
    class Broken(Blocky):
        def __call__(self, images: Images) -> Rows:
            raise ZeroDivisionError("planted")

    def work(team: Team) -> None:
        encoder = Broken() if team.rank == broken else Blocky()
        features = FeatureStore(tmp_path, {"blocky": encoder})
        result(Encoding(tmp_path, features, ["blocky"], [tiny_split.test]), team)

    results = in_threads(work, 2)
    assert isinstance(results[broken], ZeroDivisionError)
    assert isinstance(results[1 - broken], Told) and f"process {broken} of 2" in str(results[1 - broken])


def test_a_single_process_imports_neither_torch_nor_accelerate() -> None:
    code = (
        "import sys; from bench.runtime.processes import launched; assert not launched().together; print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"torch", "accelerate"} & set(done.stdout.split())


def test_half_a_launch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(BenchError, match=r"WORLD_SIZE=2, but RANK, .* not set; start with torchrun"):
        launched()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(BenchError, match=r"WORLD_SIZE is 'two', needed a number"):
        launched()


def test_each_process_of_a_machine_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert (resolve("auto"), resolve("cuda:1"), resolve("cpu")) == ("cuda", "cuda:1", "cpu")
    found = []
    for rank in "012":
        monkeypatch.setenv("LOCAL_RANK", rank)
        found.append(resolve("auto"))
    assert found == ["cuda:0", "cuda:1", "cuda:0"] and resolve("cpu") == "cpu"
    cuda.is_available = lambda: False
    assert resolve("auto") == "cpu"


class Joint(Generator):
    """Trained by ``processes`` at once, which meet in ``fit``."""

    def __init__(self, processes: int, meeting: threading.Barrier) -> None:
        self.processes, self._meeting = processes, meeting

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        if not (folder / "model").exists():
            self._meeting.wait()
            (folder / "model").write_text("trained")
            self._meeting.wait()
        self.facts = {"loaded": (folder / "model").read_text()}

    def sample(self, requests: Sequence[Request]) -> Images:
        raise NotImplementedError


def training(generator: Generator, split: Split, folder: Path) -> Training:
    return Training(folder, {}, generator, split, 0, folder.parent, {"mode": "disabled"})


def fit_in(tmp_path: Path, split: Split, *, processes: int, count: int) -> list[Any]:
    """What the generator says of itself in each of ``count`` processes of one run, or why it does not."""
    meeting = threading.Barrier(processes, timeout=20)

    def work(team: Team) -> Any:
        return result(training(Joint(processes, meeting), split, tmp_path / "fit"), team).generator.facts

    return in_threads(work, count)


def test_a_generator_for_several_processes_is_trained_by_all_at_once(tiny_split: Split, tmp_path: Path) -> None:
    trained = {"loaded": "trained"}
    assert fit_in(tmp_path, tiny_split, processes=3, count=3) == [trained] * 3
    mark = json.loads((tmp_path / "fit" / "stages" / "training.json").read_text())
    assert mark["seconds"] >= 0 and list(mark["files"]) == ["model"]
    for count in (1, 2):
        assert fit_in(tmp_path, tiny_split, processes=3, count=count) == [trained] * count


class Breaking(Joint):
    """Fails in the process that comes first, before any has met the others."""

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        if not folder.joinpath("broken").exists():
            folder.joinpath("broken").touch()
            raise ZeroDivisionError("out of memory")
        self._meeting.wait()


def test_who_fails_while_training_together_keeps_nobody_waiting(tiny_split: Split, tmp_path: Path) -> None:
    meeting, teams = threading.Barrier(2, timeout=0.5), dict[int, Team]()

    def work(team: Team) -> None:
        teams[team.rank] = team
        try:
            result(training(Breaking(2, meeting), tiny_split, tmp_path / "fit"), team)
        except (ZeroDivisionError, threading.BrokenBarrierError) as error:
            assert team.fail(error) is False, "it must end without a word, or it waits for a partner that waits for it"

    assert in_threads(work, 2) == [None, None]
    assert sorted(teams) == [0, 1] and not any(team.together for team in teams.values())


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_processes_does_not_begin_to_train(tiny_split: Split, tmp_path: Path, count: int) -> None:
    message = f"generator.processes=2, but this launch has {count} and the training is not finished; start 2 processes"
    found = fit_in(tmp_path, tiny_split, processes=2, count=count)
    assert all(isinstance(each, BenchError) and message in str(each) for each in found), found
    assert not (tmp_path / "fit" / "model").exists()


def test_a_folder_in_use_is_no_reason_to_wait_for_ever(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_WAIT_HOURS", "0.0001")
    with alone(tmp_path / "fit"):
        main, other = fit_in(tmp_path, tiny_split, processes=2, count=2)
    assert isinstance(main, Waited) and isinstance(other, Told) and "in use by process" in str(other)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ``run`` and the ``cache`` of one process."""
    folder = tmp_path_factory.mktemp("one")
    start(configure(folder / "cache", *CHOICE), folder / "run")
    return folder


def launch(
    folder: Path, *start: str, choice: Sequence[str] = CHOICE, count: int = 2
) -> subprocess.CompletedProcess[str]:
    """``count`` processes of ``start`` with ``folder/run`` and ``folder/cache``."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", *start, *SMALL, *choice]
    command += [f"cache={folder / 'cache'}", f"hydra.run.dir={folder / 'run'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def rows(cache: Path) -> dict[tuple[str, str], bytes]:
    """Every row of features by encoder and pixel hash."""
    found = {}
    for path in cache.glob("features/*/*.hashes"):
        first, *keys = path.read_text().split("\n")
        values = np.load(rows_of(path, first.partition(" ")[0]))
        found |= {(path.parent.name, key): row.tobytes() for key, row in zip(keys, values, strict=True)}
    return found


def assert_same(found: Path, expected: Path) -> None:
    assert sampled(found / "run")["digest"] == sampled(expected / "run")["digest"]
    for name in ("scores/fidelity.json", "requests.csv", "sheet.png"):
        assert (found / "run" / name).read_bytes() == (expected / "run" / name).read_bytes(), name
    assert rows(found / "cache") == rows(expected / "cache")


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_leave_the_same_bytes_as_one(one: Path, tmp_path: Path, count: int) -> None:
    done = launch(tmp_path, "-m", "bench", count=count)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path, one)
    assert done.stdout.count("images encoded: ") == 1 and done.stdout.strip().endswith(str(tmp_path / "run"))
    assert done.stderr.count("fidelity: making") + done.stdout.count("fidelity: making") == 1
    shards = [len(list((each / "cache").glob("features/*/*.hashes"))) for each in (tmp_path, one)]
    assert shards[0] > shards[1], "each process writes its own rows"


# process 1 dies where its first part would be written
BREAK = """
import os, signal, sys
import bench.pipeline.image_parts
from bench.__main__ import main

if os.environ["RANK"] == "1":
    bench.pipeline.image_parts.write_part = lambda *_: %s
sys.argv[0] = "bench"
main()
"""


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "another process of th"),
        pytest.param(
            "1 / 0",
            "while sampling: process 1 of 2 failed with ZeroDivisionError: division by zero",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_broken_process_leaves_a_message_and_a_folder_to_go_on_from(
    one: Path, tmp_path: Path, death: str, reason: str
) -> None:
    (tmp_path / "broken.py").write_text(BREAK % death)
    done = launch(tmp_path, str(tmp_path / "broken.py"))
    assert done.returncode == 1
    told = done.stderr + done.stdout
    assert reason in told and "the same command goes on from there" in told, told
    parts = sorted(path.name for path in (tmp_path / "run" / "images").glob("part-*"))
    assert parts in ([], ["part-1-fidelity-00000-of-00001.parquet"])
    assert not json.loads((tmp_path / "run" / "stages" / "sampling.json").read_text())["made"]
    start(configure(tmp_path / "cache", *CHOICE), tmp_path / "run")
    assert_same(tmp_path, one)


@pytest.mark.slow
def test_two_processes_train_a_generator_and_one_loads_it(tmp_path: Path) -> None:
    choice = ["generator=ldm", "generator.processes=2", "generator.autoencoder.steps=6", "generator.diffusion.steps=6"]
    choice += ["generator.sampling.steps=2", "generator.block=32", "evaluator=[]"]
    with pytest.raises(BenchError, match=r"generator.processes=2, but this launch has 1"):
        start(configure(tmp_path / "cache", *choice), tmp_path / "alone")
    done = launch(tmp_path, "-m", "bench", choice=choice)
    assert done.returncode == 0, done.stderr
    start(configure(tmp_path / "cache", *choice), tmp_path / "alone")
    assert sampled(tmp_path / "run")["digest"] == sampled(tmp_path / "alone")["digest"]
    assert len(list((tmp_path / "cache" / "fits").glob("ldm-*"))) == 1
