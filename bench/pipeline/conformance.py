"""Whether two installations measure the same: every evaluator's numbers for one small fixed material.

A changed formula moves them. A file or class of another name, another machine, BLAS or number of threads does not, by
more than 1e-6 of the number. Not covered are the training of utility's classifier, encoders, and the intervals of
subgroups.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.api import BenchError, Evaluator
from bench.pipeline import fixed_material
from bench.storage.disk_errors import DiskError, of_disk
from bench.storage.files import content_key, file_digest, read_checked, write_checked

log = logging.getLogger(__name__)
LIBRARIES = ("numpy", "scipy", "scikit-learn", "scikit-image", "torch")


def conformance(evaluator: Evaluator, key: Mapping[str, Any], folder: Path) -> dict[str, float] | None:
    """What ``evaluator`` finds in the fixed material, measured once and kept in ``folder``.

    Args:
        key: what else identifies the evaluator beside its id and version: its settings and the digest of its code.

    Returns:
        ``measure(evaluator)``; ``None``, after a warning that says why, if it cannot measure the material.

    Raises:
        DiskError: the disk does not give what is kept, or what measuring needs.
    """
    if not hasattr(evaluator, "id"):
        log.warning("%s has no id: its conformance is unknown", type(evaluator).__name__)
        return None
    identity = {"id": evaluator.id, "version": evaluator.version, **key, **_surroundings()}
    path = folder / f"{evaluator.id}-{content_key(identity)}.json"
    found = _read(path, identity)
    if found is not None:
        return found
    try:
        values = measure(evaluator)
        if not values:
            raise BenchError("it gave no number")
    except DiskError:
        raise
    except Exception as error:  # the run's own scores do not depend on it
        if refused := of_disk(error):
            raise refused from error
        kind = type(error).__name__
        log.warning("%s: its conformance is unknown: on the fixed material, %s: %s", evaluator.id, kind, error)
        return None
    try:
        write_checked(path, {"key": identity, "values": values})
    except OSError as error:
        log.warning("the conformance of %s could not be kept: %s", evaluator.id, error)
    return values


def measure(evaluator: Evaluator) -> dict[str, float]:
    """Every number of the evaluator for the fixed material, by ``metric[group|encoder]``.

    Over all images, the ends of an interval stand beside it as ``….low`` and ``….high``; of subgroups the value alone,
    for their intervals are made by the same formula. What is refused has no entry.
    """
    values: dict[str, float | None] = {}
    for score in evaluator.conformance(fixed_material.fixed_material(evaluator)):
        name = f"{score.metric}[{score.group}|{score.encoder or '-'}]"
        values[name] = score.value
        if score.group == "all":
            values |= {f"{name}.low": score.low, f"{name}.high": score.high}
    return {name: float(value) for name, value in values.items() if value is not None}


def _surroundings() -> dict[str, Any]:
    """What else could move the numbers, so that none is kept beyond it: the material and the numerical libraries."""
    sources = (Path(__file__), Path(fixed_material.__file__))
    return {
        "material": [file_digest(path)[:16] for path in sources],
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _read(path: Path, identity: Mapping[str, Any]) -> dict[str, float] | None:
    """The numbers kept at ``path``; ``None`` if there are none or, after a warning, not those that were written."""
    try:
        kept = read_checked(path)
    except DiskError:  # it may be whole
        raise
    except (BenchError, OSError) as error:
        log.warning("%s; measured again", error)
        return None
    if kept is None:
        return None
    values: dict[str, float] = kept.get("values", {})
    if kept.get("key") == identity and values:
        return values
    log.warning("%s is of something else; measured again", path)
    return None
