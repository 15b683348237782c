"""``python -m bench.tracking RUN_FOLDER``: what the children of a run execute, and how a run is sent again."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.runtime.scan import refuse_private
from bench.tracking.client import Destination
from bench.tracking.follower import FollowedTraining, Follower, follow
from bench.tracking.sending import send_record, send_stop


def main() -> None:
    """``python -m bench.tracking RUN_FOLDER --mode online`` sends a finished run again."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracking", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a run folder, the one that holds run.json")
    parser.add_argument("--mode", choices=("online", "offline"), default="online")
    parser.add_argument("--project", default="medical-image-bench")
    parser.add_argument("--entity")
    parser.add_argument("--group", help="what stands together at W&B; by default the runs of a data set")
    parser.add_argument("--tag", action="append", default=[])
    parser.add_argument("--about", type=int, help=argparse.SUPPRESS)  # a descriptor that a run hands to its child
    given = parser.parse_args()
    if given.mode == "online" and not _has_key():
        sys.exit("no W&B API key: set WANDB_API_KEY or run `wandb login`, or use wandb.mode=offline")
    destination = Destination(given.mode, given.project, given.entity, given.group, given.tag)
    if given.about is not None:
        _obey(given.folder, destination, given.about)
    elif not (given.folder / "run.json").is_file():
        sys.exit(f"{given.folder} holds no run.json: name the folder of a finished run")
    else:
        _send(given.folder, destination)


def _send(folder: Path, destination: Destination) -> None:
    try:
        refuse_private(folder)
    except BenchError as error:
        sys.exit(str(error))
    send_record(folder, destination)


def _obey(folder: Path, destination: Destination, descriptor: int) -> None:
    with open(descriptor, encoding="utf-8") as file:
        about: dict[str, Any] = json.load(file)
    if "reason" in about:
        send_stop(folder, destination, about)
        return
    timeout = about.pop("timeout")
    training = FollowedTraining(folder, Path(about.pop("home")), **about)
    follow(Follower(training, destination), timeout)


def _has_key() -> bool:
    import wandb

    return bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)


main()
