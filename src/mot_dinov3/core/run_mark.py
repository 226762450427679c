"""Identity of a run: its options and the content of its inputs; carried by the outputs of a run that came to its end.

The mark of an output is an extended attribute of the file, or, where the file system has none, a hidden file beside it,
``.NAME.run``. It holds the run's identity and a digest of the output, so that a changed file is not taken for a result.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import OutputError, OutputLostError, UsageError
from mot_dinov3.core.files import replacing
from mot_dinov3.core.json_text import dumps, printable
from mot_dinov3.core.options import options_of

ATTRIBUTE = "user.mot_dinov3.run"
PART = 1 << 20  # bytes of a part that is read
PARTS = 64  # of a large file, spread evenly: hours of video would take minutes
INNER_PARTS = 4  # of a large file in a folder
MAX_MARK = 1 << 20  # bytes
OTHER_OUTPUT = "omit --resume to replace it, or choose another output"


def identity_of(
    config: object, version: str, *, skip: Collection[str], inputs: Mapping[str, str | Path | None]
) -> dict[str, Any]:
    """Return what identifies a run: version, options and a digest of each input, as plain JSON values by name.

    Args:
        config: The command's config.
        version: The program's version.
        skip: Options, by key, that change no result.
        inputs: Flag → file or folder; None or empty for none.
    """
    known: dict[str, Any] = {"version": version}
    for option in options_of(type(config)):
        if option.key not in skip:
            value = option.spec.shown(getattr(getattr(config, option.stage), option.key))
            known[option.flag] = printable(value) if isinstance(value, str) else value
    digests = {flag: input_digest(Path(place)) for flag, place in inputs.items() if place}
    known |= {f"the content of {flag}": digest for flag, digest in digests.items()}
    plain: dict[str, Any] = json.loads(dumps(known))
    return plain


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference between the identities of two runs; empty where there is none."""
    for name in [*now, *was]:
        if was.get(name) != now.get(name):
            return f"{name} was {brief(was.get(name))}, now it is {brief(now.get(name))}"
    return ""


def input_digest(path: Path) -> str:
    """Return `content_digest`, from memory where nothing has changed: a resumed run asks before and while it opens."""
    return _digest_once(path.absolute(), tuple(_stamps(path)))


@functools.lru_cache(maxsize=16)
def _digest_once(path: Path, stamps: tuple[tuple[int, ...], ...]) -> str:
    return content_digest(path) if stamps else ""


def _stamps(path: Path) -> Iterator[tuple[int, ...]]:
    """Yield what changes whenever one of the files of `content_digest` does; nothing where there is none."""
    with contextlib.suppress(OSError):
        for file in _files(path):
            status = file.stat()
            yield status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _files(path: Path) -> list[Path]:
    """Return a file, or a folder's files but hidden ones in order; none where there is nothing."""
    if path.is_dir():
        return sorted(inner for inner in path.rglob("*") if inner.is_file() and not inner.name.startswith("."))
    return [path] if path.is_file() else []


def content_digest(path: Path) -> str:
    """Return a digest of a file, or of a folder's files with their names; empty where there is none.

    A file of up to `PARTS` × `PART` bytes is read whole, of a larger one its size and that many parts. Hidden files in
    a folder do not count: the gallery keeps its cache in one.
    """
    digest = hashlib.sha256()
    try:
        files, is_folder = _files(path), path.is_dir()
        if not files and not is_folder:
            return ""
        for file in files:
            if is_folder:
                digest.update(f"{file.relative_to(path)}\0".encode("utf-8", "replace"))
            for part in _parts(file, INNER_PARTS if is_folder else PARTS):
                digest.update(part)
    except OSError:  # the stage that needs the input reports it
        return ""
    return digest.hexdigest()[:16]


def _parts(path: Path, count: int) -> Iterator[bytes]:
    """Yield a file's size and content: all of it, or of a larger one `count` parts from its start to its end."""
    size = path.stat().st_size
    yield f"{size}\0".encode()
    whole = size <= count * PART
    starts = range(0, size, PART) if whole else [k * (size - PART) // (count - 1) for k in range(count)]
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            yield file.read(PART)


def mark_outputs(paths: Iterable[Path], run: Mapping[str, Any]) -> None:
    """Mark the outputs that are there as complete results of a run."""
    for path in paths:
        if path.exists():
            mark = {"run": run, "content": content_digest(path)}
            _write(path, zlib.compress(json.dumps(mark).encode(), 9))


def check_outputs(paths: Sequence[Path], run: Mapping[str, Any]) -> bool:
    """Make sure that the outputs that are there are complete results of this run; return whether all are there.

    Raises:
        UsageError: One is of another run, was changed, or carries no mark; the message names the difference.
    """
    found = [_is_there(path) for path in paths]
    for path, is_there in zip(paths, found):
        if is_there and (problem := _problem(path, run)):
            raise UsageError(problem, remedy=OTHER_OUTPUT)
    return all(found)


def _is_there(path: Path) -> bool:
    """Return whether an output is there; an empty folder has been made for one."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _problem(path: Path, run: Mapping[str, Any]) -> str:
    mark = _read(path)
    if mark is None:
        return f"'{path}' is not a complete result of this command"
    if found := difference(mark["run"], run):
        return f"'{path}' belongs to another run: {found}"
    return "" if mark["content"] == content_digest(path) else f"'{path}' was changed after its run"


def _write(path: Path, mark: bytes) -> None:
    beside = _beside(path)
    try:
        os.setxattr(path, ATTRIBUTE, mark)
    except (AttributeError, OSError):  # not on this system, or not on this file system
        with contextlib.suppress(OutputError, OutputLostError), replacing(beside) as part:
            part.write_bytes(mark)
    else:
        beside.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Return the mark of an output, or None where it has none that can be read."""
    packed = b""
    with contextlib.suppress(AttributeError, OSError):
        packed = os.getxattr(path, ATTRIBUTE)
    with contextlib.suppress(OSError, ValueError, RecursionError, zlib.error):
        packed = packed or _beside(path).read_bytes()[:MAX_MARK]
        mark = json.loads(zlib.decompressobj().decompress(packed, MAX_MARK))
        if isinstance(mark, dict) and isinstance(mark.get("run"), dict) and isinstance(mark.get("content"), str):
            return mark
    return None


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.run")


def brief(value: object) -> str:
    """Return a value for a message, cut to a readable length."""
    text = "nothing" if value in (None, "") else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
