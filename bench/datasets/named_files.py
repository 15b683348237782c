"""Which file a cell of someone's own table means: a path, a name in any subfolder, with or without its suffix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath


class NamedFiles:
    """The image files below a folder, by all that a table may call them."""

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self.files = list(files)
        self._known: list[dict[str, list[Path]]] = [defaultdict(list) for _ in range(4)]
        for path in self.files:
            inner = path.relative_to(root)
            names = (inner.as_posix(), inner.with_suffix("").as_posix(), path.name, path.stem)
            for known, name in zip(self._known, names, strict=True):
                known[name].append(path)

    def find(self, cell: str) -> list[Path]:
        """The files that ``cell`` may mean: one, none, or several where it does not tell them apart.

        A path below the folder is taken first, then one without suffix, then a name in any subfolder, then that without
        suffix; leading folders of the cell that are not there are left aside.
        """
        name = PurePosixPath(cell.replace("\\", "/"))
        for place, text in enumerate((name.as_posix(), name.as_posix(), name.name, name.name)):
            if found := self._known[place].get(text):
                return found
        return []
