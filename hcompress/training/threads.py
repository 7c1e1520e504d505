"""Pieces of work side by side, a thread each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_threads(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """``work`` on every item, in order, as many at once as torch has threads.

    One thread an item is faster than all threads on one, and its sums are those of one thread.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    waiting: deque[Future[Made]] = deque()
    try:
        with ThreadPoolExecutor(threads) as pool:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)
