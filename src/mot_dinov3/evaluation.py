"""Scores of tracking results against truth: HOTA, CLEAR and identity metrics.

The metrics are those of the `trackeval` package (HOTA: Luiten et al., IJCV 2021; CLEAR: Bernardin and Stiefelhagen,
2008; identity: Ristani et al., 2016). This module prepares their input in memory and applies the rules of the
MOTChallenge truth files, which differ by year:

- MOT15: rows whose column 7 is 0 are no truth; a box of the tracker on such a row is a false one.
- MOT16, MOT17, MOT20 name a class in column 8. Only pedestrians (1) whose column 7 is not 0 count. Before scoring, each
  frame's tracker boxes are matched with *all* truth rows (IoU ≥ 0.5, most overlap in total), and those that fall to a
  distractor (person on a vehicle, static person, distractor, reflection; in MOT20 also non-motor vehicles) are taken
  away: neither right nor wrong.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.errors import FormatError, InputError, UsageError
from mot_dinov3.formats import exchange, motchallenge, track_v1
from mot_dinov3.structures import BoolArray, Detections, IntArray

logger = logging.getLogger(__name__)

COMBINED = "COMBINED"
CLASSES = 13
PEDESTRIAN = 1
DISTRACTORS = (2, 7, 8, 12)  # person on a vehicle, static person, distractor, reflection
MOT20_DISTRACTORS = (*DISTRACTORS, 6)  # non-motor vehicle
MATCH_IOU = 0.5
_ENDINGS = ("csv", "json", "xml", "txt")  # of files in folders; the last one wins

Float64Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class BoxTable:
    """Identified boxes of a whole sequence, one row a box, in any order.

    Attributes:
        frame: ``(n,)`` int64 0-based frame of each box.
        track_id: ``(n,)`` int64; unique within a frame.
        xywh: ``(n, 4)`` float64 top-left corner and size in pixels.
        counted: ``(n,)`` bool: False for a row of truth that is to be ignored.
        class_id: ``(n,)`` int64 class of MOT17's numbering, or None where the truth has no classes (MOT15) and for
            tracks.
    """

    frame: IntArray
    track_id: IntArray
    xywh: Float64Array
    counted: BoolArray
    class_id: IntArray | None = None

    def __len__(self) -> int:
        return len(self.frame)


@dataclasses.dataclass(frozen=True)
class SequencePair:
    """The truth of one sequence and the tracks to be judged by it."""

    name: str
    truth: BoxTable
    tracks: BoxTable


@dataclasses.dataclass(frozen=True)
class Scores:
    """What the tracks of one sequence, or of all together, are worth.

    Attributes:
        hota: Percent, mean over the localisation thresholds 0.05, 0.10 … 0.95, as are `deta` and `assa`.
        deta: Percent, detection part of HOTA.
        assa: Percent, association part of HOTA.
        mota: Percent, at IoU 0.5; negative where there are more errors than truth boxes.
        idf1: Percent, at IoU 0.5.
        switches: How often a true object changed its track.
        fragmentations: How often a true object was found again after it had been missed.
    """

    hota: float
    deta: float
    assa: float
    mota: float
    idf1: float
    switches: int
    fragmentations: int


def score(pairs: Sequence[SequencePair]) -> Mapping[str, Scores]:
    """Return the scores of every sequence by name, in order, and of all together under ``COMBINED``.

    Raises:
        UsageError: There is no pair, or two have the same name.
    """
    from trackeval.metrics import CLEAR, HOTA, Identity

    names = [pair.name for pair in pairs]
    if not names or len(set(names)) < len(names) or COMBINED in names:
        raise UsageError(f"sequences to score need one name each, other than {COMBINED}; got {names}")
    quiet = {"PRINT_CONFIG": False}
    metrics = {"HOTA": HOTA(), "CLEAR": CLEAR(quiet), "Identity": Identity(quiet)}
    prepared = {pair.name: _metric_input(pair) for pair in pairs}
    raw = {key: {name: m.eval_sequence(data) for name, data in prepared.items()} for key, m in metrics.items()}
    for key, metric in metrics.items():
        raw[key][COMBINED] = metric.combine_sequences(dict(raw[key]))
    return {name: _scores(raw["HOTA"][name], raw["CLEAR"][name], raw["Identity"][name]) for name in [*names, COMBINED]}


def _scores(hota: Mapping[str, Any], clear: Mapping[str, Any], identity: Mapping[str, Any]) -> Scores:
    return Scores(
        hota=100 * float(np.mean(hota["HOTA"])),
        deta=100 * float(np.mean(hota["DetA"])),
        assa=100 * float(np.mean(hota["AssA"])),
        mota=100 * float(clear["MOTA"]),
        idf1=100 * float(identity["IDF1"]),
        switches=int(clear["IDSW"]),
        fragmentations=int(clear["Frag"]),
    )


def _metric_input(pair: SequencePair) -> dict[str, Any]:
    """Return what trackeval's metrics take: per frame the ids from 0 without gaps, and the IoU of all boxes."""
    distractors = MOT20_DISTRACTORS if pair.name.startswith("MOT20") else DISTRACTORS
    true_ids, found_ids, overlaps = [], [], []
    for truth, tracks in _by_frame(pair.truth, pair.tracks):
        overlap = _iou(truth.xywh, tracks.xywh)
        counted, kept = truth.counted, np.ones(len(tracks), np.bool_)
        if truth.class_id is not None:
            kept = ~_on_distractor(overlap, np.isin(truth.class_id, distractors))
            counted = counted & (truth.class_id == PEDESTRIAN)
        true_ids.append(truth.track_id[counted])
        found_ids.append(tracks.track_id[kept])
        overlaps.append(overlap[np.ix_(counted, kept)])
    true_count, true_ids = _renumber(true_ids)
    found_count, found_ids = _renumber(found_ids)
    return {
        "num_timesteps": len(overlaps),
        "num_gt_ids": true_count,
        "num_tracker_ids": found_count,
        "num_gt_dets": sum(map(len, true_ids)),
        "num_tracker_dets": sum(map(len, found_ids)),
        "gt_ids": true_ids,
        "tracker_ids": found_ids,
        "similarity_scores": overlaps,
    }


