"""What in a text has the form of an identifier. Pure functions; a form is no proof, nor is its absence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_MONTHS = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*"
_DATES = (
    rf"(?<!\d){_YEAR}{_MONTH}{_DAY}(?:[0-2]\d[0-5]\d[0-5]\d)?(?!\d)",
    rf"(?<!\d){_YEAR}[-_./:]{_MONTH}[-_./:]{_DAY}(?!\d)",
    rf"(?<!\d){_DAY}[-_./]{_MONTH}[-_./]{_YEAR}(?!\d)",
    rf"(?<!\d){_MONTH}[-_./]{_DAY}[-_./]{_YEAR}(?!\d)",
    rf"(?i:(?<!\d)\d{{1,2}}[-_. ]{{1,2}}{_MONTHS}[-_. ]{{1,2}}{_YEAR}(?!\d))",
)
LONG_NUMBER = "a long number"
FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an e-mail address", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("a DICOM UID", re.compile(r"(?<![\d.])[0-2](?:\.\d+){5,}")),
    ("a number said to be a person's or a study's", re.compile(
        r"(?i)(?<![a-z])(?:mrn|pat(?:ient)?[ _-]?(?:id|no|nr)?|pid|acc(?:ession)?|ssn)[ _:#=-]{0,2}\d{3,}"
    )),
    ("a date", re.compile("|".join(_DATES))),
    ("a social security number", re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)")),
    (LONG_NUMBER, re.compile(r"(?<!\d)(?<!\d\.)\d{6,}")),  # no fraction
)  # fmt: skip
NAME = "what may be a person's name"
_NAME = re.compile(r"(?<![^\W\d_])([^\W\d_][^\W\d_'’]+)(\^+|, ?|[ _.-])(?=([^\W\d_][^\W\d_'’]+))")
# words of data sets and of radiology that are written as names are
_ORDINARY_WORDS = """
age air alveolar and any area atelectasis axial battery bone brain breast bucky cancer card cardiac cardiomegaly
case cc chest class clinical clipped column columns computed consolidation contents coronal count ct data dataset
density digital disease edema effusion emphysema enlarged entry evaluation example fair features female fibrosis
fidelity file files film filtered finding findings folder follow fracture from gender generated grey group hash
heart hernia hugging face image images index infiltration label labels lateral left lesion level license lung lying
male mammogram mammography mask mass medical metadata mlo model module modulus morphological name names no nodule
normal of only opacity orange order original other pa part patient phantom photoshop picture pixel pixels pleural
pneumonia pneumothorax portable portrait position preview privacy public radiograph radiography ray read readme real
record records report request requests result results right sagittal sample samples scan score scores semi series
set sets size source spacing split standing study supine support synthetic table test text the thickening title
tomography train training type unknown upright utility valid validation value values version view views with
without x
"""
_ORDINARY = frozenset(_ORDINARY_WORDS.split())


class Suspicion(NamedTuple):
    """A form and the characters ``start`` to ``end`` that have it."""

    kind: str
    start: int
    end: int


def suspicions(text: str) -> list[Suspicion]:
    """All that has the form of an identifier, in order, none within another."""
    found: list[Suspicion] = []
    for kind, form in FORMS:
        for match in form.finditer(text):
            _add(found, Suspicion(kind, match.start(), match.end()))
    for start, end in _names(text):
        _add(found, Suspicion(NAME, start, end))
    return sorted(found, key=lambda each: each.start)


def _add(found: list[Suspicion], new: Suspicion) -> None:
    if all(new.end <= each.start or each.end <= new.start for each in found):
        found.append(new)


def _names(text: str) -> Iterator[tuple[int, int]]:
    """Two words side by side, both with a capital or all in capitals, neither an ordinary one; any joined by ``^``."""
    for match in _NAME.finditer(text):
        first, joint, second = match.groups()
        start, end = match.start(), match.end() + len(second)
        ordinary = bool(_ORDINARY & {first.lower(), second.lower()})
        if joint.startswith("^") or (not ordinary and _written_alike(first, second)):
            yield start, end


def _written_alike(first: str, second: str) -> bool:
    capitals = first.isupper() and second.isupper() and min(len(first), len(second)) > 2
    return capitals or (first[0].isupper() and second[0].isupper() and first[1:].islower() and second[1:].islower())


def hidden(text: str, found: list[Suspicion] | None = None) -> str:
    """``text`` with all that has the form of an identifier told by its first letter and its length."""
    pieces, place = [], 0
    for each in suspicions(text) if found is None else found:
        pieces += [text[place : each.start], f"{text[each.start]}…[{each.end - each.start}]"]
        place = each.end
    return "".join([*pieces, text[place:]])
