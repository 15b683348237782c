"""``python -m bench.tracking RUN_FOLDER``: what the children of a run execute, and how a run is sent again."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench.api import BenchError
from bench.runtime.scan import refuse_private
from bench.tracking.follower import FollowedTraining, Follower, follow
from bench.tracking.publication import send


def main() -> None:
    """``python -m bench.tracking RUN_FOLDER --mode online`` sends a finished run again."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracking", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a run folder, the one that holds run.json")
    parser.add_argument("--mode", choices=("online", "offline"), default="online")
    parser.add_argument("--project", default="medical-image-bench")
    parser.add_argument("--entity")
    parser.add_argument("--tag", action="append", default=[])
    parser.add_argument("--follow", metavar="DATASET", help="folder is of a training on DATASET: send what grows there")
    parser.add_argument("--home", type=Path, help="with --follow: folder for the files of the W&B client")
    parser.add_argument("--timeout", type=float, default=120.0, help="with --follow: seconds for the rest at the end")
    parser.add_argument("--pictures", action="store_true", help="with --follow: send pictures too")
    given = parser.parse_args()
    if given.mode == "online" and not _has_key():
        sys.exit("no W&B API key: set WANDB_API_KEY or run `wandb login`, or use wandb.mode=offline")
    if given.follow:
        training = FollowedTraining(given.folder, given.home or given.folder, given.follow, given.pictures)
        options = {name: getattr(given, name) for name in ("project", "entity", "mode")} | {"tags": given.tag}
        follow(Follower(training, options), given.timeout)
        return
    try:
        refuse_private(given.folder)
    except BenchError as error:
        sys.exit(str(error))
    send(given.folder, given.mode, given.project, given.entity, given.tag)


def _has_key() -> bool:
    import wandb

    return bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)


main()
