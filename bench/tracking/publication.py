"""A copy of what a run left at Weights & Biases. Never on the way to a score.

``publish`` and ``publish_stop`` start ``python -m bench.tracking RUN_FOLDER`` as a child process with a time limit, so
that no server, prompt or crash of the client can hold or change a run. The same command sends a finished run again.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.runtime.environment_use import leaves
from bench.storage.files import content_key, discard, file_digest
from bench.tracking.child import command, handed
from bench.tracking.client import staging_of
from bench.tracking.follower import training_run
from bench.tracking.ledger import harmless, identified, note

log = logging.getLogger(__name__)
_SETTING = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")


def publish(folder: Path, settings: Mapping[str, Any], training: Path | None = None) -> None:
    """Log the run in ``folder`` unless ``settings.mode`` is ``disabled`` or this very record was logged before.

    ``training`` is the folder of the training it samples from, to whose W&B run it is linked.
    """
    if settings["mode"] == "disabled":
        return
    with harmless():
        linked = training and training_run(training)
        if linked:
            identified(folder)
            note(folder, training=linked)
        _send_once(folder, settings, {"record": file_digest(folder / "run.json")})


def publish_stop(
    folder: Path, settings: Mapping[str, Any], config: Callable[[], Mapping[str, Any]], reason: str
) -> None:
    """Log that the run in ``folder`` stopped before it left a record, unless W&B is disabled or knows it.

    A record that is there already stands: only a run that a W&B agent started is told to have failed then.

    Args:
        config: gives the resolved configuration, in which nothing is that must not be passed on. It may be what
            cannot be resolved.
        reason: why it stopped, likewise; see ``reason_for_others``.
    """
    if settings["mode"] == "disabled":
        return
    with harmless():
        book = identified(folder)
        if (folder / "run.json").exists() and not ("sweep" in book and "sent" not in book):
            return
        settled = config()
        data = settled["dataset"]
        about = {
            # what a data set calls itself is known when it is loaded
            "dataset": data.get("name") or data["_target_"].split(".")[-2],
            "generator": settled["name"],
            "seed": settled["seed"],
            "config": dict(settled),
            "reason": reason,
        }
        _send_once(folder, settings, {"stop": content_key(about)}, about)


def reason_for_others(error: Exception, config: DictConfig) -> str:
    """The kind of an error and the settings it names.

    Not its text: whether ids of patients and images may be passed on is known when the data set is loaded, and what
    goes wrong before that is said with the ids.
    """
    settings = {".".join(leaf.path[:depth]) for leaf in leaves(config) for depth in range(2, len(leaf.path) + 1)}
    named = dict.fromkeys(each for each in _SETTING.findall(str(error)) if each in settings)
    about = f" about {', '.join(named)}" if named else ""
    return f"{type(error).__name__}{about}; bench.log of the run says more"


def _send_once(
    folder: Path, settings: Mapping[str, Any], what: Mapping[str, str], about: Mapping[str, Any] | None = None
) -> None:
    book = identified(folder)
    sent = {**what, **{name: settings[name] for name in ("mode", "project", "entity")}}
    if book.get("sent") == sent:
        return
    if "sweep" in book and settings["mode"] != "online":
        log.warning("W&B sweep %s is told nothing of this run: it needs wandb.mode=online", book["sweep"])
    place = folder / "wandb"
    replaced = [*place.glob(f"offline-run-*-{book['id']}"), *place.glob(staging_of(book["id"]))]
    if _sent(folder, settings, about):
        # of one run there is one W&B run, whose last state counts
        discard(*replaced)
        note(folder, sent=sent)


def _sent(folder: Path, settings: Mapping[str, Any], about: Mapping[str, Any] | None) -> bool:
    arguments = command(folder, settings)
    again = f"Replay: {' '.join(arguments[1:])}" if about is None else "Tried again when it stops again."
    seconds = settings["timeout_seconds"]
    with handed(about) as (words, options):
        try:
            child = subprocess.run(
                [*arguments, *words],
                capture_output=True,
                text=True,
                timeout=seconds,
                stdin=subprocess.DEVNULL,
                **options,
            )
        except subprocess.TimeoutExpired:
            log.warning("W&B did not finish in %s s; scores are safe. %s", seconds, again)
            return False
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or ["no message"]
        log.warning("W&B failed (%s); scores are safe. %s", last[0], again)
    return not child.returncode
