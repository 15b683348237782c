"""Encoder outputs, computed once for each distinct image and kept on disk."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench.api import BenchError, Encoder, Images, ImageSet, Rows
from bench.runtime.code_digest import part_digest
from bench.runtime.device import resolve
from bench.runtime.processes import ALONE, Team
from bench.runtime.progress import meter
from bench.storage.files import content_key, write_atomic

log = logging.getLogger(__name__)
SHARD = 4096
WORK = "encoding images"
Hashes = Sequence[str]


class FeatureStore:
    """Rows of features by pixel hash: ``features("radiomics", images)`` is ``(N, D)`` float32.

    Each encoder has a folder named by all that decides a row: its id, columns and block, its code (``part_digest``)
    and the type of device it runs on (``device_type``). A shard there is an array of rows (``.npy``) beside the hashes
    of the pixels they belong to (``.hashes``). ``encoded`` counts the images that went through each encoder in this
    run: 0 when everything was found. ``targets`` are the ``_target_`` of the encoders that a configuration made.

    Of several processes the main one is asked for features, and the others ``assist``: each encodes whole blocks of
    what is missing, the same blocks that one process would cut, until the main one says ``enough``. Images that are
    not among ``shared``, the sets that every process holds, the main process encodes alone.
    """

    def __init__(
        self,
        folder: Path,
        encoders: Mapping[str, Encoder],
        team: Team = ALONE,
        shared: Sequence[ImageSet] = (),
        targets: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self._encoders = encoders
        self._team = team
        self._shared = shared
        self._targets = targets
        self._folders: dict[str, Path] = {}
        self._shards: dict[str, list[Rows]] = {}
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        self.encoded: Counter[str] = Counter()

    def __call__(self, encoder: str, images: ImageSet) -> Rows:
        """Rows in the order of ``images``; those not on disk yet are computed and kept."""
        self.prepare([encoder], images)
        places = self._places[encoder]
        shards = self._shards[encoder]
        rows = np.empty((len(images), self._encoders[encoder].dim), np.float32)
        for i, key in enumerate(images.column("pixel_hash")):
            shard, row = places[key]
            rows[i] = shards[shard][row]
        return rows

    def prepare(self, encoders: Iterable[str], images: ImageSet) -> None:
        """Run every encoder over the images it has not seen; each image is decoded once for all of them."""
        hashes = images.column("pixel_hash")
        wanted: dict[str, list[int]] = {}
        for name in encoders:
            self._open(name)
            places, first = self._places[name], dict[str, int]()
            for i, key in enumerate(hashes):
                if key not in places:
                    first.setdefault(key, i)
            if first:
                wanted[name] = list(first.values())
        todo = sorted({i for indices in wanted.values() for i in indices})
        for start in range(0, len(todo), SHARD):
            chunk = np.asarray(todo[start : start + SHARD])
            chosen = {name: chunk[np.isin(chunk, indices)] for name, indices in wanted.items()}
            order = {name: [hashes[i] for i in indices] for name, indices in chosen.items() if len(indices)}
            self._encode(order, _reader(images, {hashes[i]: int(i) for i in chunk}))

    def assist(self) -> None:
        """Encode shares of what the main process is asked for, until it has enough."""
        while (order := self._team.meet(WORK)[0]) is not None:
            self._encode_share(order, self._pixels, self._team)
            self._team.meet(WORK)
        self._team.part()

    def enough(self) -> None:
        """Let the assisting processes go; what is missing from here on is encoded by the main process alone."""
        if self._team.together:
            self._team.meet(WORK)
            self._team.part()

    def _encode(self, order: Mapping[str, Hashes], read: Callable[[Hashes], Images]) -> None:
        """Have every process encode and keep its share of ``order``, then open the rows of all."""
        helped = self._team.together and all(key in self._held for keys in order.values() for key in keys)
        team = self._team if helped else ALONE
        try:
            team.meet(WORK, order)
            self._encode_share(order, read, team)
            team.meet(WORK)
        except Exception as error:
            team.fail(error)
            raise
        for name, keys in order.items():
            for rank in range(team.count):
                if share := self._blocks(name, keys, rank, team.count):
                    self._add(name, self._shard(name, share))
            self.encoded[name] += len(keys)

    def _encode_share(self, order: Mapping[str, Hashes], read: Callable[[Hashes], Images], team: Team) -> None:
        mine = {name: self._blocks(name, keys, team.rank, team.count) for name, keys in order.items()}
        wanted = list(dict.fromkeys(key for keys in mine.values() for key in keys))
        if not wanted:
            return
        pixels, place = read(wanted), {key: i for i, key in enumerate(wanted)}
        for name, keys in mine.items():
            if keys:
                self._keep(name, pixels[[place[key] for key in keys]], keys)

    def _blocks(self, name: str, hashes: Hashes, rank: int, count: int) -> Hashes:
        """The whole blocks among ``hashes`` that fall to process ``rank`` of ``count``, evenly and in order."""
        block = self._encoders[name].block
        blocks = -(-len(hashes) // block)
        return hashes[rank * blocks // count * block : (rank + 1) * blocks // count * block]

    @cached_property
    def _held(self) -> dict[str, tuple[int, int]]:
        """Where the images that every process holds are: set and row by pixel hash."""
        places: dict[str, tuple[int, int]] = {}
        for number, images in enumerate(self._shared):
            for row, key in enumerate(images.column("pixel_hash")):
                places.setdefault(key, (number, row))
        return places

    def _pixels(self, hashes: Hashes) -> Images:
        places = np.array([self._held[key] for key in hashes])
        pixels = np.empty((len(hashes), *self._shared[0].size), np.uint8)
        for number in np.unique(places[:, 0]):
            chosen = places[:, 0] == number
            pixels[chosen] = self._shared[number].pixels(places[chosen, 1])
        return pixels

    def _keep(self, name: str, pixels: Images, hashes: Hashes) -> None:
        rows = encode(self._encoders[name], pixels, label=f"encoding with {name}")
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise BenchError(
                f"encoder {name} gave non-finite features for {len(bad)} images, first pixel hash {hashes[bad[0]]}"
            )
        path = self._shard(name, hashes)
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        write_atomic(path.with_suffix(".npy"), buffer.getvalue())
        # the hashes come last: a shard without them does not exist
        write_atomic(path, "\n".join(hashes).encode())

    def _shard(self, name: str, hashes: Hashes) -> Path:
        return self._place(name) / f"{hashlib.sha256(''.join(hashes).encode()).hexdigest()[:16]}.hashes"

    def _place(self, name: str) -> Path:
        if name not in self._folders:
            encoder = self._encoders[name]
            made_by = [part_digest(encoder, self._targets.get(name)), device_type(encoder)]
            key = content_key([encoder.id, encoder.dim, encoder.block, *made_by])
            self._folders[name] = self._folder / f"{name}-{key}"
        return self._folders[name]

    def _open(self, name: str) -> None:
        if name in self._places:
            return
        self._places[name], self._shards[name] = {}, []
        for path in sorted(self._place(name).glob("*.hashes")):
            self._add(name, path)

    def _add(self, name: str, path: Path) -> None:
        if not path.exists():
            raise BenchError(
                f"another process wrote {path}, not seen here; all processes need to see the same cache and to run on "
                "the same type of device"
            )
        hashes = path.read_text().split("\n")
        rows = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        if rows.shape != (len(hashes), self._encoders[name].dim):
            raise BenchError(f"{path.with_suffix('.npy')} does not fit {path.name}; delete both to compute them again")
        shard = len(self._shards[name])
        self._shards[name].append(rows)
        for row, key in enumerate(hashes):
            self._places[name].setdefault(key, (shard, row))


def _reader(images: ImageSet, place: Mapping[str, int]) -> Callable[[Hashes], Images]:
    return lambda hashes: images.pixels([place[key] for key in hashes])


def device_type(encoder: Encoder) -> str:
    """``cpu`` or ``cuda``, whichever its ``device`` is, ``auto`` resolved; ``cpu`` for an encoder without one."""
    device = getattr(encoder, "device", None)
    return "cpu" if device is None else resolve(str(device)).split(":", 1)[0]


def encode(encoder: Encoder, pixels: Images, *, label: str) -> Rows:
    """``(N, H, W)`` uint8 to ``(N, dim)`` float32, in blocks of ``encoder.block`` padded with the last image."""
    rows = np.empty((len(pixels), encoder.dim), np.float32)
    with meter(label, total=len(pixels), unit="image") as bar:
        for start in range(0, len(pixels), encoder.block):
            block = pixels[start : start + encoder.block]
            missing = encoder.block - len(block)
            padded = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)]) if missing else block
            made = encoder(padded)
            if made.shape != (encoder.block, encoder.dim) or made.dtype != np.float32:
                want = f"float32{(encoder.block, encoder.dim)}"
                raise BenchError(f"encoder {encoder.id} gave {made.dtype}{made.shape}, needed {want}")
            rows[start : start + len(block)] = made[: len(block)]
            bar.update(len(block))
    return rows
