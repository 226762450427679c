"""From a tracker's name to a tracker that is ready to go."""

from __future__ import annotations

from mot_dinov3.core.registry import check_members, resolve
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.base import MEMBERS, Tracker, TrackerRequest


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
