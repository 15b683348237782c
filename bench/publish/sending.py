"""Everything that would be sent of a run, and a last look for what should not be; then W&B."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench.api import BenchError
from bench.runtime.scan import AGAIN, findings, replacements, shared_files
from bench.storage.text_table import text_table


def main() -> None:
    """Show every file, every replaced value and every finding; send with ``python -m bench.tracking`` if there is none.

    Further options are those of ``python -m bench.tracking``. Exit code 1 where a file holds what is not for others.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.publish", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a run folder, the one that holds run.json")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be sent")
    given, options = parser.parse_known_args()
    try:
        text, sound = shown(given.folder)
    except BenchError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    if not sound:
        sys.exit(1)
    if not given.dry_run:
        sys.exit(subprocess.run([sys.executable, "-m", "bench.tracking", str(given.folder), *options]).returncode)


def shown(folder: Path) -> tuple[str, bool]:
    """What ``main`` prints, and whether the run may be sent.

    Raises:
        BenchError: there is no finished run.
    """
    if not (folder / "run.json").is_file():
        raise BenchError(f"{folder} has no run.json; name the folder of a finished run, the one that holds it")
    files = [(str(path.relative_to(folder)), f"{path.stat().st_size:,}") for path in shared_files(folder)]
    put, found = replacements(folder), findings(folder)
    lines = [f"{len(files)} files, nothing else is sent:", *text_table([("file", "bytes"), *files])]
    lines += ["", f"{len(put)} values stand for others:"]
    lines += [f"{file}: {place} -> {_short(text)}" for file, place, text in put]
    lines += ["", f"{len(found)} places are not for others" + (":" if found else "")]
    lines += [f"{each}" for each in found]
    lines += [f"Nothing is sent. {AGAIN[0].upper()}{AGAIN[1:]}"] if found else []
    return "\n".join(lines), not found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
