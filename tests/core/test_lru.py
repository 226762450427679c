"""The bounded cache: the least recently used value goes first."""

from __future__ import annotations

from mot_dinov3.core.lru import LruCache


def test_the_least_recently_used_value_goes_first() -> None:
    dropped: list[str] = []
    cache: LruCache[int, str] = LruCache(2, on_drop=dropped.append)
    cache.put(1, "one")
    cache.put(2, "two")
    assert cache.get(1) == "one"  # now 2 is the oldest
    cache.put(3, "three")
    assert (list(cache), dropped) == ([1, 3], ["two"])
    assert cache.get(2) is None


def test_sizes_are_summed_and_the_newest_stays_even_if_too_large() -> None:
    cache: LruCache[str, bytes] = LruCache(10, size=len)
    cache.put("a", b"1234")
    cache.put("b", b"12345")
    assert list(cache) == ["a", "b"]
    cache.put("c", bytes(20))
    assert list(cache) == ["c"]
    cache.put("d", b"1")
    assert list(cache) == ["d"]


def test_a_value_put_again_replaces_the_old_one_and_its_size() -> None:
    dropped: list[bytes] = []
    cache: LruCache[str, bytes] = LruCache(10, size=len, on_drop=dropped.append)
    cache.put("a", bytes(8))
    cache.put("a", bytes(4))
    cache.put("b", bytes(6))
    assert (list(cache), dropped) == (["a", "b"], [bytes(8)])


def test_what_is_popped_is_not_dropped() -> None:
    dropped: list[str] = []
    cache: LruCache[int, str] = LruCache(2, on_drop=dropped.append)
    cache.put(1, "one")
    cache.put(2, "two")
    assert cache.pop(1) == "one"
    assert cache.pop(1) is None
    cache.clear()
    assert (len(cache), dropped) == (0, ["two"])
