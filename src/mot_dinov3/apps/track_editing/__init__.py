"""Correction of tracks by hand: edits of a track table, their journal, places to review, and saving."""

from mot_dinov3.apps.track_editing.crossings import next_crossing
from mot_dinov3.apps.track_editing.edits import (
    ChangeClass,
    DeleteBoxes,
    Edit,
    FillGaps,
    MergeTracks,
    RenameTrack,
    SplitTrack,
    SwapTracks,
)
from mot_dinov3.apps.track_editing.review_places import PlaceToReview, find_places
from mot_dinov3.apps.track_editing.track_editor import TrackEditor
from mot_dinov3.apps.track_editing.tracked_boxes import TrackedBoxes

__all__ = [
    "ChangeClass",
    "DeleteBoxes",
    "Edit",
    "FillGaps",
    "MergeTracks",
    "PlaceToReview",
    "RenameTrack",
    "SplitTrack",
    "SwapTracks",
    "TrackEditor",
    "TrackedBoxes",
    "find_places",
    "next_crossing",
]
