"""Encoder outputs, computed once for each distinct image and kept on disk."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from bench.api import BenchError, Encoder, Images, ImageSet, Rows
from bench.pipeline.stage import Made, Mark, Stage
from bench.runtime.blocks import encode
from bench.runtime.code_digest import code_digest, part_digest
from bench.runtime.device import resolve
from bench.runtime.processes import ALONE, Team
from bench.storage.files import content_key, discard, file_digest, remove_drafts, write_atomic

log = logging.getLogger(__name__)
SHARD = 4096
Hashes = Sequence[str]
Wanted = dict[str, list[int]]


class FeatureStore:
    """Rows of features by pixel hash: ``features("radiomics", images)`` is ``(N, D)`` float32.

    Each encoder has a folder named by all that decides a row: its id, columns and block, its code, the type of device
    it runs on (``device_type``) and the ``threads`` of the numerical libraries. A shard there is an array of rows (see
    ``rows_of``) beside the list of the pixels they belong to (``.hashes``), which begins with the SHA-256 of the rows
    and the seconds they took; a shard that is not what was written is removed with a warning and computed again.
    ``encoded`` counts the images that went through each encoder in this run: 0 when everything was found. ``targets``
    are the ``_target_`` of the encoders that a configuration made.
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
        self._folders: dict[str, Path] = {}
        self._shards: dict[str, list[Rows]] = {}
        self._places: dict[str, dict[str, tuple[int, int]]] = {}

    def __call__(self, encoder: str, images: ImageSet) -> Rows:
        """Rows in the order of ``images``; those not on disk yet are computed and kept."""
        self.prepare([encoder], images)
        places = self._places[encoder]
        shards = self._shards[encoder]
        rows = np.empty((len(images), self.encoders[encoder].dim), np.float32)
        for i, key in enumerate(images.column("pixel_hash")):
            shard, row = places[key]
            rows[i] = shards[shard][row]
        return rows

    def prepare(self, encoders: Iterable[str], images: ImageSet, team: Team = ALONE) -> None:
        """Run every encoder over the images it has not seen; each image is decoded once for all of them.

        The processes of ``team`` call this alike: each encodes whole blocks, the same that one process would cut.
        """
        hashes = images.column("pixel_hash")
        # what the main process misses counts: another may look later and see what was added meanwhile
        wanted: Wanted = team.meet("encoding", self.missing(encoders, images) if team.is_main else None)[0]
        todo = sorted({i for indices in wanted.values() for i in indices})
        for start in range(0, len(todo), SHARD):
            chunk = np.asarray(todo[start : start + SHARD])
            chosen = {name: chunk[np.isin(chunk, indices)] for name, indices in wanted.items()}
            self._encode({name: rows for name, rows in chosen.items() if len(rows)}, images, hashes, team)

    def missing(self, encoders: Iterable[str], images: ImageSet) -> Wanted:
        """For each encoder with rows missing, the first image of each kind of pixels that it has not seen."""
        hashes = images.column("pixel_hash")
        wanted: Wanted = {}
        for name in encoders:
            places, first = self._open(name), dict[str, int]()
            for i, key in enumerate(hashes):
                if key not in places:
                    first.setdefault(key, i)
            if first:
                wanted[name] = list(first.values())
        return wanted

    def code(self, name: str) -> str:
        """16 hex digits over the code that decides a row of the encoder called ``name``."""
        if name not in self._codes:
            own = part_digest(self.encoders[name], self._targets.get(name))
            self._codes[name] = content_key([own, code_digest(encode)])
        return self._codes[name]

    def _encode(self, order: Mapping[str, Any], images: ImageSet, hashes: Hashes, team: Team) -> None:
        """Have every process encode and keep its share of the images in ``order``, then open the rows of all."""
        mine = {name: self._blocks(name, rows, team.rank, team.count) for name, rows in order.items()}
        read = sorted({int(i) for rows in mine.values() for i in rows})
        pixels = images.pixels(read) if read else np.zeros((0, 0, 0), np.uint8)
        place = {i: number for number, i in enumerate(read)}
        for name, rows in mine.items():
            if len(rows):
                self._keep(name, pixels[[place[int(i)] for i in rows]], [hashes[i] for i in rows])
        team.meet("encoding")
        for name, rows in order.items():
            self._open(name)
            for rank in range(team.count):
                share = self._blocks(name, rows, rank, team.count)
                if len(share):
                    self._add_written(name, self._shard(name, [hashes[i] for i in share]))
            self.encoded[name] += len(rows)

    def _blocks(self, name: str, rows: Any, rank: int, count: int) -> Any:
        """The whole blocks among ``rows`` that fall to process ``rank`` of ``count``, evenly and in order."""
        block = self.encoders[name].block
        blocks = -(-len(rows) // block)
        return rows[rank * blocks // count * block : (rank + 1) * blocks // count * block]

    def _keep(self, name: str, pixels: Images, hashes: Hashes) -> None:
        begin = time.perf_counter()
        rows = encode(self.encoders[name], pixels, label=f"encoding with {name}")
        seconds = time.perf_counter() - begin
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise BenchError(
                f"encoder {name} gave non-finite features for {len(bad)} images, first pixel hash {hashes[bad[0]]}"
            )
        path = self._shard(name, hashes)
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        write_atomic(rows_of(path, digest), buffer.getvalue())
        # the hashes come last: a shard without them does not exist
        write_atomic(path, "\n".join([f"{digest} {seconds:.2f}", *hashes]).encode())

    def _shard(self, name: str, hashes: Hashes) -> Path:
        return self._place(name) / f"{_name_of(hashes)}.hashes"

    def _place(self, name: str) -> Path:
        if name not in self._folders:
            encoder = self.encoders[name]
            made_by = [self.code(name), device_type(encoder), self._threads]
            key = content_key([encoder.id, encoder.dim, encoder.block, *made_by])
            self._folders[name] = self._folder / f"{name}-{key}"
        return self._folders[name]

    def _open(self, name: str) -> dict[str, tuple[int, int]]:
        if name not in self._places:
            self._places[name], self._shards[name] = {}, []
            remove_drafts(self._place(name))
            for path in sorted(self._place(name).glob("*.hashes")):
                self._add(name, path)
        return self._places[name]

    def _add_written(self, name: str, path: Path) -> None:
        if not path.exists() or not self._add(name, path):
            raise BenchError(
                f"another process wrote {path}, not seen here; all processes need to see the same cache and to run on "
                "the same type of device"
            )

    def _add(self, name: str, path: Path) -> bool:
        """Take the rows of a shard in, or remove one that is not what was written."""
        try:
            first, *hashes = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:  # another process found it damaged
            return False
        written = first.partition(" ")[0]
        rows = rows_of(path, written)
        if fault := _fault(path, rows, written, hashes):
            log.warning("features of %s: %s since it was written; encoding its images again", name, fault)
            discard(path, rows)
            return False
        try:
            table = np.load(rows, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:  # another process found it damaged
            return False
        shard = len(self._shards[name])
        self._shards[name].append(table)
        for row, key in enumerate(hashes):
            self._places[name].setdefault(key, (shard, row))
        return True


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


def _name_of(hashes: Hashes) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def rows_of(path: Path, digest: str) -> Path:
    """The rows of a shard, in a file named by their digest, so that two processes never replace each other's."""
    return path.with_name(f"{path.stem}-{digest[:16]}.npy")


def _fault(path: Path, rows: Path, written: str, hashes: Hashes) -> str | None:
    if path.stem != _name_of(hashes):
        return f"{path} is changed"
    if not rows.exists():
        return f"{rows} is missing"
    return None if file_digest(rows) == written else f"{rows} is changed"


def device_type(encoder: Encoder) -> str:
    """``cpu`` or ``cuda``, whichever its ``device`` is, ``auto`` resolved; ``cpu`` for an encoder without one."""
    device = getattr(encoder, "device", None)
    return "cpu" if device is None else resolve(str(device)).split(":", 1)[0]