def _by_frame(truth: BoxTable, tracks: BoxTable) -> Iterable[tuple[BoxTable, BoxTable]]:
    """Yield the rows of both tables for each frame up to the last one that has any."""
    end = max([-1, *truth.frame.tolist(), *tracks.frame.tolist()]) + 1
    return zip(_split(truth, end), _split(tracks, end))


def _split(table: BoxTable, end: int) -> Iterable[BoxTable]:
    order = np.argsort(table.frame, kind="stable")
    bounds = np.searchsorted(table.frame[order], np.arange(end + 1))
    for low, high in itertools.pairwise(bounds):
        yield _take(table, order[low:high])


def _take(table: BoxTable, rows: IntArray) -> BoxTable:
    classes = None if table.class_id is None else table.class_id[rows]
    return BoxTable(table.frame[rows], table.track_id[rows], table.xywh[rows], table.counted[rows], classes)


def _iou(truth: Float64Array, tracks: Float64Array) -> Float64Array:
    """Return ``(n, m)`` IoU in float64: thresholds are met exactly, which float32 corners would not always do."""
    a, b = truth[:, None], tracks[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _on_distractor(overlap: Float64Array, is_distractor: BoolArray) -> BoolArray:
    """Return ``(m,)`` bool: the tracker's box is matched with a distractor of the frame's ``(n,)`` truth rows."""
    from scipy.optimize import linear_sum_assignment

    epsilon = float(np.finfo(np.float64).eps)
    gated = np.where(overlap < MATCH_IOU - epsilon, 0, overlap)
    rows, columns = linear_sum_assignment(-gated)
    matched = (gated[rows, columns] > epsilon) & is_distractor[rows]
    removed = np.zeros(overlap.shape[1], np.bool_)
    removed[columns[matched]] = True
    return removed


def _renumber(ids: list[IntArray]) -> tuple[int, list[IntArray]]:
    """Return how many different ids there are, and the same lists with ids from 0 without gaps."""
    distinct, flat = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_inverse=True)
    return len(distinct), np.split(flat, np.cumsum([len(i) for i in ids])[:-1]) if ids else []


def load_pairs(truth: Sequence[Path], tracks: Sequence[Path]) -> list[SequencePair]:
    """Read truth and track files: pairs in order, or one folder each whose sequences are matched by name.

    A sequence's truth is ``<sequence>.txt`` or ``<sequence>/gt/gt.txt``; its tracks are ``<sequence>.txt``. In place
    of ``.txt`` (MOTChallenge) both may end in ``.json`` (track-v1, COCO), ``.xml`` (CVAT) or ``.csv``.

    Raises:
        UsageError: The numbers of files differ, or files and folders are mixed.
        InputError: A file is missing, or a sequence of the truth has no tracks.
        FormatError: A file breaks its format; the message names the line or record.
    """
    if len(truth) == len(tracks) == 1 and truth[0].is_dir() and tracks[0].is_dir():
        files = _match_folders(truth[0], tracks[0])
    elif any(path.is_dir() for path in [*truth, *tracks]):
        raise UsageError("truth and tracks must both be files, or one folder each")
    elif len(truth) != len(tracks):
        raise UsageError(
            f"{len(truth)} truth files but {len(tracks)} track files",
            remedy="give them in pairs: --gt A_gt.txt B_gt.txt --tracks A.txt B.txt",
        )
    else:
        files = dict(zip(_names(truth), zip(truth, tracks)))
    return [SequencePair(name, read_truth(a), read_tracks(b)) for name, (a, b) in files.items()]


