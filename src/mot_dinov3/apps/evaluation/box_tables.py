"""Ground truth and tracks as tables, read from files of all formats that have tracks."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.core.boxes import to_xywh
from mot_dinov3.core.class_filter import parse_classes
from mot_dinov3.core.errors import FormatError, InputError, UsageError
from mot_dinov3.core.structures import BoolArray, Detections, Float64Array, IntArray
from mot_dinov3.formats import format_registry, motchallenge, track_v1
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.formats.seqinfo import sequence_info

logger = logging.getLogger(__name__)

CLASS_NAMES = dict(
    enumerate(
        (
            "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non-motor vehicle", "static person",
            "distractor", "occluder", "occluder on the ground", "full occluder", "reflection", "crowd",
        ),
        start=1,
    )
)  # fmt: skip
"""MOTChallenge's classes (MOT16 and later)."""
CLASSES = len(CLASS_NAMES)
_SUFFIXES = ("csv", "json", "xml", "txt")  # of files in folders; the last one takes precedence


@dataclasses.dataclass(frozen=True)
class BoxTable:
    """Identified boxes of a whole sequence, one row a box, in any order.

    Attributes:
        frame: ``(n,)`` int64 0-based frame of each box.
        track_id: ``(n,)`` int64; unique within a frame.
        xywh: ``(n, 4)`` float64 top-left corner and size in pixels.
        counted: ``(n,)`` bool: False for a row of ground truth that is ignored.
        class_id: ``(n,)`` int64 class of MOT17's numbering, or None for tracks and for ground truth without
            classes (MOT15); with `evaluated`, the file's own numbering.
        evaluated: The classes that count, where the user chose them; None for MOTChallenge's rules.
        names: Class → name.
        fps: Frame rate of the video; 0 where the file does not give it.
    """

    frame: IntArray
    track_id: IntArray
    xywh: Float64Array
    counted: BoolArray
    class_id: IntArray | None = None
    evaluated: tuple[int, ...] | None = None
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    fps: float = 0.0

    def __len__(self) -> int:
        return len(self.frame)

    def between(self, start: int, end: int | None) -> BoxTable:
        """Return the boxes of the frames from `start` on, before `end`."""
        rows = (self.frame >= start) & (self.frame < (np.inf if end is None else end))
        columns = {name: getattr(self, name)[rows] for name in ("frame", "track_id", "xywh", "counted")}
        class_id = None if self.class_id is None else self.class_id[rows]
        return dataclasses.replace(self, **columns, class_id=class_id)


@dataclasses.dataclass(frozen=True)
class SequencePair:
    """Ground truth and tracks of one sequence."""

    name: str
    truth: BoxTable
    tracks: BoxTable

    @property
    def fps(self) -> float:
        """Frame rate of the video; 0 where neither file gives it."""
        return self.truth.fps or self.tracks.fps


def load_pairs(
    truth: Sequence[Path], tracks: Sequence[Path], *, classes: str = "", strict: bool = False
) -> list[SequencePair]:
    """Read ground-truth and track files: pairs in order, or one folder each whose sequences are matched by name.

    The ground truth of a sequence is ``<sequence>.txt`` or ``<sequence>/gt/gt.txt``; its tracks are ``<sequence>.txt``.
    Instead of ``.txt`` (MOTChallenge) both may end in ``.json`` (track-v1, COCO), ``.xml`` (CVAT) or ``.csv``. With
    `strict` a row that cannot be used is an error. `classes` are ids or names of the ground truth's classes that
    count, or ``all``, in place of MOTChallenge's rules.

    Raises:
        UsageError: The numbers of files differ, or files and folders are mixed, or no ground truth has such a class.
        InputError: A file is missing, or a sequence of the ground truth has no tracks.
        FormatError: A file violates its format; the message names the line or record.
    """
    if len(truth) == len(tracks) == 1 and truth[0].is_dir() and tracks[0].is_dir():
        files = _match_folders(truth[0], tracks[0])
    elif any(path.is_dir() for path in [*truth, *tracks]):
        raise UsageError("ground truth and tracks must both be files, or one folder each")
    elif len(truth) != len(tracks):
        raise UsageError(
            f"{len(truth)} ground truth files but {len(tracks)} track files",
            remedy="give them in pairs: --gt A_gt.txt B_gt.txt --tracks A.txt B.txt",
        )
    else:
        files = dict(zip(_names(truth), zip(truth, tracks)))
    rules = not classes.strip()
    pairs = [
        SequencePair(name, read_truth(a, strict=strict, rules=rules), read_tracks(b, strict=strict))
        for name, (a, b) in files.items()
    ]
    return pairs if rules else _choose(pairs, classes)


