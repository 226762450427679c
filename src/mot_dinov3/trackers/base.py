"""Interface of the trackers, and their construction from a request."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

from mot_dinov3.core.registry import check_members, resolve
from mot_dinov3.core.structures import Detections, Frame, IntArray, Revision, TrackView
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.appearance_model import AppearanceCalibration
from mot_dinov3.trackers.config import HybridConfig, TrackerConfig


@dataclasses.dataclass(frozen=True)
class TrackerRequest:
    """All that a tracker is built from: the only argument of its constructor, also of a user's own class.

    Attributes:
        fps: Frame rate; it stands in where timestamps do not move forward.
        size: Width and height of the image, 0 where unknown.
        same_floor: The embedder's, see `Embedder`.
        config: Parameters of ``appearance``, and of a tracker that has none of its own.
        hybrid: Parameters of ``gallery_hybrid``.
    """

    fps: float = 30.0
    size: tuple[int, int] = (0, 0)
    same_floor: float | None = None
    config: TrackerConfig = dataclasses.field(default_factory=TrackerConfig)
    hybrid: HybridConfig = dataclasses.field(default_factory=HybridConfig)


class Tracker(Protocol):
    """Gives detections their identities; `predict` then `update`, once a frame, empty frames too.

    A class of one's own derives from it.

    Attributes:
        keeps_tracks: Whether an id means something beyond its frame.
        min_score: Score below which no box starts a track: what is worth embedding lies above. It may change from frame
            to frame.
        cuts: Indices of the frames in which a new scene began, where the tracker looks for hard cuts.
        appearance: Learned from the video so far of its embeddings; None for a tracker that compares none.
    """

    keeps_tracks: ClassVar[bool] = True
    min_score: float = 0.0
    cuts: Sequence[int] = ()
    appearance: AppearanceCalibration | None = None

    @classmethod
    def least_score(cls, request: TrackerRequest, conf: float) -> float:
        """Return the score from which boxes are of use where those below `conf` may start no track.

        It is lower than `conf` for a tracker with a round in which boxes of low score continue tracks.
        """
        return conf

    @abstractmethod
    def predict(self, frame: Frame) -> TrackView:
        """Move all tracks to the time of `frame` and return them, with predicted boxes and cached embeddings."""

    def add_evidence(self, frames: IntArray) -> None:
        """Take in, before `update`, for how many frames without detections a new object was followed to each box.

        With a detection interval these count like matches where a track needs several of them to be confirmed. A
        tracker may ignore them.

        Args:
            frames: ``(n,)`` frames, a value for each row that `update` will get.
        """
        return

    @abstractmethod
    def update(self, detections: Detections) -> Detections:
        """Return the same rows, in order, with `track_id`, `state`, `track_xyxy`; coasted rows follow them."""

    @abstractmethod
    def lost(self) -> TrackView:
        """Return the tracks that are lost right now, for drawing."""

    @property
    @abstractmethod
    def revisions(self) -> Sequence[Revision]:
        """Rows of earlier frames whose tentative track the last `update` confirmed."""

    @property
    @abstractmethod
    def settled(self) -> int:
        """Index of the first frame that a later revision can still reach; all before it is final."""


MEMBERS = ("keeps_tracks", "min_score", "predict", "update", "lost", "revisions", "settled")


def tracker_class(name: str) -> type[Tracker]:
    """Return the class of the tracker `name`: a registered one, or a user's own.

    Raises:
        UnknownNameError: No such tracker.
        UsageError: A user's own class cannot be imported or is no tracker.
    """
    kind: type[Tracker] = resolve("tracker", TRACKERS, name)
    check_members("tracker", name, kind, MEMBERS, base="mot_dinov3.trackers.base.Tracker")
    return kind


def build_tracker(name: str, request: TrackerRequest) -> Tracker:
    """Build the tracker `name`; raises as `tracker_class` does."""
    return tracker_class(name)(request)  # type: ignore[call-arg]  # a protocol tells nothing of constructors


def least_score(name: str, request: TrackerRequest, conf: float) -> float:
    """Return what `Tracker.least_score` does; `conf` also for a user's own class that does not say."""
    said = getattr(tracker_class(name), "least_score", None)
    return conf if said is None else float(said(request, conf))


def learned_appearance(tracker: Tracker) -> AppearanceCalibration | None:
    """Return what a tracker has learned of the embeddings; None also for a user's own class that does not say."""
    return getattr(tracker, "appearance", None)
