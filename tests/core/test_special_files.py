"""Devices, pipes and descriptors are written through, and never replaced by a file."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mot_dinov3.core.errors import OutputError, OutputLostError
from mot_dinov3.core.files import check_output, journal_path, part_path, replacing
from mot_dinov3.core.special_files import is_null, is_special, is_stdout, open_special
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.sinks.files import JsonSink, SummarySink, TextSink

NULL = Path(os.devnull)


@pytest.fixture
def pipe(tmp_path: Path) -> tuple[Path, Callable[[], bytes]]:
    """A FIFO, and what returns all that came through it."""
    path, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()

    def received() -> bytes:
        reader.join(10)
        return got[0]

    return path, received


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "null").symlink_to(os.devnull)
    os.mkfifo(tmp_path / "pipe")
    special = {name: is_special(tmp_path / name) for name in ("file", "null", "pipe", "nothing", ".")}
    assert special == {"file": False, "null": True, "pipe": True, "nothing": False, ".": False}
    assert is_null(tmp_path / "null")
    assert not is_null(tmp_path / "pipe")
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/../dev/stdout"):
        assert is_special(Path(name))
        assert is_stdout(Path(name)) is not is_null(Path(name))
    assert not is_special(Path("/dev/fd/9999"))
    assert not is_stdout(NULL)


def test_disks_sockets_and_what_may_not_be_written_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(OutputError, match="is a socket, which is not written"):
            check_output(tmp_path / "socket")
    reading = os.open(NULL, os.O_RDONLY)
    with pytest.raises(OutputError, match="open for reading only"):
        check_output(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    if os.geteuid() != 0:
        os.mkfifo(tmp_path / "mine", 0o400)
        with pytest.raises(OutputError, match="permission denied"):
            check_output(tmp_path / "mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_block_device_is_never_written(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("this root makes no devices")
    with pytest.raises(OutputError, match="is a block device"):
        check_output(tmp_path / "disk")


def test_a_pipe_gets_what_replaces_a_file(pipe: tuple[Path, Callable[[], bytes]], tmp_path: Path) -> None:
    path, received = pipe
    check_output(path)
    with replacing(path) as part:
        assert part.parent != tmp_path
        part.write_text("whole")
    assert received() == b"whole"
    assert path.is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
    assert not part_path(path).exists()


def test_a_failed_write_gives_a_pipe_nothing(pipe: tuple[Path, Callable[[], bytes]]) -> None:
    path, received = pipe
    with pytest.raises(ValueError, match="broken"), replacing(path) as part:
        part.write_text("half")
        raise ValueError("broken")
    open_special(path).close()
    assert received() == b""


def frame(index: int) -> tuple[Frame, Detections]:
    return Frame(index, index / 10), Detections.empty()


def test_lines_go_through_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = TextSink(path, lambda frame, rows: [f"{frame.index}\n"], head=["frame\n"])
    sink.write(*frame(7))
    assert os.read(reading, 100) == b"frame\n7\n"
    sink.close()
    assert os.read(reading, 100) == b""
    os.close(reading)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_pipe_whose_reader_has_gone_is_a_lost_output(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = TextSink(path, lambda frame, rows: ["line\n"])
    os.close(reading)
    with pytest.raises(OutputLostError, match=r"pipe' could not be written: Broken pipe"):
        sink.write(*frame(0))
    sink.abort()


def test_a_document_goes_through_when_it_is_whole(pipe: tuple[Path, Callable[[], bytes]], tmp_path: Path) -> None:
    path, received = pipe
    sink = JsonSink(path, lambda index, rows: {"frame": index}, lambda: {"a": 1})
    for index in range(2):
        sink.write(*frame(index))
    assert journal_path(path).exists()
    sink.close()
    assert received() == b'{"a": 1,\n "frames": [\n  {"frame": 0},\n  {"frame": 1}\n ]}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
    assert not journal_path(path).exists()


def test_an_aborted_document_leaves_nothing_behind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    sink = JsonSink(tmp_path / "pipe", lambda index, rows: {}, dict)
    sink.abort()
    assert not journal_path(tmp_path / "pipe").exists()


def test_the_null_device_stays_one(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to(os.devnull)
    check_output(tmp_path / "null")
    SummarySink(tmp_path / "null", lambda: ["text"]).close()
    assert (tmp_path / "null").is_symlink()
    assert NULL.is_char_device()


def test_a_descriptor_is_written_where_it_stands(tmp_path: Path) -> None:
    """Opening it by its name would begin at the start of the file."""
    with (tmp_path / "log").open("wb") as log:
        log.write(b"before ")
        log.flush()
        name = Path(f"/dev/fd/{log.fileno()}")
        check_output(name)
        with replacing(name) as part:
            part.write_text("through")
        log.write(b" after")
    assert (tmp_path / "log").read_bytes() == b"before through after"