def _choose(pairs: Sequence[SequencePair], classes: str) -> list[SequencePair]:
    """Return the pairs with the classes that count; a class that one of them lacks may be in another."""
    present: dict[int, str] = {}
    for pair in pairs:
        ids = () if pair.truth.class_id is None else np.unique(pair.truth.class_id).tolist()
        present |= {number: pair.truth.names.get(number, str(number)) for number in ids}
    everything = classes.strip().casefold() == "all"
    chosen = tuple(sorted(present)) if everything else parse_classes(classes, present) or ()
    return [dataclasses.replace(pair, truth=dataclasses.replace(pair.truth, evaluated=chosen)) for pair in pairs]


def _match_folders(truth: Path, tracks: Path) -> dict[str, tuple[Path, Path]]:
    found = {path.parents[1].name: path for path in truth.glob("*/gt/gt.txt")}
    found |= {path.stem: path for suffix in _SUFFIXES for path in truth.glob(f"*.{suffix}")}
    if not found:
        raise InputError(
            f"no ground truth in folder '{truth}'", remedy="it must contain <sequence>.txt or <sequence>/gt/gt.txt"
        )
    results = {path.stem: path for suffix in _SUFFIXES for path in tracks.glob(f"*.{suffix}")}
    missing = sorted(found.keys() - results.keys())
    if missing:
        raise InputError(f"no tracks in folder '{tracks}' for {', '.join(missing)}", remedy="name them <sequence>.txt")
    for name in sorted(results.keys() - found.keys()):
        logger.warning("'%s' is not scored: there is no ground truth with this name", results[name])
    return {name: (found[name], results[name]) for name in sorted(found)}


def _names(truth: Sequence[Path]) -> list[str]:
    """Return a name per ground-truth file: the sequence's folder or the file's own; numbered where names repeat."""
    names: list[str] = []
    for path in truth:
        folders = path.resolve().parts[:-1]
        name = path.stem
        if name == "gt" and folders:
            name = folders[-2] if folders[-1] == "gt" and len(folders) > 1 else folders[-1]
        copies = sum(n == name or n.startswith(f"{name}#") for n in names)
        names.append(f"{name}#{copies + 1}" if copies else name)
    return names


def read_truth(path: Path, *, strict: bool = False, rules: bool = True) -> BoxTable:
    """Read ground truth: MOTChallenge text, whose class column (MOT16 and later) is kept, or any format with tracks.

    Of the others, boxes with a score of 0 are ignored: `convert` writes MOTChallenge's ignored boxes so. Without
    MOTChallenge's `rules`, every format keeps its own classes.

    Raises:
        FormatError: It violates its format, or has a class that is not one of MOTChallenge.
    """
    name = format_registry.detect_format(path)
    if name != "motchallenge":
        table = _read_other(path, name, strict=strict)
        return dataclasses.replace(table, class_id=None) if rules else table
    rows = motchallenge.read_tracks(path, strict=strict, sized=False)
    _tell(rows.notices)
    has_classes = bool(np.any(rows.class_id > 0)) or not rules
    unknown = np.flatnonzero((rows.class_id < 1) | (rows.class_id > CLASSES))
    if has_classes and rules and len(unknown):
        row = unknown[0]
        raise FormatError(
            f"'{path}', frame {rows.frame[row] + 1}, id {rows.track_id[row]}: class {rows.class_id[row]} is unknown",
            remedy=f"MOTChallenge's classes are 1 (pedestrian) to {CLASSES}; for classes of another numbering, name "
            "those to evaluate: --eval-classes 0,2 (or all)",
        )
    class_id = rows.class_id if has_classes else None
    return dataclasses.replace(
        _table(rows), counted=rows.value != 0, class_id=class_id, names=motchallenge.labels_beside(path) or CLASS_NAMES
    )


