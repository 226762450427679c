"""Files: their hash; outputs, checked before any work, written under a private temporary name, renamed when complete.

No other user can read a file before it is complete, and no link in its place is followed.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mot_dinov3.core.errors import OutputError, OutputLostError
from mot_dinov3.core.options import home_path
from mot_dinov3.core.output_lock import short_lock
from mot_dinov3.core.special_files import check_special, is_special, open_special

ROOM = 13  # bytes that temporary names are longer than the output's: ``.part.earlier``
_TEMPORARY = re.compile(r"\.part(\.earlier)?(\.[^.]*)?$|\.part\.(jsonl|record)$|^\..*\.lock$")
KINDS = frozenset((
    ".7z", ".avi", ".bmp", ".bz2", ".csv", ".gif", ".gz", ".htm", ".html", ".jpeg", ".jpg", ".json", ".jsonl", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ndjson", ".npy", ".npz", ".onnx", ".parquet", ".pdf", ".png", ".pt",
    ".pth", ".tar", ".tgz", ".tif", ".tiff", ".toml", ".ts", ".tsv", ".txt", ".webm", ".webp", ".wmv", ".xls", ".xlsx",
    ".xml", ".xz", ".yaml", ".yml", ".zip", ".zst",
))  # fmt: skip
"""Extensions of well-known kinds of files."""
_SEPARATORS = (os.sep, os.altsep) if os.altsep else (os.sep,)


def cache_dir() -> Path:
    """Return the project's cache folder, which may not exist yet: under ``XDG_CACHE_HOME``, else ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification requires to ignore a relative path.
    root = Path(home) if Path(home).is_absolute() else Path("~/.cache").expanduser()
    return root / "mot-dinov3"


def natural_key(name: str) -> tuple[list[tuple[str, int]], str]:
    """Return a sort key that puts ``img2`` before ``img10``; the name itself breaks ties."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.casefold())
    return [(text, int(number or -1)) for text, number in parts], name


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_output(path: Path, *, source: str | None = None, within: Path | None = None) -> None:
    """Make sure that `path` can be written; makes its folder. Call it before models load.

    Args:
        path: The file.
        source: Input, which must not be overwritten.
        within: Folder that `path` must not leave, through links on the way to it either; made for a file whose name
            comes from somewhere else than the user's command.

    Raises:
        OutputError: It is a folder, equals `source`, leads out of its folder, has a name that is too long or that
            temporary files have, or cannot be made or written.
    """
    _check_name(path)
    if path.is_dir():
        raise OutputError(f"output '{path}' is a folder", remedy="name a file in it")
    if source and "://" not in source and path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"output '{path}' is the source itself", remedy="choose another output file")
    if is_special(path):
        check_special(path)
        return
    _check_links(path, within)
    _make_parent(path)


def output_file(text: str) -> Path:
    """Return the path of a file to be written as a user gives it; ``~`` is the home folder.

    Raises:
        OutputError: It ends like a folder: ``name/``.
    """
    if text.endswith(_SEPARATORS):
        raise OutputError(f"output '{text}' is a folder", remedy="name a file in it")
    return user_path(text)


def check_extension(path: Path, what: str, own: tuple[str, ...]) -> None:
    """Refuse a name whose extension says that the file is something else than `what`, whose extensions are `own`.

    An extension that stands for no kind of file known here is accepted, as is none.

    Raises:
        OutputError: It is that of a kind that is not written.
    """
    suffix = path.suffix.lower()
    if suffix in KINDS and suffix not in own and not is_special(path):
        raise OutputError(
            f"output '{path}': {what} cannot be written as {suffix}", remedy=f"use the extension {' or '.join(own)}"
        )


def user_path(text: str) -> Path:
    """Return the path that a user gives; ``~`` is the home folder."""
    return Path(home_path(text))


def shown_path(path: Path) -> Path:
    """Return a path as messages show it: from the working directory on, where it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _check_name(path: Path) -> None:
    """Refuse a name that the file system, or a temporary file, leaves no room for, or that stands for a stream."""
    if str(path) == "-":
        raise OutputError("output '-' is no file", remedy="give /dev/stdout for the standard output")
    if _TEMPORARY.search(path.name):
        raise OutputError(f"output '{path}' has the name of a temporary file", remedy="choose another name")
    known = path.absolute().parent
    try:
        while not known.exists():
            known = known.parent
    except OSError:
        known = Path(known.anchor)
    longest = _longest_name(known)
    limits = [*((name, longest) for name in path.parent.parts), (path.name, longest - ROOM)]
    for name, most in limits:
        if (size := len(os.fsencode(name))) > most:
            raise OutputError(
                f"the output's name '{name[:40]}…' has {size} bytes, more than the {most} that are possible here",
                remedy="choose a shorter name",
            )


