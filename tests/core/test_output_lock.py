"""Of two runs that write the same output, one is refused; a lock ends with its process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mot_dinov3.core import output_lock
from mot_dinov3.core.errors import OutputError
from mot_dinov3.core.files import replacing
from mot_dinov3.core.output_lock import OutputLocks, lock_path, short_lock

HOLD = """
import sys, time
from pathlib import Path
from mot_dinov3.core.output_lock import OutputLocks
locks = OutputLocks(map(Path, sys.argv[1:]))
print("locked", flush=True)
sys.stdin.read()
"""
COUNT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from mot_dinov3.core.output_lock import short_lock
counter = Path(sys.argv[1])
for _ in range(50):
    with short_lock(counter):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def holder(*paths: Path) -> subprocess.Popen[str]:
    """A process that holds the locks of some outputs until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, paths)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_the_second_run_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with holder(path) as first:
        with pytest.raises(OutputError) as caught:
            OutputLocks([tmp_path / "b.json", path])
        assert re.fullmatch(
            rf"another run is writing '{re.escape(str(path))}': process {first.pid}, started \d{{4}}-\d\d-\d\dT[\d:]+Z",
            caught.value.message,
        )
        assert caught.value.exit_code == 2
        assert names(tmp_path) == [".a.mp4.lock"], "nothing of the refused run stays locked"
        with OutputLocks([tmp_path / "b.json"]):
            pass
        first.communicate()
    with OutputLocks([path]):
        pass
    assert names(tmp_path) == []


def test_a_lock_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with holder(path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert names(tmp_path) == [".a.mp4.lock"]
    with OutputLocks([path]):
        assert json.loads(lock_path(path).read_text())["pid"] == os.getpid()
    assert names(tmp_path) == []


def test_one_place_has_one_lock_whatever_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with OutputLocks([tmp_path / "real" / "a.txt"]):
        for other in (tmp_path / "link" / "a.txt", tmp_path / "real" / ".." / "link" / "a.txt"):
            with pytest.raises(OutputError, match="another run is writing"):
                OutputLocks([other])


def test_a_folder_is_locked_beside_it(tmp_path: Path) -> None:
    with OutputLocks([tmp_path / "labels"]):
        assert names(tmp_path) == [".labels.lock"]
        with pytest.raises(OutputError):
            OutputLocks([tmp_path / "labels"])


def test_pipes_and_devices_are_not_locked(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with OutputLocks([tmp_path / "pipe", Path(os.devnull)]), OutputLocks([tmp_path / "pipe", Path(os.devnull)]):
        assert names(tmp_path) == ["pipe"]


def test_only_the_owner_reads_a_lock(tmp_path: Path) -> None:
    with OutputLocks([tmp_path / "a"]):
        assert stat.S_IMODE(lock_path(tmp_path / "a").stat().st_mode) == 0o600


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("untouched")
    lock_path(tmp_path / "a").symlink_to("precious")
    with pytest.raises(OutputError, match=r"the lock of output '.*' is a link") as caught:
        OutputLocks([tmp_path / "a"])
    assert "remove this file" in caught.value.remedy
    assert (tmp_path / "precious").read_text() == "untouched"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads the files of all users")
def test_a_lock_of_another_user_is_told(tmp_path: Path) -> None:
    lock_path(tmp_path / "a").touch(mode=0)
    with pytest.raises(OutputError, match="locked by a run of another user"):
        OutputLocks([tmp_path / "a"])


def test_a_note_that_says_nothing_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for text in ("", "{", "[]", '{"pid": "x"}'):
        with lock_path(path).open("w") as other:
            other.write(text)
            other.flush()
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(OutputError, match=r"another run is writing '.*/a'$"):
                OutputLocks([path])
    with OutputLocks([path]):
        pass


def test_a_lock_that_is_let_go_of_ends(tmp_path: Path) -> None:
    locks = OutputLocks([tmp_path / "a"])
    del locks
    assert names(tmp_path) == []
    again = OutputLocks([tmp_path / "a"])
    again.release()
    again.release()
    assert names(tmp_path) == []


def test_a_forked_process_does_not_end_the_locks_of_its_parent(tmp_path: Path) -> None:
    with OutputLocks([tmp_path / "a"]) as locks:
        if (child := os.fork()) == 0:
            locks.release()
            os._exit(0)
        os.waitpid(child, 0)
        assert names(tmp_path) == [".a.lock"]
        with pytest.raises(OutputError):
            OutputLocks([tmp_path / "a"])


def test_without_locks_of_the_file_system_a_run_is_not_stopped(tmp_path: Path, monkeypatch, caplog) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(output_lock.fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), OutputLocks([tmp_path / "a"]):
        assert "has no locks" in caplog.text
    assert names(tmp_path) == []


def test_short_writes_wait_for_each_other_in_any_number_of_processes(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    running = [subprocess.Popen([sys.executable, "-c", COUNT, str(counter)]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert counter.read_text() == "150"
    assert names(tmp_path) == ["counter"]


def test_short_writes_of_threads_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write(text: str) -> None:
        for _ in range(20):
            with replacing(path) as part:
                part.write_text(text)

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(write, [letter * 1000 for letter in "abc"])) == [None] * 3
    assert len(set(path.read_text())) == 1
    assert names(tmp_path) == ["a.txt"]


def test_a_run_writes_what_it_has_locked_without_waiting(tmp_path: Path) -> None:
    with OutputLocks([tmp_path / "a.txt", tmp_path / "frames"]):
        (tmp_path / "frames").mkdir()
        for path in (tmp_path / "a.txt", tmp_path / "frames" / "0.jpg"):
            with replacing(path) as part:
                part.touch()
        assert names(tmp_path / "frames") == ["0.jpg"]


def test_a_short_write_is_refused_where_a_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_lock, "PATIENCE_S", 0.05)
    path = tmp_path / "a.txt"
    with holder(path) as first:
        with pytest.raises(OutputError, match=f"process {first.pid}"), short_lock(path):
            raise AssertionError
        with pytest.raises(OutputError), replacing(path):
            raise AssertionError
        first.communicate()