def _match_folders(truth: Path, tracks: Path) -> dict[str, tuple[Path, Path]]:
    found = {path.parents[1].name: path for path in truth.glob("*/gt/gt.txt")}
    found |= {path.stem: path for ending in _ENDINGS for path in truth.glob(f"*.{ending}")}
    if not found:
        raise InputError(
            f"no truth in folder '{truth}'", remedy="it should hold <sequence>.txt or <sequence>/gt/gt.txt"
        )
    results = {path.stem: path for ending in _ENDINGS for path in tracks.glob(f"*.{ending}")}
    missing = sorted(found.keys() - results.keys())
    if missing:
        raise InputError(f"no tracks in folder '{tracks}' for {', '.join(missing)}", remedy="name them <sequence>.txt")
    for name in sorted(results.keys() - found.keys()):
        logger.warning("'%s' is not scored: there is no truth of that name", results[name])
    return {name: (found[name], results[name]) for name in sorted(found)}


def _names(truth: Sequence[Path]) -> list[str]:
    """Return a name for each truth file: the sequence's folder or the file's own; numbered where names repeat."""
    names: list[str] = []
    for path in truth:
        folders = path.resolve().parts[:-1]
        name = path.stem
        if name == "gt" and folders:
            name = folders[-2] if folders[-1] == "gt" and len(folders) > 1 else folders[-1]
        copies = sum(n == name or n.startswith(f"{name}#") for n in names)
        names.append(f"{name}#{copies + 1}" if copies else name)
    return names


def read_truth(path: Path) -> BoxTable:
    """Read a truth: MOTChallenge text, whose class column (MOT16 and later) is kept, or any format with tracks.

    Of the others, a box whose score is 0 is ignored: so `convert` hands on what MOTChallenge says to ignore.

    Raises:
        FormatError: It breaks its format, or names a class that MOTChallenge does not have.
    """
    name = exchange.recognise(path)
    if name != "motchallenge":
        return _read_other(path, name)
    table = motchallenge.read_tracks(path)
    has_classes = bool(np.any(table.class_id > 0))
    unknown = np.flatnonzero((table.class_id < 1) | (table.class_id > CLASSES))
    if has_classes and len(unknown):
        row = unknown[0]
        raise FormatError(
            f"'{path}', frame {table.frame[row] + 1}, id {table.track_id[row]}: class {table.class_id[row]} is unknown",
            remedy=f"MOTChallenge's classes are 1 (pedestrian) to {CLASSES}; leave out columns 8 and 9 to have none",
        )
    return BoxTable(table.frame, table.track_id, table.xywh, table.value != 0, table.class_id if has_classes else None)


def read_tracks(path: Path) -> BoxTable:
    """Read tracks in any format that has them; an empty file holds none.

    Of track-v1, the smoothed boxes are taken where the file has them.

    Raises:
        FormatError: It breaks its format; the message names the line or record.
    """
    if path.is_file() and path.stat().st_size == 0:  # what is left of a run that found nothing
        logger.warning("'%s' is empty: scored as a result without tracks", path)
        return as_table({}, path)
    name = exchange.recognise(path)
    if name != "motchallenge":
        table = _read_other(path, name)
        return dataclasses.replace(table, counted=np.ones(len(table), np.bool_))
    rows = motchallenge.read_tracks(path)
    return BoxTable(rows.frame, rows.track_id, rows.xywh, np.ones(len(rows), np.bool_))


def _read_other(path: Path, name: str) -> BoxTable:
    """Read tracks that are not MOTChallenge text; rows with a score above 0 count."""
    frames = (track_v1.read_track_v1(path) if name == "det-v1" else exchange.read_any(path, name=name)).frames
    table = as_table(frames, path)
    if not len(table) and any(map(len, frames.values())):
        raise FormatError(f"'{path}' has boxes, but none belongs to a track", remedy="give tracks, not detections")
    scores = [rows.score[rows.track_id >= 0] for rows in frames.values()]
    return dataclasses.replace(table, counted=np.concatenate([np.zeros(0), *scores]) > 0)


def as_table(frames: Mapping[int, Detections], path: Path | str = "tracks") -> BoxTable:
    """Return the rows that have an identity, of detections by frame; with the smoothed boxes where there are any.

    Raises:
        FormatError: An identity occurs twice in a frame of what came from `path`.
    """
    kept = {index: rows[rows.track_id >= 0] for index, rows in frames.items()}
    for index, rows in kept.items():
        ids, times = np.unique(rows.track_id, return_counts=True)
        if (times > 1).any():
            raise FormatError(f"'{path}', frame {index}: track_id {ids[times > 1][0]} occurs twice")
    frame = np.repeat(np.array(list(kept), np.int64), [len(rows) for rows in kept.values()])
    boxes = [rows.xyxy if rows.track_xyxy is None else rows.track_xyxy for rows in kept.values()]
    corners = np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float64)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    track_id = np.concatenate([np.zeros(0, np.int64), *(rows.track_id for rows in kept.values())])
    return BoxTable(frame, track_id, xywh, np.ones(len(frame), np.bool_))
