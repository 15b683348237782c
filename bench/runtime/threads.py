"""How many threads numerical libraries use: the last digits of a result may depend on it."""

from __future__ import annotations

import os

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def use_threads(count: int) -> None:
    """Have every numerical library of this process use ``count`` threads, whether or not it is imported already."""
    from threadpoolctl import threadpool_limits

    # a library reads these when it is imported
    os.environ |= dict.fromkeys(VARIABLES, str(count))
    threadpool_limits(count)
