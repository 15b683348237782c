"""``python -m bench.compare REAL FAKE [TRAIN]``: how synthetic images differ from real ones, with intervals."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import bench
from bench.runtime.search import modules_beside_the_user, own_packages_first
from bench.runtime.threads import use_threads

EXAMPLES = """examples
  python -m bench.compare real/ fake/
  python -m bench.compare real/ fake/ train/ --json found.json --html report.html
  python -m bench.compare scans.parquet volumes/ --size 128
  python -m bench.compare real/ fake/ --encoders small_cnn,rad_dino encoder.rad_dino.path=DIR

A side is a folder of images (png, jpeg, tiff, dcm, below it at any depth), a parquet file or a folder of them, or a
NIfTI volume or a folder of them. Nothing else is needed; a metadata.csv with the columns file_name and patient_id tells
whose the images are. What the numbers mean: docs/compare.md
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit code 0 if something was measured, 1 with a line on what is to be mended."""
    signal.signal(signal.SIGTERM, _stop)
    own_packages_first()
    modules_beside_the_user()
    chosen = _parsed(sys.argv[1:] if arguments is None else arguments)
    sys.stderr.write(f"compare {bench.__version__}: reading the configuration\n")
    sys.stderr.flush()
    from bench.api import BenchError
    from bench.storage.disk_errors import explained
    from bench.storage.private_text import without_secrets

    try:
        sys.exit(_carry_out(chosen))
    except KeyboardInterrupt:
        sys.stderr.write("compare: stopped by Ctrl-C\n")
        sys.exit(130)
    except (BenchError, OSError) as error:
        said = error if isinstance(error, BenchError) else explained(error, "comparing")
        if said is None:
            raise
        sys.stderr.writelines(f"compare: {line}\n" for line in without_secrets(str(said)).splitlines())
        sys.exit(1)


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="How do synthetic images differ from real ones? Distances and shares with 95% intervals.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("real", metavar="REAL", type=Path, help="real images that the generator did not learn from")
    parser.add_argument("fake", metavar="FAKE", type=Path, help="synthetic images")
    parser.add_argument("more", metavar="TRAIN KEY=VALUE", nargs="*", help="training images; settings, as of a run")
    parser.add_argument("--json", metavar="FILE", help="write all scores with what they mean; - is standard output")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a report to print or send, with pictures")
    parser.add_argument("--encoders", metavar="A,B", help="in whose features distances are measured")
    parser.add_argument("--size", metavar="H[xW]", help="compare at this size; default: the real images', up to 256")
    parser.add_argument("--window", metavar="LOW,HIGH", help="grey levels shown as black and white, over 8 bits")
    parser.add_argument("--seed", metavar="N", type=int, help="of random choices (default 0)")
    parser.add_argument("--all", action="store_true", help="print every metric and every reason for having none")
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with encoder/ and evaluator/ of your own")
    parser.add_argument("--version", action="version", version=f"compare {bench.__version__}")
    chosen = parser.parse_intermixed_args(arguments)
    # a run's folder is called seed=0
    chosen.settings = [each for each in chosen.more if "=" in each and not Path(each).exists()]
    folders = [each for each in chosen.more if each not in chosen.settings]
    if len(folders) > 1:
        parser.error(f"three sides at most, REAL FAKE TRAIN, and {folders[1]!r} is a fourth")
    chosen.train = Path(folders[0]) if folders else None
    chosen.options = _options(parser, chosen)
    return chosen


def _options(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"settings": chosen.settings, "config_dir": chosen.config_dir}
    found |= {} if chosen.seed is None else {"seed": chosen.seed}
    if chosen.size is not None:
        sides = re.fullmatch(r"(\d+)(?:x(\d+))?", chosen.size)
        if not sides:
            parser.error(f"--size {chosen.size}, needed one number for a square, or HEIGHTxWIDTH: --size 320x256")
        found["size"] = int(sides[1]), int(sides[2] or sides[1])
    if chosen.window is not None:
        try:
            low, high = map(float, chosen.window.split(","))
        except ValueError:
            parser.error(f"--window {chosen.window}, needed two numbers: --window 0,4095")
        found["window"] = low, high
    return found


def _check_place(option: str, file: str | Path | None) -> None:
    """Raise ``BenchError`` where a file cannot lie, before a minute is spent on what it would hold."""
    from bench.api import BenchError

    if file is None or str(file) == "-":
        return
    path = Path(file)
    if not path.parent.is_dir() or path.is_dir():
        raise BenchError(f"{option} {file}: needed the name of a file in a folder that is there")


def _carry_out(chosen: argparse.Namespace) -> int:
    from bench.compare.configuration import configuration
    from bench.storage.files import write_atomic

    for option, file in (("--json", chosen.json), ("--html", chosen.html)):
        _check_place(option, file)
    encoders = chosen.encoders.split(",") if chosen.encoders else None
    use_threads(configuration(chosen.settings, chosen.config_dir).threads)
    from bench.compare.measure import comparison
    from bench.compare.table import document, printed

    found = comparison(chosen.real, chosen.fake, chosen.train, encoders, **chosen.options)
    if chosen.html:
        from bench.compare.report import write

        write(found, chosen.html)
    if chosen.json:
        text = document(found).model_dump_json(by_alias=True, indent=2)
        if chosen.json == "-":
            sys.stdout.write(f"{text}\n")
            return 0
        write_atomic(Path(chosen.json), f"{text}\n".encode())
    sys.stdout.write(f"{printed(found, chosen.all)}\n")
    return 0 if found.scores else 1


if __name__ == "__main__":
    main()