def _table(rows: motchallenge.TrackTable) -> BoxTable:
    """Return the rows of MOTChallenge text, which all count, with the frame rate of the sequence's seqinfo.ini."""
    video, is_known = sequence_info(Path(rows.path))
    counted = np.ones(len(rows), np.bool_)
    return BoxTable(rows.frame, rows.track_id, rows.xywh, counted, fps=video.fps if is_known else 0.0)


def read_tracks(path: Path, *, strict: bool = False) -> BoxTable:
    """Read tracks in any format that has them; an empty file has none.

    Of track-v1, the smoothed boxes are used where the file has them.

    Raises:
        FormatError: It violates its format; the message names the line or record.
    """
    if path.is_file() and path.stat().st_size == 0:  # the file of a run without tracks
        logger.warning("'%s' is empty: scored as a result without tracks", path)
        return as_table({}, path)
    name = format_registry.detect_format(path)
    if name != "motchallenge":
        table = _read_other(path, name, strict=strict)
        return dataclasses.replace(table, counted=np.ones(len(table), np.bool_), class_id=None)
    rows = motchallenge.read_tracks(path, strict=strict, sized=False)
    _tell(rows.notices)
    return _table(rows)


def _tell(notices: Iterable[str]) -> None:
    for notice in notices:
        logger.warning("%s", notice)


def _read_other(path: Path, name: str, *, strict: bool) -> BoxTable:
    """Read tracks that are not MOTChallenge text; rows with a score above 0 count."""
    if name == "det-v1":
        recorded = track_v1.read_track_v1(path, strict=strict)
    else:
        recorded = format_registry.read_any(path, ReadOptions(strict=strict), name=name)
    _tell(recorded.notices)
    frames = recorded.frames
    table = as_table(frames, path)
    if not len(table) and any(map(len, frames.values())):
        raise FormatError(f"'{path}' has boxes, but none belongs to a track", remedy="give tracks, not detections")
    scores = [rows.score[rows.track_id >= 0] for rows in frames.values()]
    classes = [rows.class_id[rows.track_id >= 0] for rows in frames.values()]
    return dataclasses.replace(
        table,
        counted=np.concatenate([np.zeros(0), *scores]) > 0,
        class_id=np.concatenate([np.zeros(0, np.int64), *classes]),
        names=recorded.names,
        fps=recorded.video.fps if recorded.fps_known else 0.0,
    )


def as_table(frames: Mapping[int, Detections], path: Path | str = "tracks") -> BoxTable:
    """Return the rows that have an identity, of detections by frame; with the smoothed boxes where there are any.

    Raises:
        FormatError: An identity occurs twice in a frame; the message names `path`.
    """
    kept = {index: rows[rows.track_id >= 0] for index, rows in frames.items()}
    for index, rows in kept.items():
        ids, times = np.unique(rows.track_id, return_counts=True)
        if (times > 1).any():
            raise FormatError(f"'{path}', frame {index}: track_id {ids[times > 1][0]} occurs twice")
    frame = np.repeat(np.array(list(kept), np.int64), [len(rows) for rows in kept.values()])
    boxes = [rows.xyxy if rows.track_xyxy is None else rows.track_xyxy for rows in kept.values()]
    corners = np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float64)
    track_id = np.concatenate([np.zeros(0, np.int64), *(rows.track_id for rows in kept.values())])
    return BoxTable(frame, track_id, to_xywh(corners), np.ones(len(frame), np.bool_))
