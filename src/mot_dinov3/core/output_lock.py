"""Exclusive locks of outputs: of two runs that write the same file, the second one is refused.

A lock is the operating system's, on a hidden file beside the output, ``.NAME.lock``, which names the run. It ends with
its process, however that ends; the file goes with it, or is taken over where the process was killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from mot_dinov3.core.errors import OutputError
from mot_dinov3.core.special_files import is_special

PATIENCE_S = 5.0  # that a short write waits for another one
POLL_S = 0.02
STARTED = "%Y-%m-%dT%H:%M:%SZ"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_MAX_NOTE = 4096  # bytes

_held: set[str] = set()  # places that runs of this process have locked

log = logging.getLogger(__name__)


class OutputLocks:
    """Locks of the outputs of a run, from before anything opens until everything is closed.

    Pipes and devices are not locked. A folder's lock stands for everything in it.

    Args:
        paths: Files or folders to be written; their parent folders exist.

    Raises:
        OutputError: Another run writes one of them; the message names its process and when it began.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        taken: list[tuple[int, Path, str]] = []
        self.release = weakref.finalize(self, _release, os.getpid(), taken)
        try:
            for path in sorted(set(paths)):
                if not is_special(path):
                    taken.append((_acquire(path), lock_path(path), _place(path)))
                    _held.add(taken[-1][2])
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> OutputLocks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextlib.contextmanager
def short_lock(path: Path) -> Iterator[None]:
    """Lock an output for a moment, unless a run of this process holds it already; wait where another one writes it.

    Raises:
        OutputError: The other one takes longer than `PATIENCE_S`.
    """
    if is_special(path) or not _held.isdisjoint((_place(path), _place(path.parent))):
        yield
        return
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            descriptor = _acquire(path)
            break
        except OutputError:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_S)
    try:
        yield
    finally:
        _end(descriptor, lock_path(path))


def lock_path(path: Path) -> Path:
    """Return the file on which the lock of an output lies."""
    return path.with_name(f".{path.name}.lock")


def _place(path: Path) -> str:
    """Return what identifies the place of an output in this process, whatever leads to it."""
    return str(path.parent.resolve() / path.name)


def _acquire(path: Path) -> int:
    """Return the descriptor of an output's lock file, locked."""
    place = lock_path(path)
    while True:
        descriptor = _open(path, place)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                refused = _refused(path, descriptor)
                os.close(descriptor)
                raise refused from error
            log.warning("'%s': this file system has no locks, so a second run that writes it is not detected", path)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), place.lstat()):
                break
        os.close(descriptor)  # its run has ended in between, and the file is gone with it
    note = {"pid": os.getpid(), "host": socket.gethostname(), "started": time.strftime(STARTED, time.gmtime())}
    with contextlib.suppress(OSError):  # a full disk, which the run reports
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note).encode(), 0)
    return descriptor


def _open(path: Path, place: Path) -> int:
    """Open the lock file; a link in its place is not followed, and only its owner can read it."""
    try:
        return os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            problem = f"the lock of output '{path}' is a link: '{place}'"
        elif error.errno == errno.EACCES and place.exists():
            problem = f"output '{path}' is locked by a run of another user: '{place}'"
        else:
            raise OutputError(f"output '{path}' cannot be locked: {error.strerror}") from error
        raise OutputError(problem, remedy="remove this file if no run writes the output") from error


def _refused(path: Path, descriptor: int) -> OutputError:
    """Return the error that names the run that holds a lock."""
    who = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(os.pread(descriptor, _MAX_NOTE, 0))
        here = note["host"] == socket.gethostname()
        where = "" if here else f" on {note['host']}"
        who = f": process {int(note['pid'])}{where}, started {note['started']}"
    return OutputError(
        f"another run is writing '{path}'{who}", remedy="wait until it has finished, or choose another output"
    )


def _release(pid: int, taken: list[tuple[int, Path, str]]) -> None:
    if os.getpid() != pid:  # a forked process; the locks are its parent's
        return
    while taken:
        descriptor, place, held = taken.pop()
        _held.discard(held)
        _end(descriptor, place)


def _end(descriptor: int, place: Path) -> None:
    """Delete a lock's file, then end the lock: whoever waits for it finds that its file is gone."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(descriptor), place.lstat()):
            place.unlink()
    os.close(descriptor)
