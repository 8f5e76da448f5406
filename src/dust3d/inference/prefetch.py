"""Things made ahead of their use by a thread of their own, of which only a few are kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetched(Generic[T]):
    """The values of a function of a whole number.

    Parameters
    ----------
    make
        The function; it runs in one other thread, one call at a time.
    kept
        How many values are kept: the last ones that were asked for.
    """

    def __init__(self, make: Callable[[int], T], kept: int):
        self._make, self._kept = make, kept
        self._futures: OrderedDict[int, Future[T]] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")

    def prefetch(self, number: int) -> "Future[T]":
        """Begin to make a value."""
        with self._lock:
            if number not in self._futures:
                while len(self._futures) >= self._kept:
                    self._futures.popitem(last=False)
                self._futures[number] = self._thread.submit(self._make, number)
            self._futures.move_to_end(number)
            return self._futures[number]

    def get(self, number: int) -> T:
        """A value, once it is ready."""
        return self.prefetch(number).result()
