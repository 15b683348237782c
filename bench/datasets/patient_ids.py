"""Patients are people and not spellings: what no id of a person looks like, and ids that may be the same person's."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence

from bench.api import BenchError
from bench.datasets.prepare import listing

NOBODY = {"nan", "na", "n/a", "#n/a", "none", "null", "nil", "nat", "unknown", "undefined", "missing", "-", "--", "?"}
UNSEEN = {"Cc", "Cf", "Cn", "Co", "Zl", "Zp"}  # categories of Unicode: control, format, none, private, separators
_DECIMAL = re.compile(r"\d+\.\d*(e[+-]?\d+)?|\d+e[+-]\d+", re.IGNORECASE)
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_log = logging.getLogger(__name__)


def check_patient_ids(ids: Sequence[tuple[str, str]], name: str) -> None:
    """Refuse ids ``(id, where)`` that are none, and warn of pairs that differ by case or leading zeros only.

    Raises:
        BenchError: spaces at an end, characters that nobody sees, a text that means nobody, or a number with a decimal
            point or an exponent, which a spreadsheet makes of ids; up to ten rows are named.
    """
    first: dict[str, str] = {}
    for each, where in ids:
        first.setdefault(each, where)
    faults = [f"{where}: patient id {each!r} {fault}" for each, where in first.items() if (fault := id_fault(each))]
    if faults:
        raise BenchError(f"{name}: {listing(faults, 'patient ids are no ids; correct them in the table')}")
    if alike := list(_alike(first)):
        _log.warning("%s: %s", name, listing(alike, "pairs of patient ids may be the same person's; write one alike"))


def id_fault(text: str) -> str | None:
    """What is wrong with an id, if anything."""
    unseen = [character for character in text if unicodedata.category(character) in UNSEEN]
    if unseen:
        return f"has a character that nobody sees (U+{ord(unseen[0]):04X})"
    if text != text.strip():
        return "has a space at an end"
    if text.casefold() in NOBODY:
        return "means that nobody knows; set dataset.patient_column=null where that holds for all"
    if _DECIMAL.fullmatch(text):
        return "is a number with a decimal point or an exponent, as a spreadsheet writes it; needed the id as text"
    return None


def _alike(first: dict[str, str]) -> Iterable[str]:
    seen: dict[str, str] = {}
    for each, where in first.items():
        person = _ZEROS.sub("", unicodedata.normalize("NFKC", each).casefold())
        if person in seen:
            yield f"{seen[person]!r} ({first[seen[person]]}) and {each!r} ({where})"
        seen.setdefault(person, each)
