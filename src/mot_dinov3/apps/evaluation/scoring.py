"""Scores of tracking results against ground truth: HOTA, CLEAR and identity metrics.

The metrics are those of the `trackeval` package (HOTA: Luiten et al., IJCV 2021; CLEAR: Bernardin and Stiefelhagen,
2008; identity: Ristani et al., 2016). This module prepares their input in memory and applies the rules of the
MOTChallenge ground-truth files, which differ by year:

- MOT15: rows whose column 7 is 0 do not count; a box of the tracker on such a row is a false positive.
- MOT16, MOT17, MOT20 name a class in column 8. Only pedestrians (1) whose column 7 is not 0 count. Before scoring, each
  frame's tracker boxes are matched with *all* ground-truth rows (IoU ≥ 0.5, maximum total overlap), and those that are
  matched with a distractor (person on a vehicle, static person, distractor, reflection; in MOT20 also non-motor
  vehicles) are ignored.

Where the user chose classes, those count, in any format, and boxes on objects of other classes are ignored.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.evaluation.box_tables import BoxTable, SequencePair, load_pairs
from mot_dinov3.apps.evaluation.identity_mixing import IdentityMixing, count_mixing
from mot_dinov3.apps.evaluation.participation import PEDESTRIAN, distractors_of, participation_notices
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import BoolArray, Float64Array, IntArray

Paths = str | Path | Sequence[str | Path]

COMBINED = "COMBINED"
MATCH_IOU = 0.5

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of the tracks of one sequence, or of all together.

    Attributes:
        hota: Percent, mean over the localisation thresholds 0.05, 0.10 … 0.95, as are `deta` and `assa`.
        deta: Percent, detection part of HOTA.
        assa: Percent, association part of HOTA.
        mota: Percent, at IoU 0.5; negative where there are more errors than ground-truth boxes, NaN where no
            ground-truth box takes part.
        idf1: Percent, at IoU 0.5.
        switches: Number of times that an object changed its track.
        fragmentations: Number of times that an object was detected again after it had been missed.
        purity: Percent of the tracks' boxes on objects that belong to the main identity of their track; None where no
            box is on an object. See `identity_mixing`.
        mixed_seconds: Time that is spent in tracks which mix identities.
    """

    hota: float
    deta: float
    assa: float
    mota: float
    idf1: float
    switches: int
    fragmentations: int
    purity: float | None = None
    mixed_seconds: float = 0.0


def evaluate(truth: Paths, tracks: Paths, *, classes: str = "", strict: bool = False) -> Mapping[str, Scores]:
    """Score track files against ground-truth files: the command `evaluate`.

    Args:
        truth: A file, several, or a folder of sequences: MOTChallenge, CVAT, COCO, track-v1 or CSV.
        tracks: As many files in the same order, or a folder with the same sequence names.
        classes: Classes of the ground truth that count, ids or names separated by commas, or ``all``; empty for
            MOTChallenge's rules.
        strict: A row that cannot be used is an error; by default it is left out and counted in a warning.

    Returns:
        The scores of every sequence by name, and of all together under ``COMBINED``.

    Raises:
        UsageError: The numbers of files differ, or files and folders are mixed, or no ground truth has such a class.
        InputError: A file is missing, broken, or a sequence has no tracks.
    """
    pairs = load_pairs(_paths(truth), _paths(tracks), classes=classes, strict=strict)
    for notice in participation_notices(pairs):
        logger.warning("%s", notice)
    return score(pairs)


def _paths(given: Paths) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


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
    mixing = {pair.name: count_mixing(prepared[pair.name], pair.fps) for pair in pairs}
    mixing[COMBINED] = sum(mixing.values(), IdentityMixing())
    has_truth = {name: data["num_gt_dets"] > 0 for name, data in prepared.items()}
    has_truth[COMBINED] = any(has_truth.values())
    found = {}
    for name in (*names, COMBINED):
        scores = _scores(raw["HOTA"][name], raw["CLEAR"][name], raw["Identity"][name])
        seconds, purity = mixing[name].mixed_seconds, mixing[name].purity
        scores = dataclasses.replace(scores, purity=purity, mixed_seconds=seconds)
        found[name] = scores if has_truth[name] else dataclasses.replace(scores, mota=math.nan)
    return found


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
    """Return the input of trackeval's metrics: per frame the ids from 0 without gaps, and the IoU of all boxes."""
    distractors = distractors_of(pair.name)
    true_ids, found_ids, overlaps = [], [], []
    end = max([-1, *pair.truth.frame.tolist(), *pair.tracks.frame.tolist()]) + 1
    for truth, tracks in zip(_split(pair.truth, end), _split(pair.tracks, end)):
        overlap = _iou(truth.xywh, tracks.xywh)
        counted, kept = truth.counted, np.ones(len(tracks), np.bool_)
        if truth.evaluated is not None and truth.class_id is not None:
            is_other = ~np.isin(truth.class_id, truth.evaluated)
            kept, counted = ~_on_distractor(overlap, is_other), counted & ~is_other
        elif truth.class_id is not None:
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


def _split(table: BoxTable, end: int) -> Iterable[BoxTable]:
    """Yield the rows of each frame before `end`."""
    order = np.argsort(table.frame, kind="stable")
    bounds = np.searchsorted(table.frame[order], np.arange(end + 1))
    for low, high in itertools.pairwise(bounds):
        rows = order[low:high]
        classes = None if table.class_id is None else table.class_id[rows]
        columns = table.frame[rows], table.track_id[rows], table.xywh[rows], table.counted[rows]
        yield BoxTable(*columns, classes, table.evaluated)


def _iou(truth: Float64Array, tracks: Float64Array) -> Float64Array:
    """Return ``(n, m)`` IoU in float64: float32 corners would not always meet thresholds exactly."""
    a, b = truth[:, None], tracks[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _on_distractor(overlap: Float64Array, is_distractor: BoolArray) -> BoolArray:
    """Return ``(m,)`` bool: the tracker's box is matched with a distractor among the ``(n,)`` ground-truth rows."""
    from scipy.optimize import linear_sum_assignment

    epsilon = float(np.finfo(np.float64).eps)
    gated = np.where(overlap < MATCH_IOU - epsilon, 0, overlap)
    rows, columns = linear_sum_assignment(-gated)
    matched = (gated[rows, columns] > epsilon) & is_distractor[rows]
    removed = np.zeros(overlap.shape[1], np.bool_)
    removed[columns[matched]] = True
    return removed


def _renumber(ids: list[IntArray]) -> tuple[int, list[IntArray]]:
    """Return the number of distinct ids, and the same lists with ids from 0 without gaps."""
    distinct, flat = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_inverse=True)
    return len(distinct), np.split(flat, np.cumsum([len(i) for i in ids])[:-1]) if ids else []
