"""Complete outputs carry the identity of their run: what is changed, of another run, or not ours is told from it."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from pathlib import Path

import pytest

from mot_dinov3.core import run_mark
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.run_mark import (
    ATTRIBUTE,
    brief,
    check_outputs,
    content_digest,
    difference,
    input_digest,
    mark_outputs,
)

RUN = {"version": "1", "--conf": 0.3, "--source": "a.mp4", "the content of --source": "abc"}


@pytest.fixture(params=["attribute", "file beside it"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a mark is kept: on this file system, and on one without attributes."""
    if request.param == "attribute":
        (tmp_path / "probe").touch()
        try:
            os.setxattr(tmp_path / "probe", ATTRIBUTE, b"x")
        except OSError:
            pytest.skip("this file system has no attributes")
        (tmp_path / "probe").unlink()
    else:

        def refuse(*_: object) -> bytes:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(run_mark.os, "setxattr", refuse)
        monkeypatch.setattr(run_mark.os, "getxattr", refuse)
    return str(request.param)


def test_a_marked_output_is_known_again(tmp_path: Path, carrier: str) -> None:
    paths = [tmp_path / "a.mp4", tmp_path / "a.txt"]
    assert not check_outputs(paths, RUN), "nothing is there"
    for path in paths:
        path.write_text("result")
    before = [path.stat().st_mtime_ns for path in paths]
    mark_outputs(paths, RUN)
    assert check_outputs(paths, RUN)
    assert [path.stat().st_mtime_ns for path in paths] == before
    beside = {".a.mp4.run", ".a.txt.run"} if carrier == "file beside it" else set()
    assert {p.name for p in tmp_path.iterdir()} == {"a.mp4", "a.txt", *beside}
    paths[1].unlink()
    assert not check_outputs(paths, RUN)


def test_what_is_not_a_result_of_this_run_is_refused(tmp_path: Path, carrier: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("result")
    with pytest.raises(UsageError, match=r"a\.txt' is not a complete result of this command") as caught:
        check_outputs([path], RUN)
    assert caught.value.remedy == "omit --resume to replace it, or choose another output"
    mark_outputs([path], RUN)
    with pytest.raises(UsageError, match=r"a\.txt' belongs to another run: --conf was 0.3, now it is 0.5"):
        check_outputs([path], {**RUN, "--conf": 0.5})
    path.write_text("changed in its place")  # the attribute stays
    with pytest.raises(UsageError, match=r"a\.txt' was changed after its run"):
        check_outputs([path], RUN)
    path.unlink()
    path.write_text("another file")
    with pytest.raises(UsageError, match=r"is not a complete result|was changed"):
        check_outputs([path], RUN)


def test_a_folder_is_marked_with_what_is_in_it(tmp_path: Path, carrier: str) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    assert not check_outputs([folder], RUN), "an empty one has only been made"
    (folder / "0.jpg").write_text("frame")
    mark_outputs([folder], RUN)
    assert check_outputs([folder], RUN)
    (folder / "1.jpg").write_text("frame")
    with pytest.raises(UsageError, match="was changed"):
        check_outputs([folder], RUN)


def test_a_mark_that_holds_nonsense_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    bomb = zlib.compress(b" " * (1 << 25))
    for content in (b"", b"x", zlib.compress(b"[]"), zlib.compress(b'{"run": 1, "content": ""}'), bomb):
        (tmp_path / ".a.txt.run").write_bytes(content)
        with pytest.raises(UsageError, match="is not a complete result"):
            check_outputs([path], RUN)


def test_a_run_with_many_options_fits_into_an_attribute(tmp_path: Path) -> None:
    from mot_dinov3.pipeline.config import track_config
    from mot_dinov3.pipeline.run_identity import identity

    config = track_config({"source": "/media/footage/2026/a long name of a recording.mp4", "save_mot": "t.txt"})
    path = tmp_path / "t.txt"
    path.touch()
    mark_outputs([path], identity(config))
    assert check_outputs([path], identity(config))
    assert len(zlib.compress(str(identity(config)).encode())) < 2500, "ext4 holds some 4,000 bytes"


def test_the_first_difference_is_named() -> None:
    assert difference(RUN, RUN) == ""
    assert difference(RUN, {**RUN, "--new": True}) == "--new was nothing, now it is True"
    assert difference(RUN, {}) == "version was 1, now it is nothing"
    long = difference(RUN, {**RUN, "--source": "x" * 500})
    assert long.startswith("--source was a.mp4, now it is xxx")
    assert len(long) < 120


def test_a_digest_follows_the_content_not_the_name_or_the_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x" * 1000)
    shutil.copy(first, second)
    os.utime(second, (1, 1))
    assert content_digest(first) == content_digest(second) != ""
    second.write_bytes(b"x" * 500 + b"y" + b"x" * 499)
    assert content_digest(first) != content_digest(second)
    assert content_digest(tmp_path / "nothing") == ""


def test_inputs_are_read_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counted(path: Path) -> str:
        reads.append(path)
        return content_digest(path)

    monkeypatch.setattr("mot_dinov3.core.run_mark.content_digest", counted)
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a").write_text("one")
    video = tmp_path / "v.mp4"
    video.write_text("one")
    before = [input_digest(path) for path in (folder, video, folder, video)]
    assert (before[:2], len(reads)) == (before[2:], 2)
    for path in (folder / "a", video):  # another file of the same name, size and age
        old = path.stat()
        (tmp_path / "new").write_text("two")
        os.utime(tmp_path / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
        (tmp_path / "new").replace(path)
    after = [input_digest(path) for path in (folder, video)]
    assert (len(reads), set(before) & set(after)) == (4, set())
    assert input_digest(tmp_path / "nothing") == ""


def test_a_large_file_is_known_by_its_size_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_mark, "PART", 100)
    path = tmp_path / "a"
    size = 100 * run_mark.PARTS
    digests = []
    for changed in (None, 0, 50, size // 2, size - 1, *range(5, size, 431)):
        content = bytearray(size)
        if changed is not None:
            content[changed] = 1
        path.write_bytes(content)
        digests.append(content_digest(path))
    assert len(set(digests)) == len(digests), "up to here, all of it is read"
    path.write_bytes(bytes(20 * size))
    whole = content_digest(path)
    for changed in (0, 99, 20 * size - 1):
        with path.open("r+b") as file:
            file.seek(changed)
            file.write(b"\1")
        assert content_digest(path) != whole
        path.write_bytes(bytes(20 * size))
    path.write_bytes(bytes(20 * size + 1))
    assert content_digest(path) != whole


def test_a_folder_of_images_is_known_by_their_content(tmp_path: Path) -> None:
    """Images without compression have one size, whatever they show."""
    folder = tmp_path / "frames"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.bmp", "b.bmp", "inner/c.bmp"):
        (folder / name).write_bytes(b"\0" * 100)
    digest = content_digest(folder)
    (folder / ".cache").write_bytes(b"hidden files do not count")
    assert content_digest(folder) == digest
    (folder / "b.bmp").write_bytes(b"\0" * 50 + b"\1" + b"\0" * 49)
    assert content_digest(folder) != digest
    (folder / "b.bmp").write_bytes(b"\0" * 100)
    assert content_digest(folder) == digest
    (folder / "b.bmp").rename(folder / "d.bmp")
    assert content_digest(folder) != digest


def test_an_empty_value_is_nothing() -> None:
    assert [brief(value) for value in (None, "", 0, "x" * 61)] == ["nothing", "nothing", "0", "x" * 57 + "..."]
