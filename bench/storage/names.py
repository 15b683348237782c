"""What may be a name: of what a board shows, and of what stands in a path, a link and a command line as well."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST_NAME = 120
# a file system takes 255 bytes; the folder of what was trained adds a key of 17, a draft 10 more
LONGEST_IN_BYTES = 220
_PART = re.compile(r"[^\W_]|[ ._+=,@()\[\]-]")
# marks that nobody sees: joiners and selectors of variants
_UNSEEN_MARK = re.compile("[\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
MADE_OF = "letters, digits, inner spaces and . _ - + = , @ ( ) [ ]"


def visible(text: str) -> str:
    """``text`` with everything a reader would not see (controls, direction marks, surrogates) spelled out."""
    return "".join(f"⟨U+{ord(each):04X}⟩" if _unseen(each) else each for each in text)


def _unseen(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def name_faults(name: str, longest: int = LONGEST_NAME) -> Iterator[str]:
    """Why ``name`` cannot stand in a table, where it may have ``longest`` characters: nothing if it can."""
    if not name.strip() or name != name.strip():
        yield f"the name {name!r} is empty or has spaces around it"
    if len(name) > longest:
        yield f"the name has {len(name)} characters, more than {longest}"
    if visible(name) != name or "\n" in name or "\t" in name:
        yield f"the name has control or text-direction characters: {visible(name)[:200]}"


def path_name_faults(name: str) -> Iterator[str]:
    """Why ``name`` cannot be a data set's, a run's or an evaluator's, which name folders and files too."""
    found = list(name_faults(name))
    yield from found
    if found:
        return
    if len(name.encode()) > LONGEST_IN_BYTES:
        yield f"the name has {len(name.encode())} bytes, more than {LONGEST_IN_BYTES}"
    strange = sorted({each for each in name if not (_PART.fullmatch(each) or _is_mark(each))})
    if strange:
        yield f"the name {name[:200]!r} has {' '.join(strange)}, needed {MADE_OF}"
    if name.startswith((".", "-")) or _is_mark(name[0]):
        yield f"the name {name[:200]!r} begins with {name[0]!r}, needed a letter or a digit first"
    if unicodedata.normalize("NFC", name) != name:
        yield f"the name {name[:200]!r} has letters put together from parts; needed the composed form (NFC)"


def _is_mark(character: str) -> bool:
    """Whether it is written onto the letter before it, as the vowels of many scripts are."""
    return unicodedata.category(character) in {"Mn", "Mc"} and not _UNSEEN_MARK.fullmatch(character)
