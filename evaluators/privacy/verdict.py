"""The verdict in words: a leak was found; none was, and what would have been; or that cannot be told, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.api import Score
from evaluators.privacy.bounds import Limit
from evaluators.privacy.closeness import Pool
from evaluators.privacy.metrics import ABOVE_NULL, FEWEST_IMAGES
from evaluators.privacy.planting import families
from evaluators.privacy.shuffled_labels import Evidence

CANNOT_TELL = "cannot tell"
LEAK = "leak found"
FIRST = "exact or recoloured"
MOST_NAMED = 3
FEWEST_PATIENTS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether there is a leak, ``None`` where that cannot be told; in words; and the reason.

    Attributes:
        words: the cell of a table.
        reason: what the words rest on.
    """

    found: bool | None
    words: str
    reason: str


def too_few(images: int, pool: Pool) -> str | None:
    """Why the tests would mean nothing, if so."""
    if images < FEWEST_IMAGES:
        return f"the copying test needs {FEWEST_IMAGES} synthetic images, got {images}"
    members = int(pool.member.sum())
    fewest = min(members, pool.patients - members)
    if fewest < FEWEST_PATIENTS:
        return f"the copying test needs {FEWEST_PATIENTS} patients in train and in holdout, got {fewest}"
    return None


def judge(
    plain: str | None,
    unfit: str | None,
    found: Evidence | None,
    doubts: Sequence[str],
    limits: Mapping[str, Limit | None],
) -> Verdict:
    """The verdict from everything that was measured.

    Args:
        plain: why there is a leak that needs no test of labels, if so; see ``plain_leak``.
        unfit: why membership cannot be measured on this material, if so.
        found: what the shuffled labels say, where they could be.
        doubts: what keeps the images from being cleared though no test found a leak.
        limits: of each kind of copies by name.
    """
    if plain:
        return Verdict(True, LEAK, plain)
    if unfit or found is None:
        return Verdict(None, CANNOT_TELL, unfit or "membership was not measured")
    if names := found.found:
        where = ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} encoders"
        return Verdict(True, LEAK, f"synthetic images prefer training patients in {where}: {_levels(found)}")
    if doubts:
        return Verdict(None, CANNOT_TELL, f"no test found a leak, but {'; and '.join(doubts)}")
    seen = family_limits(limits)
    if seen[FIRST] is None:
        return Verdict(None, CANNOT_TELL, f"planted copies, even {FIRST} ones, do not stand out among these images")
    return Verdict(False, cleared(seen), _levels(found))


def better_than_null(scores: Sequence[Score]) -> str | None:
    """That the attack does better on these images than on the test part, by the interval of the difference, if so.

    Args:
        scores: those of ``ABOVE_NULL`` count, in the encoder where the difference is most certainly above 0.
    """
    found = [each for each in scores if each.metric == ABOVE_NULL.key and each.low is not None and each.low > 0]
    if not found:
        return None
    most = max(found, key=lambda each: float(each.low or 0.0))
    return (
        "training patients are told from holdout patients better than by the test part: membership AUC "
        f"{most.value:+.3f} [{most.low:.3f}, {most.high:.3f}] above it in {most.encoder}"
    )


def _levels(found: Evidence) -> str:
    copying = ", ".join(f"{name} {p:.4f}" for name, p in found.copying.items())
    return f"p of the copying test {copying}; of all other statistics together {found.other:.4f}; found from 0.025 down"


def family_limits(limits: Mapping[str, Limit | None]) -> dict[str, float | None]:
    """For each family the share from which on copies of every kind in it would have been found.

    ``None`` where one of its kinds would not be.
    """
    found: dict[str, float | None] = {}
    for family, kinds in families().items():
        shares = [limit.found_from if (limit := limits.get(each.name)) else None for each in kinds]
        known = [share for share in shares if share is not None]
        found[family] = max(known) if len(known) == len(shares) else None
    return found


def cleared(shares: Mapping[str, float | None]) -> str:
    """The words where nothing was found: from which share on each family would have been, and what is not seen.

    The shares are of copies of many patients: if training patients are many, all copies of a few may well be of such by
    chance, and no shuffle of labels tells.
    """
    seen = [(family, share) for family, share in shares.items() if share is not None]
    parts = [
        f"{family}{' copies' if not place else ''} above {percent(share)}" for place, (family, share) in enumerate(seen)
    ]
    blind = [family for family, share in shares.items() if share is None]
    few = "a few patients copied often"
    unseen = f"{few} are not seen"
    if blind:
        verb = "are" if len(blind) > 1 or blind[0].endswith("s") else "copies are"
        unseen = f"{_listed(blind)} {verb} not seen, nor are {few}"
    return f"no leak found; {', '.join(parts)} would have been found; {unseen}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"


def percent(share: float) -> str:
    """A share in percent, rounded up to a tenth, so that no limit is said to be lower than it is."""
    tenths = math.ceil(share * 1000 - 1e-9)
    return f"{tenths / 10:g}%"
