"""Encoder outputs, computed once for each distinct image and kept on disk."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.api import BenchError, Encoder, Images, ImageSet, Rows
from bench.progress import meter
from bench.store import content_key, write_atomic

log = logging.getLogger(__name__)
SHARD = 4096


class FeatureStore:
    """Rows of features by pixel hash: ``features("radiomics", images)`` is ``(N, D)`` float32.

    Each encoder has a folder named by all that decides a row (its id and block). A shard there is an array of rows
    (``.npy``) beside the hashes of the pixels they belong to (``.hashes``). ``encoded`` counts the images that went
    through each encoder in this process: 0 when everything was found.
    """

    def __init__(self, folder: Path, encoders: Mapping[str, Encoder]) -> None:
        self._folder = folder
        self._encoders = encoders
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
            chunk = todo[start : start + SHARD]
            pixels = images.pixels(chunk)
            for name, indices in wanted.items():
                chosen = np.isin(chunk, indices)
                self._encode(name, pixels[chosen], [hashes[i] for i in np.asarray(chunk)[chosen]])

    def _encode(self, name: str, pixels: Images, hashes: Sequence[str]) -> None:
        if not hashes:
            return
        rows = encode(self._encoders[name], pixels, label=f"encoding with {name}")
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise BenchError(
                f"encoder {name} gave non-finite features for {len(bad)} images, first pixel hash {hashes[bad[0]]}"
            )
        stem = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
        folder = self._place(name)
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        write_atomic(folder / f"{stem}.npy", buffer.getvalue())
        # the hashes come last: a shard without them does not exist
        write_atomic(folder / f"{stem}.hashes", "\n".join(hashes).encode())
        self.encoded[name] += len(hashes)
        self._add(name, folder / f"{stem}.hashes")

    def _place(self, name: str) -> Path:
        encoder = self._encoders[name]
        return self._folder / f"{name}-{content_key([encoder.id, encoder.dim, encoder.block])}"

    def _open(self, name: str) -> None:
        if name in self._places:
            return
        self._places[name], self._shards[name] = {}, []
        for path in sorted(self._place(name).glob("*.hashes")):
            self._add(name, path)

    def _add(self, name: str, path: Path) -> None:
        hashes = path.read_text().split("\n")
        rows = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        if rows.shape != (len(hashes), self._encoders[name].dim):
            raise BenchError(f"{path.with_suffix('.npy')} does not fit {path.name}; delete both to compute them again")
        shard = len(self._shards[name])
        self._shards[name].append(rows)
        for row, key in enumerate(hashes):
            self._places[name].setdefault(key, (shard, row))


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
