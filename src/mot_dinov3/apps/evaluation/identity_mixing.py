"""How far tracks mix identities: two figures in the units of a user, boxes and seconds.

A track's box is *on* the object that it is matched with at IoU ≥ 0.5; as in CLEAR, a pair of the frame before stays
together while it overlaps enough, and the others are assigned by maximum total overlap. The *main identity* of a track
is the object that most of its boxes are on.

- *Purity* is the share of the boxes on objects that are on the main identity of their track, over all tracks. It does
  not fall where an object changes its track (`Scores.switches` counts that), only where a track changes its object.
- *Mixed seconds* are the lengths, in frames with a box of the track divided by the frame rate, of the tracks that have
  boxes on more than one object.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import Float64Array, IntArray
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS

MATCH_IOU = 0.5


@dataclasses.dataclass(frozen=True)
class IdentityMixing:
    """Counts of a sequence, or of several added up.

    Attributes:
        boxes: Boxes of tracks that are on an object.
        main: Those of them that are on the main identity of their track.
        mixed_seconds: Time that is spent in tracks with boxes on more than one object.
    """

    boxes: int = 0
    main: int = 0
    mixed_seconds: float = 0.0

    @property
    def purity(self) -> float | None:
        """Percent of the boxes that are on their track's main identity; None where there is none."""
        return 100 * self.main / self.boxes if self.boxes else None

    def __add__(self, other: IdentityMixing) -> IdentityMixing:
        return IdentityMixing(
            self.boxes + other.boxes, self.main + other.main, self.mixed_seconds + other.mixed_seconds
        )


def count_mixing(data: Mapping[str, Any], fps: float) -> IdentityMixing:
    """Return the counts of a sequence.

    Args:
        data: Input of trackeval's metrics: ``gt_ids``, ``tracker_ids`` and ``similarity_scores`` by frame.
        fps: Frame rate; 0 where it is unknown.
    """
    met = Counter(_matches(data["gt_ids"], data["tracker_ids"], data["similarity_scores"]))
    of_track: dict[int, list[int]] = {}
    for (_, track), count in met.items():
        of_track.setdefault(track, []).append(count)
    lengths = np.bincount(np.concatenate([np.zeros(0, np.int64), *data["tracker_ids"]]))
    mixed = sum(int(lengths[track]) for track, counts in of_track.items() if len(counts) > 1)
    main = sum(map(max, of_track.values()))
    return IdentityMixing(sum(met.values()), main, mixed / (fps or ASSUMED_FPS))


def _matches(
    truth: Sequence[IntArray], tracks: Sequence[IntArray], overlaps: Sequence[Float64Array]
) -> list[tuple[int, int]]:
    """Return object and track of every matched box."""
    from scipy.optimize import linear_sum_assignment

    found: list[tuple[int, int]] = []
    before: dict[int, int] = {}
    for true_ids, found_ids, overlap in zip(truth, tracks, overlaps):
        stays = np.array([before.get(one, -1) for one in true_ids.tolist()], np.int64)[:, None] == found_ids[None]
        enough = overlap >= MATCH_IOU - np.finfo(np.float64).eps
        # a pair of the frame before outweighs any number of others
        value = np.where(enough, overlap + (len(true_ids) + 1) * stays, 0)
        rows, columns = linear_sum_assignment(-value)
        met = enough[rows, columns]
        before = dict(zip(true_ids[rows[met]].tolist(), found_ids[columns[met]].tolist()))
        found += before.items()
    return found
