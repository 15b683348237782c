"""One fork server and one finished run for all tests of faults."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fork_server import Done, Job, Server
from tests.faults.places import Folders, cached, learned, results

CONFORMANCE = "conformance"  # folder of the cache
# all evaluators, and images in two parts
SMALL: tuple[str, ...] = (
    "experiment=smoke",
    "generator=pca",
    "wandb.mode=disabled",
    "dataset.n_train=80",
    "dataset.n_test=48",
)
SMALL += ("requests.privacy=160",)
# trains both networks with checkpoints in between, in two seconds; measured is only what pca does not show
DIFFUSION: tuple[str, ...] = (
    "generator=ldm",
    "name=pca",  # into the folder that tests/faults/places.py knows
    "generator.autoencoder.channels=[16]",
    "generator.autoencoder.latent_channels=4",
    "generator.autoencoder.steps=6",
    "generator.diffusion.channels=[16,16]",
    "generator.diffusion.head_channels=[16,16]",
    "generator.diffusion.steps=6",
    "generator.sampling.steps=2",
    "generator.checkpoint_every=3",
    "encoder=[pixels]",
    "evaluator=[fidelity]",
    "requests.privacy=40",
)


@dataclass(frozen=True)
class Finished:
    """A run that nobody disturbed: a copy of its folders, and what is in them."""

    copy: Path
    done: Done
    results: dict[str, bytes]
    cached: dict[str, bytes]
    learned: dict[str, bytes]


@dataclass
class Laboratory:
    """Runs of one command in one folder, which is put back to a known state before each trial.

    The folder has the same path in every trial: what a file or a key says of where it lies stays true.
    """

    server: Server
    place: Path
    _finished: dict[tuple[str, ...], Finished] = field(default_factory=dict, repr=False)

    @property
    def folders(self) -> Folders:
        return Folders(self.place / "work")

    def empty(self) -> Folders:
        """Nothing was run here yet."""
        shutil.rmtree(self.folders.home, ignore_errors=True)
        self.folders.home.mkdir(parents=True)
        return self.folders

    def started(self) -> Folders:
        """Nothing was run here yet, but how the evaluators measure the fixed material is known.

        That is the same in every run, and half of its time.
        """
        known = self.finished().copy / self.folders.cache.name / CONFORMANCE
        folders = self.empty()
        shutil.copytree(known, folders.cache / CONFORMANCE)
        return folders

    def finished(self, *choice: str, started: bool = False) -> Finished:
        """The undisturbed run of a choice of settings from nothing, or from ``started``, made once."""
        key = (*choice, "started") if started else choice
        if key not in self._finished:
            _ = self.started() if started else self.empty()
            done = self.run(*choice)
            # in the folder that is looked at
            assert done.code == 0 and (self.folders.run / "run.json").exists(), done.output
            copy = self.place / f"finished-{len(self._finished)}"
            shutil.copytree(self.folders.home, copy)
            self._finished[key] = Finished(
                copy, done, results(self.folders), cached(self.folders), learned(self.folders)
            )
        return self._finished[key]

    def restored(self, *choice: str) -> Folders:
        """The folder as the undisturbed run left it."""
        copy = self.finished(*choice).copy
        shutil.rmtree(self.folders.home, ignore_errors=True)
        shutil.copytree(copy, self.folders.home)
        return self.folders

    def run(self, *choice: str, **options: Any) -> Done:
        """The command, to its end; see ``Server.start`` for options."""
        return self.start(*choice, **options).wait()

    def start(self, *choice: str, watched: Sequence[Path] | None = None, **options: Any) -> Job:
        """The command, not waited for; its steps in the run and the cache are counted."""
        places = self.folders.watched if watched is None else watched
        return self.server.start((*SMALL, *choice), self.folders.home, watched=places, **options)


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with Server() as server:
        yield Laboratory(server, tmp_path_factory.mktemp("faults"))
