"""What the disk refuses before a job has begun, when Hydra makes its folder, in words instead of a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hydra._internal.utils
from hydra.errors import CompactHydraException


def name_disk_errors() -> None:
    """Have Hydra end with one line that names the folder where the disk refused it. Once in a process."""
    report = hydra._internal.utils.run_and_report

    def in_words(func: Any) -> Any:
        return report(lambda: _called(func))

    hydra._internal.utils.run_and_report = in_words


def _called(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except OSError as error:
        from bench.storage.disk_errors import explained

        found = explained(error, "making")
        if found is None:
            raise
        # the one kind of error that Hydra prints without a traceback
        raise CompactHydraException(str(found)) from None
