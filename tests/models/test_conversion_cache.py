"""Converted networks on disk: whole or not there."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from mot_dinov3.models.conversion_cache import ConversionCache, content_hash


def write(path: Path) -> None:
    """Write a network of 3000 bytes."""
    path.write_text("<net/>")
    path.with_suffix(".bin").write_bytes(b"w" * 3000)


@pytest.fixture
def cache(tmp_path: Path) -> ConversionCache:
    return ConversionCache(tmp_path / "networks")


def test_what_is_kept_is_found_with_its_facts_and_checks(cache: ConversionCache) -> None:
    assert cache.find("a") is None
    entry = cache.keep("a", write, {"size": [4, 2]})
    cache.record_check(entry, "bf16", {"passed": False, "figure": "0.5"})
    found = cache.find("a")
    assert found is not None
    assert found.facts == {"size": [4, 2]}
    assert found.checks == {"bf16": {"passed": False, "figure": "0.5"}}
    assert found.network.read_text() == "<net/>"
    assert [path.name for path in cache.folder.iterdir()] == ["a"]


@pytest.mark.parametrize("file", ["network.xml", "network.bin", "entry.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "garbage"])
def test_a_broken_entry_is_none_and_is_made_anew(cache: ConversionCache, file: str, damage: str) -> None:
    path = cache.keep("a", write, {}).folder / file
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == "cut" else b"\xff\x00[1]")
    assert cache.find("a") is None
    assert not (cache.folder / "a").exists()
    cache.keep("a", write, {})
    assert cache.find("a") is not None


def test_nothing_is_left_of_a_write_that_fails(cache: ConversionCache) -> None:
    def full(path: Path) -> None:
        path.write_text("<ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        cache.keep("a", full, {})
    assert list(cache.folder.iterdir()) == []


def test_a_run_that_was_faster_wins(cache: ConversionCache) -> None:
    def slow(path: Path) -> None:
        cache.keep("a", write, {"by": "the other"})
        write(path)

    cache.keep("a", slow, {"by": "this one"})
    found = cache.find("a")
    assert found is not None
    assert found.facts == {"by": "the other"}
    assert [path.name for path in cache.folder.iterdir()] == ["a"]


def test_the_longest_unused_go_when_there_is_too_much(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path, limit=8000)  # two entries fit, three do not
    for number, key in enumerate("ab"):
        folder = cache.keep(key, write, {}).folder
        os.utime(folder, (number, number))
    assert cache.find("a") is not None  # used just now
    cache.keep("c", write, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_the_hash_is_of_contents_in_order(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (tmp_path / name for name in "abc")
    assert content_hash([a, b]) == content_hash([c, b])
    assert len({content_hash(files) for files in ([a], [b], [a, b], [b, a])}) == 4


def test_a_manifest_of_another_shape_is_broken(cache: ConversionCache) -> None:
    (cache.keep("a", write, {}).folder / "entry.json").write_text(json.dumps([1]))
    assert cache.find("a") is None
