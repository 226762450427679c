"""Files we write: checked before any work, written under a temporary name, renamed when whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mot_dinov3.errors import OutputError, OutputLostError


def check_output(path: Path, *, source: str | None = None) -> None:
    """Make sure that `path` can be written; makes its folder. Call it before models load.

    Raises:
        OutputError: It is a folder, equals `source`, or its folder cannot be made or written.
    """
    if path.is_dir():
        raise OutputError(f"output '{path}' is a folder", remedy="name a file in it")
    if source and "://" not in source and path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"output '{path}' is the source itself", remedy="choose another output file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder of output '{path}' cannot be made: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"output '{path}' cannot be written: permission denied", remedy="choose another folder")


def part_path(path: Path) -> Path:
    """Return the temporary name beside `path`, with the same ending: ``tracked.part.mp4``."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing `path` into `OutputLostError` that names it."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OutputLostError(
            f"output '{path}' could not be written: {error.strerror or error}",
            remedy="free some disk space, or choose another place" if full else "check that the folder still exists",
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the temporary name to write to; rename it to `path` on success, delete it on any error."""
    part = part_path(path)
    with writing(path):
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
