"""Outputs that are no regular files: devices, pipes and the descriptors of this process, which are written through.

Such a file is opened and written, never replaced: ``/dev/stdout``, ``/dev/null``, a FIFO, ``>(command)`` of a shell.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import IO

from mot_dinov3.core.errors import OutputError

_STANDARD = {"stdin": 0, "stdout": 1, "stderr": 2}
_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdin|stdout|stderr)|/(?:dev|proc/self)/fd/(?P<number>\d{1,6})")


class UnseekableFile:
    """A file that is written from its start to its end: all that a muxer may ask of a pipe."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.write = file.write
        self.flush = file.flush
        self.close = file.close


def is_special(path: Path) -> bool:
    """Return whether something is there that is no regular file and no folder, or is a descriptor of this process."""
    if descriptor(path) is not None:
        return True
    mode = _mode(path)
    return mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_stdout(path: Path) -> bool:
    """Return whether a special file is where this process prints."""
    with contextlib.suppress(OSError):
        return is_special(path) and os.path.samestat(path.stat(), os.fstat(1)) and not is_null(path)
    return False


def is_null(path: Path) -> bool:
    """Return whether a file is ``/dev/null``, which any number of outputs can share."""
    with contextlib.suppress(OSError):
        return path.stat().st_rdev == Path(os.devnull).stat().st_rdev and is_special(path)
    return False


def check_special(path: Path) -> None:
    """Make sure that a special file can be written through.

    Raises:
        OutputError: It is a disk, a socket or another kind that cannot be written like a file, or may not be written.
    """
    number = descriptor(path)
    if number is not None:
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OutputError(f"output '{path}' is open for reading only", remedy="choose another output")
        return
    mode = _mode(path) or 0
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        kind = "a socket" if stat.S_ISSOCK(mode) else "a block device" if stat.S_ISBLK(mode) else "no regular file"
        raise OutputError(f"output '{path}' is {kind}, which is not written", remedy="choose another output")
    if not os.access(path, os.W_OK):
        raise OutputError(f"output '{path}' cannot be written: permission denied", remedy="choose another output")


def open_special(path: Path) -> IO[bytes]:
    """Open a special file for writing; a FIFO waits for its reader."""
    number = descriptor(path)
    if number is not None:  # the same open file: opening it again by its name would begin at its start
        return os.fdopen(os.dup(number), "wb")
    return os.fdopen(os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)), "wb")


def descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor of this process that a path names, or None."""
    found = _DESCRIPTOR.fullmatch(os.path.normpath(path.absolute()))
    if found is None:
        return None
    number = _STANDARD[found["name"]] if found["name"] else int(found["number"])
    try:
        os.fstat(number)
    except OSError:
        return None
    return number


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None
