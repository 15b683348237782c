"""The W&B client in a child process: how a W&B run is opened, and where the client keeps its files."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.storage.files import discard

LONGEST = {"tag": 64, "name": 128}  # letters that W&B takes


@dataclass(frozen=True)
class Destination:
    """Where W&B runs go; ``group`` is what they stand with instead of their sweep or data set."""

    mode: Literal["online", "offline"]
    project: str
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class RunIdentity:
    """A W&B run by its id.

    Attributes:
        name: what people see.
        kind: its job type.
        dataset, generator: names of what it is about, which become tags.
        group: what it stands together with unless the destination says otherwise.
        sweep: id of the W&B sweep that it is a run of.
        grows: whether more is added to it by several processes; otherwise each one replaces it.
    """

    id: str
    name: str
    kind: str
    dataset: str
    generator: str
    group: str
    sweep: str | None = None
    grows: bool = False


@contextmanager
def opened(folder: Path, destination: Destination, identity: RunIdentity, config: Mapping[str, Any]) -> Iterator[Any]:
    """A W&B run whose files lie in ``folder/wandb``. It is not finished here, because its end depends on the caller.

    The client copies tables before it sends them, by default into the home of the user for ever. Here the copies go
    when all is sent; an offline run is sent later and needs them, so they stay beside it.
    """
    place = folder / "wandb"
    place.mkdir(parents=True, exist_ok=True)
    if identity.grows:
        discard(*place.glob(staging_of(identity.id)))  # of a process that was killed
    staging = Path(tempfile.mkdtemp(prefix=staging_of(identity.id)[:-1], dir=place))
    _environment(staging, destination, identity)
    import wandb

    try:
        yield wandb.init(
            project=destination.project,
            entity=destination.entity,
            mode=destination.mode,
            dir=str(folder),
            id=identity.id,
            resume="allow" if identity.grows and destination.mode == "online" else None,
            name=identity.name[: LONGEST["name"]],
            group=(destination.group or identity.group)[: LONGEST["name"]],
            job_type=identity.kind,
            tags=_tags([identity.dataset, identity.generator, *destination.tags]),
            config=dict(config),
            settings=_settings(),
        )
    finally:
        wandb.teardown()
        shutil.rmtree(staging / "cache", ignore_errors=True)
        kept = destination.mode == "offline" and any(path.is_file() for path in staging.rglob("*"))
        if not kept:
            shutil.rmtree(staging, ignore_errors=True)


def staging_of(run: str) -> str:
    """A pattern of the folders in which the client keeps copies of what the W&B run of this id sends."""
    return f"staging-{run}-*"


def _environment(staging: Path, destination: Destination, identity: RunIdentity) -> None:
    os.environ["WANDB_SILENT"] = "true"
    os.environ |= {"WANDB_DATA_DIR": str(staging), "WANDB_ARTIFACT_DIR": str(staging / "cache")}
    os.environ["WANDB_CACHE_DIR"] = str(staging / "cache")
    # in a sweep the client takes id and project from here and nowhere else, whatever it is told
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        os.environ.pop(name, None)
    if identity.sweep is None:
        os.environ.pop("WANDB_SWEEP_PARAM_PATH", None)
        return
    os.environ |= {"WANDB_SWEEP_ID": identity.sweep, "WANDB_RUN_ID": identity.id}
    os.environ.setdefault("WANDB_PROJECT", destination.project)


def _settings() -> Any:
    """Nothing of the machine and its user is collected: the record says what matters."""
    import wandb

    return wandb.Settings(
        init_timeout=30,
        console="off",
        disable_git=True,
        save_code=False,
        host="",
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )


def _tags(tags: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tag[: LONGEST["tag"]] for tag in tags if tag))


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of ``history.csv``: stage, step, term, value."""
    path = folder / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def define_curves(run: Any, stage: str) -> None:
    """Have the curves of a stage drawn over its own steps, with the least and the last value in the summary."""
    run.define_metric(f"{stage}/step", summary="max")
    run.define_metric(f"{stage}/*", step_metric=f"{stage}/step", summary="min,last")
