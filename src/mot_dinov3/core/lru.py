"""A bounded cache that forgets what was used least recently."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Holds values by key up to a total size; beyond it, the least recently used ones go.

    Not safe for use from several threads: whoever shares one holds a lock.

    Args:
        capacity: Total size that is kept; the newest value stays even where it alone is larger.
        size: Returns a value's size; 1 each without it, so that `capacity` is a number of values.
        on_drop: Is called with every value that goes, but for one that is popped.
    """

    def __init__(
        self,
        capacity: float,
        *,
        size: Callable[[V], float] = lambda _: 1,
        on_drop: Callable[[V], None] = lambda _: None,
    ) -> None:
        self.capacity = capacity
        self._size = size
        self._on_drop = on_drop
        self._values: OrderedDict[K, V] = OrderedDict()
        self._total = 0.0

    def get(self, key: K) -> V | None:
        """Return the value of `key`, which counts as used now, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: K, value: V) -> V:
        """Hold `value` under `key`, drop what no longer fits, and return `value`."""
        self.drop(key)
        self._values[key] = value
        self._total += self._size(value)
        while self._total > self.capacity and len(self._values) > 1:
            self.drop(next(iter(self._values)))
        return value

    def pop(self, key: K) -> V | None:
        """Take the value of `key` out and return it, or None."""
        if key not in self._values:
            return None
        value = self._values.pop(key)
        self._total -= self._size(value)
        return value

    def drop(self, key: K) -> None:
        """Let the value of `key` go, if there is one."""
        if key in self._values and (value := self.pop(key)) is not None:
            self._on_drop(value)

    def clear(self) -> None:
        """Let all values go."""
        for key in list(self._values):
            self.drop(key)

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, the least recently used first."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
