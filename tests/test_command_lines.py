"""Command lines in the documentation run as they are in zsh, which reads brackets and stars that are not quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
SETTINGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("conf/**/*.yaml"))
PROGRAMS = r"(?:python3? -m|bench|leaderboard|torchrun|accelerate|hf|pip|make)"
COMMAND = re.compile(rf"(?:\w+=\S+ )*{PROGRAMS} \S")
QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*"|\\.""")
READ_BY_ZSH = re.compile(r"^#|[\[\]*?(){}<>|;&!$`^]")  # at its prompt a # begins no comment


def commands(text: str) -> Iterator[str]:
    """Commands in blocks, in comments and between backticks."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    lines += [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    for line in lines:
        if COMMAND.match(line):
            yield line.strip()


def unquoted(command: str) -> list[str]:
    """The words of a command that zsh would read as patterns or more."""
    words = QUOTED.sub("", command.replace(" && ", " ")).split()
    return [word for word in words if READ_BY_ZSH.search(word)]


@pytest.mark.parametrize("page", [*PAGES, *SETTINGS])
def test_command_lines_can_be_copied_into_zsh(page: str) -> None:
    found = list(commands((ROOT / page).read_text(encoding="utf-8")))
    wrong = {command: words for command in found if (words := unquoted(command))}
    assert not wrong, f"{page}: quote {wrong}"


def test_there_are_commands() -> None:
    assert len(list(commands((ROOT / "README.md").read_text(encoding="utf-8")))) > 10


@pytest.mark.parametrize(
    "command",
    [
        "bench evaluator=[fidelity,card]",
        "bench dry_run=true  # what is found",
        "bench generator.path=*.png",
        "bench generator.path=image?.png",
        "bench 'evaluator=[fidelity]' encoder=[pixels]",
        "bench fit_seed=${seed}",
        "bench generator.call={a:1}",
    ],
)
def test_what_zsh_would_read_is_found(command: str) -> None:
    assert unquoted(command)


def test_quoted_words_are_left_alone() -> None:
    assert not unquoted("""bench 'evaluator=[fidelity]' "allow=[mylab]" generator.path=~/x seed=0,1""")
