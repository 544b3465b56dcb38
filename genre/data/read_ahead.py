"""Read what comes next in threads while what came before is used."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Wanted = TypeVar("Wanted")
Read = TypeVar("Read")

DEPTH = 2  # items that are read, and threads that read them, while another is used


def read_ahead(items: Iterator[Wanted], read: Callable[[Wanted], Read]) -> Iterator[Read]:
    """Yield ``read(item)`` of each item in order.

    Raises:
        Exception: what ``read`` raised for an item, in its place.
    """
    pool = ThreadPoolExecutor(DEPTH, thread_name_prefix="read-ahead")
    waiting: deque[Future[Read]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > DEPTH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
