"""Where things lie on disk, by the part they play: the one file to change when the layout changes.

Every function ends with an error that names the pattern if nothing is there, so that a test of damage never passes
because it damaged nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.storage.feature_rows import rows_of

RUN = "runs/phantom/pca/seed=0"
# marks that a stage is complete, from the run folder: one pattern a stage
MARKERS = {
    "sampling": "stages/sampling.json",
    "part": "images/.part-1-fidelity-00000*.json",
    "fidelity": "stages/fidelity.json",
    "privacy": "stages/privacy.json",
}
# differs between two runs of one command, or is no result
PASSING = {"seconds", "fit_seconds", "provenance", "cost", "check"}
NO_RESULT = (".arrow", "wandb", ".lock", "bench.log")


@dataclass(frozen=True)
class Folders:
    """A folder that a command runs in: one of its runs, and its cache."""

    home: Path
    one: str = RUN

    @property
    def run(self) -> Path:
        return self.home / self.one

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def watched(self) -> tuple[Path, Path]:
        return self.home / "runs", self.cache


def those(folder: Path, pattern: str) -> list[Path]:
    """All that matches, in order, and at least one."""
    found = sorted(folder.glob(pattern))
    assert found, f"nothing at {folder}/{pattern}: has the layout changed? Then adapt tests/faults/places.py"
    return found


def prepared(folders: Folders) -> list[Path]:
    """Folders of prepared images, one for each part of the split."""
    return those(folders.cache, "prepared/[!.]*")


def prepared_rows(folders: Folders) -> Path:
    return those(folders.cache, "prepared/*/images.arrow")[0]


def prepared_marker(folders: Folders) -> Path:
    return those(folders.cache, "prepared/*/manifest.json")[0]


def features(folders: Folders) -> Path:
    return those(folders.cache, "features")[0]


def feature_rows(folders: Folders, encoder: str = "pixels") -> list[Path]:
    """Files of feature rows."""
    return those(folders.cache, f"features/{encoder}-*/*.npy")


def feature_keys(folders: Folders, encoder: str = "pixels") -> list[Path]:
    """Files that say which picture each row belongs to, in the order of ``feature_rows``."""
    return those(folders.cache, f"features/{encoder}-*/*.hashes")


def fit_arrays(folders: Folders) -> Path:
    """What the generator learned."""
    return those(folders.cache, "fits/pca-*/pca.npz")[0]


def fit_marker(folders: Folders) -> Path:
    return those(folders.cache, "fits/pca-*/stages/training.json")[0]


def image_parts(folders: Folders) -> list[Path]:
    return those(folders.run, "images/part-*.parquet")


def mapped_images(folders: Folders) -> Path:
    """A copy of the generated images that is read in the place of the parts."""
    return those(folders.run, ".arrow/images.arrow")[0]


def marker(folders: Folders, stage: str) -> Path:
    """The file that says a stage is complete."""
    return those(folders.run, MARKERS[stage])[0]


def score(folders: Folders, evaluator: str) -> Path:
    return those(folders.run, f"scores/{evaluator}.json")[0]


def result(folders: Folders, name: str) -> Path:
    """A file of the run folder by its own name: ``card.html``, ``requests.csv``, ``run.json``."""
    return those(folders.run, name)[0]


def journal(folders: Folders) -> Path:
    """What a filter has judged so far."""
    return those(folders.run, ".filter/*.jsonl")[0]


def results(folders: Folders) -> dict[str, bytes]:
    """Every file of the run, hidden ones too, without what differs between two runs of one command."""
    paths = [path for path in folders.run.rglob("*") if path.is_file()]
    names = {str(path.relative_to(folders.run)): path for path in paths}
    return {name: _plain(path) for name, path in sorted(names.items()) if name.split("/")[0] not in NO_RESULT}


def cached(folders: Folders) -> dict[str, bytes]:
    """What later runs read: prepared images, trained generators, and feature rows by encoder and picture."""
    files = [*folders.cache.glob("prepared/[!.]*/*"), *folders.cache.glob("fits/*/**/[!.]*")]
    found = {str(path.relative_to(folders.cache)): _plain(path) for path in files if path.is_file()}
    for keys in sorted(folders.cache.glob("features/*/*.hashes")):
        first, *names = keys.read_text().split("\n")
        rows = np.load(rows_of(keys, first.partition(" ")[0]), allow_pickle=False)
        found |= {f"{keys.parent.name} {name}": row.tobytes() for name, row in zip(names, rows, strict=True)}
    return found


def learned(folders: Folders) -> dict[str, bytes]:
    """``cached`` without prepared images, which lie under the time at which their sources were drawn."""
    return {name: content for name, content in cached(folders).items() if not name.startswith("prepared/")}


def torn(folders: Folders) -> list[Path]:
    """What somebody began to write and did not finish: drafts of ours, and of safetensors."""
    return [path for pattern in (".*.draft", ".tmp??????") for path in folders.home.rglob(pattern)]


def differences(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> list[str]:
    """What is not as it was, a line each."""
    lines = dict.fromkeys(expected.keys() - found.keys(), "missing")
    lines |= dict.fromkeys(found.keys() - expected.keys(), "left over")
    lines |= {name: "other content" for name in found.keys() & expected.keys() if found[name] != expected[name]}
    return [f"{name}: {state}" for name, state in sorted(lines.items())]


def _plain(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".json" or (path.parent.name == "scores" and not path.name.startswith(".")):
        return content
    try:
        return json.dumps(_lasting(json.loads(content)), indent=1).encode()
    except ValueError:
        return content


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(each) for key, each in value.items() if key not in PASSING}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def kinds(steps: Iterable[str]) -> dict[str, list[int]]:
    """The numbers of the steps that a run takes, from 1, by the part of the disk that they change."""
    found: dict[str, list[int]] = {}
    for number, step in enumerate(steps, 1):
        found.setdefault(_kind(step.split(" ", 1)[1]), []).append(number)
    return found


def _kind(path: str) -> str:
    parts = Path(path).parts
    if "cache" in parts:
        below = parts[parts.index("cache") + 1 :]
        return f"cache/{below[0]}" if below else "cache"
    inner = path.split(f"{RUN}/", 1)[-1].split("/") if f"{RUN}/" in path else []
    return f"run/{inner[0]}" if len(inner) > 1 else "run"
