"""Snapshots of trackers on disk, from which an interrupted pass goes on exactly as if it had not been interrupted.

A snapshot is a pickle of arrays and of this package's own classes. Only these are loaded, so that a result folder from
elsewhere runs no code; images and the descriptor backend are left out and put in again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mot_dinov3
from mot_dinov3.core import files
from mot_dinov3.core.compat import override
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.job.passes import PassTracker
from mot_dinov3.keypoints.point_flow import FlowFrame

LARGEST = 1 << 30  # bytes of an unpacked snapshot
_OWN = ("mot_dinov3.keypoints.", "mot_dinov3.core.structures.")
_NOT_OWN = ("mot_dinov3.keypoints.cutie", "mot_dinov3.keypoints.job.", "mot_dinov3.keypoints.backends.")
_LONGEST_HEADING = 1000  # bytes
_NUMPY = {"ndarray", "dtype", "_reconstruct", "_frombuffer", "scalar"}


class SnapshotError(Exception):
    """A tracker that cannot be kept, or a snapshot that cannot be used."""


@dataclasses.dataclass(frozen=True)
class SnapshotParts:
    """What a tracker needs and a snapshot leaves out.

    Attributes:
        backend: Describes canvases.
        frame: Returns a frame of the video by number.
    """

    backend: DenseBackend | None
    frame: Callable[[int], FlowFrame]


def save_snapshot(path: Path, owner: str, tracker: PassTracker, backend: DenseBackend | None) -> bool:
    """Write a tracker; return whether it can be kept: Cutie's memory cannot.

    Args:
        path: The file.
        owner: What the tracker belongs to: a later run reads it only with the same text.
        tracker: The tracker.
        backend: Its descriptor backend, which is left out.
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, backend).dump(tracker)
    except (pickle.PicklingError, SnapshotError):
        return False
    with files.replacing(path) as part:
        part.write_bytes(f"{_heading(owner)}\n".encode() + zlib.compress(buffer.getvalue(), 1))
    return True


def has_snapshot(path: Path, owner: str) -> bool:
    """Return whether a file is a snapshot of this owner that this version can use."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(_LONGEST_HEADING).decode("utf-8", "replace") == f"{_heading(owner)}\n"


def load_snapshot(path: Path, owner: str, parts: SnapshotParts) -> PassTracker | None:
    """Return the tracker of a snapshot; None where there is none of this owner that this version can use."""
    if not has_snapshot(path, owner):
        return None
    packed = path.read_bytes().partition(b"\n")[2]
    try:
        found = _Unpickler(io.BytesIO(zlib.decompressobj().decompress(packed, LARGEST)), parts).load()
    except (pickle.UnpicklingError, zlib.error, SnapshotError, EOFError, AttributeError, TypeError, ValueError):
        return None
    return found if isinstance(found, PassTracker) else None


def _heading(owner: str) -> str:
    return f"{mot_dinov3.__version__} {_code_digest()} {owner}"


@functools.cache
def _code_digest() -> str:
    """Return a digest of the trackers' code: another version of it may keep other things."""
    sources = sorted(Path(__file__).parent.parent.rglob("*.py"))
    return hashlib.sha256(b"\n".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _is_own(module_name: str) -> bool:
    return module_name.startswith(_OWN) and not module_name.startswith(_NOT_OWN)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, backend: DenseBackend | None) -> None:
        super().__init__(file, protocol=5)
        self._backend = backend

    @override
    def persistent_id(self, obj: Any) -> tuple[str, int] | None:
        if obj is self._backend and obj is not None:
            return "backend", 0
        return ("frame", obj.index) if isinstance(obj, FlowFrame) else None

    @override
    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        outside = kind.__module__.split(".")[0] not in ("builtins", "numpy") and not _is_own(kind.__module__)
        if outside and kind is not PassTracker:
            raise SnapshotError(f"{kind.__module__}.{kind.__name__} cannot be kept")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, parts: SnapshotParts) -> None:
        super().__init__(file)
        self._parts = parts

    @override
    def persistent_load(self, pid: Any) -> Any:
        kind, number = pid
        return self._parts.backend if kind == "backend" else self._parts.frame(number)

    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == PassTracker.__module__ and global_name == PassTracker.__name__:
            return PassTracker
        own = _is_own(module_name)
        numpy = module_name.split(".")[0] == "numpy" and global_name in _NUMPY
        found = super().find_class(module_name, global_name) if own or numpy else None
        if own and not isinstance(found, type):
            found = None
        if found is None:
            raise SnapshotError(f"{module_name}.{global_name} is not part of a tracker")
        return found
