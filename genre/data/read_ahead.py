"""Read what comes next in threads while what came before is used."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

DEPTH = 2  # items that are read, and threads that read them, while another is used


def read_ahead(items: Iterator[Item], read: Callable[[Item], Result]) -> Iterator[Result]:
    """Yield ``read(item)`` of each item in order.

    Raises:
        Exception: what ``read`` raised for an item, in its place.
    """
    pool = ThreadPoolExecutor(DEPTH, thread_name_prefix="read-ahead")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > DEPTH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
