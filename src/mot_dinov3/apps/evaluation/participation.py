"""Which rows of a ground truth take part in the scores, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mot_dinov3.apps.evaluation.box_tables import BoxTable, SequencePair
from mot_dinov3.core import boxes

PEDESTRIAN = 1
DISTRACTORS = (2, 7, 8, 12)  # person on a vehicle, static person, distractor, reflection
_MOT20_ONLY = 6  # non-motor vehicle
SHIFT_GAIN = 0.02  # of the mean IoU, that is worth a notice; tracks of the right numbers lose by every shift
SHIFT_FRAMES = 400  # frames of a sequence that are compared
UNCOVERED = 0.05  # share of a range of frames outside of the other one that is worth a notice


def distractors_of(name: str) -> tuple[int, ...]:
    """Return the classes whose boxes are ignored, by the name of the sequence: MOT20 has one more."""
    return (*DISTRACTORS, _MOT20_ONLY) if name.startswith("MOT20") else DISTRACTORS


def participation_notices(pairs: Sequence[SequencePair]) -> list[str]:
    """Return lines for the user: rows that do not take part, and frames that differ or are numbered differently."""
    return [line for pair in pairs for line in (*_rows(pair), *_ranges(pair), *_numbering(pair))]


def _rows(pair: SequencePair) -> Iterator[str]:
    truth = pair.truth
    by_class = _takes_part(truth)
    part = int(np.count_nonzero(truth.counted & by_class))
    if part == len(truth):
        return
    reasons = []
    if flagged := int(np.count_nonzero(~truth.counted & by_class)):
        reasons.append(f"{flagged} marked to be ignored")
    if truth.class_id is not None:
        classes, counts = np.unique(truth.class_id[~by_class], return_counts=True)
        reasons += [f"{n} of class {_name(truth, c)}" for c, n in zip(classes.tolist(), counts.tolist())]
    line = f"{pair.name}: {part} of {len(truth)} rows of the ground truth take part; not: {', '.join(reasons)}"
    if not by_class.all() and truth.evaluated is None:
        line += "; --eval-classes evaluates others"
    yield line
    is_six = truth.class_id is not None and truth.evaluated is None and bool((truth.class_id == _MOT20_ONLY).any())
    if is_six and _MOT20_ONLY not in distractors_of(pair.name):
        yield (
            f"{pair.name}: boxes on non-motor vehicles (class 6) count as false; they are ignored, as MOT20 asks for, "
            "in a sequence whose name begins with MOT20"
        )


def _takes_part(truth: BoxTable) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return ``(n,)`` bool: the row's class is evaluated."""
    if truth.class_id is None:
        return np.ones(len(truth), np.bool_)
    return np.isin(truth.class_id, (PEDESTRIAN,) if truth.evaluated is None else truth.evaluated)


def _name(truth: BoxTable, class_id: int) -> str:
    name = truth.names.get(class_id)
    return f"{class_id} ({name})" if name else str(class_id)


def _ranges(pair: SequencePair) -> Iterator[str]:
    """Yield a notice where many frames of the truth, or of the tracks, lie outside of the other's range."""
    truth, tracks = np.unique(pair.truth.frame), np.unique(pair.tracks.frame)
    if not len(truth) or not len(tracks):
        return
    for frames, others, effect in (
        (truth, tracks, "objects outside of the tracks' frames count as missed"),
        (tracks, truth, "tracks outside of the ground truth's frames count as false"),
    ):
        outside = int(np.count_nonzero((frames < others[0]) | (frames > others[-1])))
        if outside > UNCOVERED * len(frames):
            yield (
                f"{pair.name}: the ground truth has frames {truth[0]} to {truth[-1]}, the tracks {tracks[0]} to "
                f"{tracks[-1]} (from 0): {effect}; evaluate the same frames of both"
            )
            return


def _numbering(pair: SequencePair) -> Iterator[str]:
    """Yield a notice where the tracks fit better to the frame before or behind: one of the two counts from 1."""
    fits = {shift: _fit(pair, shift) for shift in (0, -1, 1)}
    best = max(fits, key=lambda shift: fits[shift])
    if fits[best] > fits[0] + SHIFT_GAIN:
        where = "later" if best < 0 else "earlier"
        yield (
            f"{pair.name}: the tracks fit the ground truth better one frame {where} (mean IoU {fits[best]:.2f}, not "
            f"{fits[0]:.2f}): one of the files may count its frames from 0, the other from 1"
        )


def _fit(pair: SequencePair, shift: int) -> float:
    """Return the mean IoU of the truth's boxes with the nearest box of the tracks, `shift` frames on."""
    truth, tracks = pair.truth, pair.tracks
    frames = np.unique(truth.frame)
    frames = frames[:: -(-len(frames) // SHIFT_FRAMES) or 1]
    found, count = 0.0, 0
    for frame in frames.tolist():
        wanted = boxes.from_xywh(truth.xywh[truth.frame == frame])
        there = boxes.from_xywh(tracks.xywh[tracks.frame == frame + shift])
        count += len(wanted)
        found += float(boxes.iou(wanted, there).max(axis=1, initial=0).sum())
    return found / max(count, 1)
