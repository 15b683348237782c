"""Where modules are found, whatever lies in the folder where somebody starts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]  # the folder with this project's packages: a checkout, or site-packages
CONFIGURATION = ROOT / "conf"
OWN = ("generators", "evaluators")  # ``bench`` is imported already


class OwnFirst(MetaPathFinder):
    """Finds this project's own packages beside ``bench``.

    An editable install is asked last, after every folder on the path: a folder called ``generators`` where somebody
    starts would come before it.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname not in OWN:
            return None
        return PathFinder.find_spec(fullname, [str(ROOT)], target)


def own_packages_first() -> None:
    """Have this process find the project's own packages beside ``bench``; a second time changes nothing."""
    if not any(isinstance(each, OwnFirst) for each in sys.meta_path):
        sys.meta_path.insert(0, OwnFirst())


def modules_beside_the_user() -> None:
    """Let a console script find what ``python -m`` finds: packages in the folder where it was started.

    They come last, so that no file there can take the place of a library, nor of this project in processes that are
    given this path. ``python -P`` asks for none of it.
    """
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path += [place for place in (str(ROOT), here) if place not in sys.path]
