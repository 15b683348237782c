"""Work in a thread that is one item ahead of whoever takes the results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(work: Callable[[Item], Made], items: Iterable[Item]) -> Generator[Made, None, None]:
    """``work`` of every item, in order; a thread is one item ahead of whoever takes the results.

    What ``work`` raises is raised where its result would have been taken. The thread has ended when the last result is
    taken, or the iterator is closed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming: Future[Made] | None = None
        for item in items:
            ready, coming = coming, pool.submit(work, item)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
