"""Encoder outputs, computed once for each distinct image and kept on disk."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from bench.api import BenchError, Encoder, ImageSet, Keys, Rows
from bench.pipeline.stage import Made, Mark, Stage
from bench.runtime.ahead import ahead
from bench.runtime.blocks import BlockEncoder
from bench.runtime.code_digest import code_digest, part_digest
from bench.runtime.device import resolve
from bench.runtime.processes import ALONE, Team
from bench.runtime.progress import meter
from bench.storage.digests import Places, hexadecimal
from bench.storage.feature_rows import FeatureRows
from bench.storage.files import alone, content_key

SHARD = 4096
SLOTS = 256  # files with which runs wait for one another
DECODED = 2**24  # pixels decoded at a time: some of the next images while an encoder works on these
Wanted = dict[str, Places]


class FeatureStore:
    """Rows of features by pixels: ``features("radiomics", images)`` is ``(N, D)`` float32, mapped from disk.

    Each encoder has a folder of ``FeatureRows`` named by all that decides a row: its id, columns and block, its code,
    the type of device it runs on (``device_type``) and the ``threads`` of the numerical libraries. ``encoded`` counts
    the images that went through each encoder in this run: 0 when everything was found. ``targets`` are the ``_target_``
    of the encoders that a configuration made.
    """

    def __init__(
        self,
        folder: Path,
        encoders: Mapping[str, Encoder],
        targets: Mapping[str, str] = MappingProxyType({}),
        threads: int = 1,
    ) -> None:
        self.encoders = encoders
        self.encoded: Counter[str] = Counter()
        self._folder, self._targets, self._threads = folder, targets, threads
        self._codes: dict[str, str] = {}
        self._rows: dict[str, FeatureRows] = {}

    def __call__(self, encoder: str, images: ImageSet) -> Rows:
        """Rows in the order of ``images``; those not on disk yet are computed and kept."""
        self.prepare([encoder], images)
        kept = self._open(encoder)
        return kept.read(kept.find(images.pixel_keys))

    def prepare(self, encoders: Iterable[str], images: ImageSet, team: Team = ALONE) -> None:
        """Run every encoder over the images it has not seen; each image is decoded once for all of them.

        The processes of ``team`` call this alike: each encodes whole blocks, the same that one process would cut.
        """
        names = list(encoders)
        wanted = self._wanted(names, images, team)
        if not wanted:
            return
        with self._alone(wanted, images) if team.is_main else nullcontext():
            # another run may have encoded the same images meanwhile
            for name in wanted:
                self._open(name).renew()
            wanted = self._wanted(names, images, team)
            if wanted:
                self._encode_all(wanted, images, team)

    def _wanted(self, names: Sequence[str], images: ImageSet, team: Team) -> Wanted:
        """What the main process misses: another may look later and see what was added meanwhile."""
        found: Wanted = team.meet("encoding", self.missing(names, images) if team.is_main else None)[0]
        return found

    @contextmanager
    def _alone(self, wanted: Wanted, images: ImageSet) -> Iterator[None]:
        """Inside, no other run encodes with one of these encoders the very images that it misses.

        Runs that miss other images, if only one more, are kept out by chance only, and then encode shared ones twice.
        Every run takes its slots in ascending order, so that runs never wait for one another in a circle.
        """
        keys = images.pixel_keys
        slots = {_slot(self._open(name).folder.name, keys[rows]) for name, rows in wanted.items()}
        with ExitStack() as held:
            for slot in sorted(slots):
                held.enter_context(alone(self._folder / f"encoding-{slot}"))
            yield

    def _encode_all(self, wanted: Wanted, images: ImageSet, team: Team) -> None:
        todo = np.unique(np.concatenate(list(wanted.values())))
        keys = images.pixel_keys
        label = f"encoding with {', '.join(wanted)}"
        with meter(label, total=-(-sum(map(len, wanted.values())) // team.count), unit="image") as bar:
            for start in range(0, len(todo), SHARD):
                first, last = todo[start], todo[start : start + SHARD][-1]
                chosen = {name: rows[(rows >= first) & (rows <= last)] for name, rows in wanted.items()}
                self._encode({name: rows for name, rows in chosen.items() if len(rows)}, images, keys, team, bar)

    def missing(self, encoders: Iterable[str], images: ImageSet) -> Wanted:
        """For each encoder with rows missing, the first image of each kind of pixels that it has not seen."""
        keys = images.pixel_keys
        first = np.sort(np.unique(keys, return_index=True)[1])
        keys = keys[first]
        unseen = {name: first[self._open(name).find(keys) < 0] for name in encoders}
        return {name: rows for name, rows in unseen.items() if len(rows)}

    def code(self, name: str) -> str:
        """16 hex digits over the code that decides a row of the encoder called ``name``."""
        if name not in self._codes:
            own = part_digest(self.encoders[name], self._targets.get(name))
            self._codes[name] = content_key([own, code_digest(BlockEncoder)])
        return self._codes[name]

    def _encode(self, order: Wanted, images: ImageSet, keys: Keys, team: Team, bar: Any) -> None:
        """Have every process encode and keep its share of the images in ``order``, then open the rows of all."""
        mine = {name: self._blocks(name, rows, team.rank, team.count) for name, rows in order.items()}
        mine = {name: rows for name, rows in mine.items() if len(rows)}
        for name, encoded in self._through(mine, images, bar).items():
            self._check(name, encoded.rows, keys[mine[name]])
            self._open(name).write(keys[mine[name]], encoded.rows, encoded.seconds)
        team.meet("encoding")
        for name, rows in order.items():
            for rank in range(team.count):
                share = self._blocks(name, rows, rank, team.count)
                if len(share):
                    self._open(name).add_written(keys[share])
            self.encoded[name] += len(rows)

    def _through(self, mine: Wanted, images: ImageSet, bar: Any) -> dict[str, BlockEncoder]:
        """Images through the encoders that want them; the next are decoded while an encoder works."""
        streams = {name: BlockEncoder(self.encoders[name], len(rows)) for name, rows in mine.items()}
        if not streams:
            return {}
        read = np.unique(np.concatenate(list(mine.values())))
        step = max(1, min(256, DECODED // math.prod(images.size)))
        cuts = [read[start : start + step] for start in range(0, len(read), step)]
        with closing(ahead(images.pixels, cuts)) as decoded:
            for indices, pixels in zip(cuts, decoded, strict=True):
                for name, stream in streams.items():
                    chosen = np.isin(indices, mine[name], assume_unique=True)
                    stream.take(pixels if chosen.all() else pixels[chosen])
                    bar.update(int(chosen.sum()))
        return streams

    def _blocks(self, name: str, rows: Places, rank: int, count: int) -> Places:
        """The whole blocks among ``rows`` that fall to process ``rank`` of ``count``, evenly and in order."""
        block = self.encoders[name].block
        blocks = -(-len(rows) // block)
        return rows[rank * blocks // count * block : (rank + 1) * blocks // count * block]

    def _check(self, name: str, rows: Rows, keys: Keys) -> None:
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            first = hexadecimal(keys[bad[:1]])[0]
            raise BenchError(f"encoder {name} gave non-finite features for {len(bad)} images, first pixel hash {first}")

    def _open(self, name: str) -> FeatureRows:
        if name not in self._rows:
            encoder = self.encoders[name]
            made_by = [self.code(name), device_type(encoder), self._threads]
            key = content_key([encoder.id, encoder.dim, encoder.block, *made_by])
            self._rows[name] = FeatureRows(self._folder / f"{name}-{key}", name, encoder.dim)
        return self._rows[name]


@dataclass(frozen=True)
class Encoding(Stage[FeatureStore]):
    """The features of some sets of images in some encoders, before an evaluator asks for them.

    Its result has no mark: every row lies in the store under all that decides it.
    """

    folder: Path
    features: FeatureStore
    encoders: Sequence[str]
    sets: Sequence[ImageSet]
    key: Mapping[str, Any] = field(default_factory=dict)
    name: str = "encoding"
    together: ClassVar[bool] = True

    def missing(self) -> dict[str, int]:
        """How many images each encoder has not seen."""
        counts: Counter[str] = Counter()
        for images in self.sets:
            counts.update({name: len(rows) for name, rows in self.features.missing(self.encoders, images).items()})
        return dict(counts)

    def find(self) -> Mark | None:
        return None if self.missing() else Mark({}, made=True)

    def make(self, team: Team) -> Made:
        for images in self.sets:
            self.features.prepare(self.encoders, images, team)
        return Made()

    def put(self, mark: Mark) -> None:
        """Nothing: see above."""

    def load(self, mark: Mark) -> FeatureStore:
        return self.features


def _slot(folder: str, keys: Keys) -> int:
    """By which of the ``SLOTS`` runs wait that want these images in the encoder of this folder."""
    digest = hashlib.sha256(folder.encode())
    digest.update(keys.data)
    return int.from_bytes(digest.digest()[:8]) % SLOTS


def device_type(encoder: Encoder) -> str:
    """``cpu`` or ``cuda``, whichever its ``device`` is, ``auto`` resolved; ``cpu`` for an encoder without one."""
    device = getattr(encoder, "device", None)
    return "cpu" if device is None else resolve(str(device)).split(":", 1)[0]
