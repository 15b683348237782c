"""``python -m leaderboard build|sweep|check|schema``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import bench
from bench.storage.names import visible
from leaderboard.build import build, write
from leaderboard.check import json_schema
from leaderboard.read import NoRuns, check_file, read_runs
from leaderboard.sweep import NoScore, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every record was right, 1 if one was not, 2 for a wrong command line."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "schema":
        print(json.dumps(json_schema(), indent=1, sort_keys=True))
        return 0
    if chosen.command == "check":
        return _check(chosen.files)
    if chosen.command == "sweep":
        return _sweep(chosen.runs, chosen.metric)
    return _build(chosen.runs, chosen.out, chosen.validity)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="leaderboard", description="Records of runs in, a static site out.")
    parser.add_argument("--version", action="version", version=f"leaderboard {bench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("build", help="write the site; site/index.html opens without a server")
    making.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs (default: runs)")
    making.add_argument("--out", type=Path, default=Path("site"), help="where the site goes (default: site)")
    seeing = "reports on what the metrics see, one folder a data set (default: validity)"
    making.add_argument("--validity", type=Path, default=Path("validity"), help=seeing)
    sweeping = commands.add_parser(
        "sweep", help="print one table of the settings in which runs differ and their scores"
    )
    sweeping.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs (default: runs)")
    naming = "EVALUATOR/METRIC/ENCODER, as objective= spells it; may be repeated (default: those that head the board)"
    sweeping.add_argument("--metric", action="append", default=[], help=naming)
    checking = commands.add_parser("check", help="say what is wrong with records, by JSON pointer")
    checking.add_argument("files", nargs="+", type=Path, metavar="FILE", help="run.json or scores/<evaluator>.json")
    commands.add_parser("schema", help="print the JSON Schema of the records")
    return parser


def _check(files: Sequence[Path]) -> int:
    wrong = False
    for file in files:
        problems = check_file(file)
        wrong = wrong or bool(problems)
        for problem in problems:
            print(problem)
        if not problems:
            print(visible(f"{file}: ok"))
    return int(wrong)


def _sweep(root: Path, metrics: Sequence[str]) -> int:
    try:
        runs, problems = read_runs(root)
        print(table(runs, metrics))
    except (NoRuns, NoScore) as error:
        print(error, file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def _build(root: Path, out: Path, validity: Path) -> int:
    try:
        runs, problems = read_runs(root)
    except NoRuns as error:
        print(error, file=sys.stderr)
        return 1
    try:
        write(build(runs, problems, validity), out)
    except OSError as error:
        print(f"{error.filename or out}: cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    print(visible(f"{out / 'index.html'}: {len(runs)} runs" + (f", {len(problems)} problems" if problems else "")))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
