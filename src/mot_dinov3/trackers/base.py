"""What every tracker promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mot_dinov3.core.structures import Detections, Frame, Revision, TrackView


class Tracker(Protocol):
    """Gives detections their identities; `predict` then `update`, once a frame, empty frames too."""

    def predict(self, frame: Frame) -> TrackView:
        """Move all tracks to the time of `frame` and return them, with predicted boxes and cached embeddings."""
        ...

    def update(self, detections: Detections) -> Detections:
        """Return the same rows, in order, with `track_id`, `state`, `track_xyxy`; coasted rows follow them."""
        ...

    def lost(self) -> TrackView:
        """Return the tracks that are lost right now, for drawing."""
        ...

    @property
    def revisions(self) -> Sequence[Revision]:
        """Rows of earlier frames whose tentative track the last `update` confirmed."""
        ...

    @property
    def settled(self) -> int:
        """Index of the first frame that a later revision can still reach; all before it is final."""
        ...
