"""What a finished set states of its images beside the conditions: groups, other columns, and the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.api import DatasetInfo, Label, Purpose, Request
from bench.statistics.arrays import Indices
from generators.assignment import (
    Shares,
    asked_columns,
    assign,
    conditions_of_requests,
    numbered,
    shares_of,
    table_of,
    value_of_request,
)

Texts = Mapping[str, Sequence[str | None]]  # by column, a text for each image or None where it is not known
PROMPT = "prompt"


@dataclass(frozen=True)
class Stated:
    """What is stated of every image.

    Attributes:
        conditions: values of the condition labels that any image states, in the order of ``info.conditions``.
        texts: the other labels and the attributes that any image states, and its prompt; see ``texts_of``.
    """

    info: DatasetInfo
    conditions: Mapping[str, Sequence[int | None]]
    texts: Texts

    @property
    def groups(self) -> tuple[str, ...]:
        """The stated groups that are no conditions."""
        return tuple(name for name in asked_columns(self.info) if name in self.texts)

    def draw(self, asking: Sequence[Request], rows: Indices, rng: np.random.Generator) -> Indices:
        """For each request one of the images ``rows``, conditions first and then groups; see ``assign``."""
        ours = conditions_of_requests(asking, tuple(self.conditions))
        theirs = table_of([[values[row] for row in rows] for values in self.conditions.values()], len(rows))
        for name in self.groups:
            wanted = [value_of_request(self.info, each, name) for each in asking]
            pair = numbered(wanted, [self.texts[name][row] or "unknown" for row in rows])
            ours, theirs = (np.column_stack(each) for each in zip((ours, theirs), pair, strict=True))
        return rows[assign(ours, theirs, rng, len(self.groups))]

    def met(self, requests: Sequence[Request], given: Mapping[str, int]) -> dict[Purpose, Shares]:
        """``facts["matched"]``: of the requests for a value of a stated condition or group, the share that got it."""
        held = {
            name: [self.info.label(name).text(value) for value in values] for name, values in self.conditions.items()
        }
        held |= {name: [text or "unknown" for text in self.texts[name]] for name in self.groups}
        return shares_of(self.info, requests, held, given)

    def uses(self, requests: Sequence[Request], given: Mapping[str, int]) -> tuple[str, ...]:
        """The columns that the images were made for: stated conditions and groups, whose shares are in ``met``, and of
        the others those that for every request state what it asks for."""
        others = [name for name in self.texts if name not in self.groups]
        kept = [name for name in others if all(self._states(name, each, given[each.request_id]) for each in requests)]
        return (*self.conditions, *self.groups, *kept)

    def _states(self, column: str, request: Request, row: int) -> bool:
        if column == PROMPT:
            return self.texts[column][row] == request.prompt
        return (self.texts[column][row] or "unknown") == value_of_request(self.info, request, column)


def texts_of(info: DatasetInfo, cells: Mapping[str, Iterable[Any]], unknown: Sequence[int] = ()) -> Texts:
    """What the columns ``cells`` state, as ``ImageSet.group`` writes it; columns without any value are left out.

    A value that a label cannot take stays as it is, and so is none that was asked for.
    """
    labels = {label.name: label for label in info.labels}
    found = {name: [_text(cell, labels.get(name), unknown) for cell in column] for name, column in cells.items()}
    return {name: texts for name, texts in found.items() if any(text is not None for text in texts)}


def further_columns(info: DatasetInfo) -> tuple[str, ...]:
    """The columns that a set may have beside conditions: other labels, attributes, and ``prompt``."""
    labels = (label.name for label in info.labels if label.name not in info.conditions)
    return (*labels, *info.attributes, PROMPT)


def known_text(cell: Any) -> str | None:
    """A cell as text; ``None`` for null, NaN and empty text."""
    return None if cell is None or cell != cell or cell == "" else str(cell)


def _text(cell: Any, label: Label | None, unknown: Sequence[int]) -> str | None:
    text = known_text(cell)
    if label is None or text is None:
        return text
    if cell in unknown or text == "unknown":
        return None
    for value in label.values:
        if cell == value or text in (str(value), label.text(value)):
            return label.text(value)
    return text
