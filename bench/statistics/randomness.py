"""Sources of randomness, split by purpose."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def named_rng(name: str, seed: int) -> np.random.Generator:
    """Randomness of a name and a seed, the same whatever else draws."""
    digest = hashlib.sha256(json.dumps([name, seed], separators=(",", ":")).encode()).hexdigest()
    return np.random.default_rng(np.random.SeedSequence([int(digest[i : i + 8], 16) for i in (0, 8)]))