def _longest_name(folder: Path) -> int:
    """Return the number of bytes that a name in a folder can have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder of output '{path}' cannot be made: {error.strerror}", remedy="choose another folder"
        ) from error
    replaced = path.exists() and not path.is_dir()
    if not os.access(path.parent, os.W_OK | os.X_OK) or (replaced and not os.access(path, os.W_OK)):
        raise OutputError(f"output '{path}' cannot be written: permission denied", remedy="choose another folder")


def _check_links(path: Path, within: Path | None) -> None:
    folder = _resolved(path.parent)
    for name in (path, part_path(path), journal_path(path)):
        if name.is_symlink() and _resolved(name).parent != folder:
            raise OutputError(
                f"output '{name}' is a link that leads out of its folder, to '{name.resolve()}'",
                remedy="remove the link, or give the path of the file itself",
            )
    if within is not None and not folder.is_relative_to(within.resolve()):
        raise OutputError(
            f"output '{path}' would be outside the folder '{within}' for '{folder}'",
            remedy="a parent folder is a link: remove it, or choose another path",
        )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # the latter before Python 3.13
        raise OutputError(f"output '{path}' is a link in a circle", remedy="remove the link") from error


def journal_path(path: Path) -> Path:
    """Return the path at which the lines of a JSON document grow during a run: ``tracked.json.part.jsonl``."""
    return _growing(path, path.name + ".part.jsonl")


def file_stamp(path: Path) -> tuple[int, ...]:
    """Return a file's size and time of change in ns; empty where there is none, which whoever opens it reports."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns


def part_path(path: Path) -> Path:
    """Return the temporary name next to `path`, with the same ending: ``tracked.part.mp4``."""
    return _growing(path, f"{path.stem}.part{path.suffix}")


def _growing(path: Path, name: str) -> Path:
    """Return where a temporary file of `path` lies: next to it, or in the system's folder for them."""
    if not is_special(path):
        return path.with_name(name)
    return Path(tempfile.gettempdir()) / f"mot-dinov3-{os.getpid()}-{name}"


def lost(path: Path, error: OSError) -> OutputLostError:
    """Return the error that says that the output `path` could not be written, and why."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some disk space, or choose another path" if full else "check that the folder still exists"
    if error.errno == errno.EPIPE:
        remedy = "the program that reads the pipe has ended"
    return OutputLostError(f"output '{path}' could not be written: {error.strerror or error}", remedy=remedy)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing `path` into `OutputLostError` that names it."""
    try:
        yield
    except OSError as error:
        raise lost(path, error) from error


def private(path: Path) -> Path:
    """Make an empty file at `path` that only its owner can read, in place of whatever is there; return `path`."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return path


def publish(part: Path, path: Path) -> None:
    """Rename a finished file, with the rights of the file it replaces, or of any new file.

    What is no regular file is not replaced: it gets the content.
    """
    if is_special(path):
        with part.open("rb") as content, open_special(path) as file:
            shutil.copyfileobj(content, file)
        part.unlink()
        return
    part.chmod(stat.S_IMODE(path.stat().st_mode) if path.is_file() else 0o666 & ~_umask())
    part.replace(path)


@functools.cache
def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it; a file made in between is private
    os.umask(mask)
    return mask


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the temporary name to write to; rename it to `path` on success, delete it on any error.

    Raises:
        OutputError: Another process writes it.
        OutputLostError: It cannot be written.
    """
    part = part_path(path)
    with writing(path), short_lock(path):
        try:
            yield private(part)
            publish(part, path)
        finally:
            part.unlink(missing_ok=True)


def check_output_folder(path: Path, *, holds: Callable[[Path], bool]) -> None:
    """Make sure that a folder can be written to `path`, in place of one that was written there before.

    `holds` tells whether a file, by its path in the folder, is one of those that are replaced with it.

    Raises:
        OutputError: There is a file of that name, or a folder with anything else in it.
    """
    _check_name(path)
    if path.name in ("", ".."):
        raise OutputError(f"output folder '{path}' cannot be replaced", remedy="name a new folder in it")
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"output '{path}' is not a folder", remedy="give a new folder")
    inside = (inner for inner in path.rglob("*") if not inner.is_dir() and not holds(inner.relative_to(path)))
    try:
        other = next(inside, None)
    except OSError as error:
        raise OutputError(f"output folder '{path}' cannot be read: {error.strerror}") from error
    if other is not None:
        raise OutputError(f"output folder '{path}' contains other files, such as '{other}'", remedy="give a new folder")
    _make_parent(path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; rename it to `path` on success, delete it on any error.

    A folder that is there already (see `check_output_folder`) goes when the new one is whole.
    """
    part, old = path.with_name(path.name + ".part"), path.with_name(path.name + ".old")
    with writing(path):
        try:
            for leftover in (part, old):
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover)
            part.mkdir(mode=0o700)
            yield part
            part.chmod(0o777 & ~_umask())
            if path.exists():
                path.rename(old)
            part.rename(path)
        finally:
            for leftover in (part, old):
                shutil.rmtree(leftover, ignore_errors=True)
