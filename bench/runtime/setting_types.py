"""Types of plug-in settings with a range, for signatures: ``def __init__(self, block: Count = 64)``.

They are judged with all other settings before any work (``bench.runtime.plugin_settings``); the text is what a message
says is needed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, Predicate


def _is_folder(path: str) -> bool:
    return Path(path).expanduser().is_dir()


def _exists(path: str) -> bool:
    return Path(path).expanduser().exists()


Count = Annotated[int, Ge(1), "a whole number of 1 or more"]
Seed = Annotated[int, Ge(0), Lt(2**63), "a whole number from 0 to 2^63 - 1"]
Positive = Annotated[float, Gt(0), Predicate(math.isfinite), "a number above 0"]
Share = Annotated[float, Gt(0), Lt(1), "a number above 0 and below 1"]
Portion = Annotated[float, Gt(0), Le(1), "a number above 0, at most 1"]
ExistingFolder = Annotated[str, Predicate(_is_folder), "an existing folder"]
ExistingPath = Annotated[str, Predicate(_exists), "an existing file or folder"]
