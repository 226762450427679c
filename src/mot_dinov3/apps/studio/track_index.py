"""Index of a file of tracks by frame and by track, and the names that the user gives to tracks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core import files
from mot_dinov3.core.boxes import area, intersection
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.structures import Detections, FloatArray, VideoInfo
from mot_dinov3.formats import format_registry

NAMED_SUFFIX = ".named.json"
MAX_COVERED = 0.05
"""Share of a box from which on it counts as overlapped: a crop of it shows a part of another object."""


@dataclasses.dataclass(frozen=True)
class TrackBoxes:
    """The detected boxes of a track.

    Attributes:
        frames: ``n`` frame numbers, ascending.
        boxes: ``(n, 4)``.
        covered: ``(n,)`` largest share of the box that another tracked box covers.
    """

    frames: list[int]
    boxes: FloatArray
    covered: FloatArray

    def free(self) -> TrackBoxes:
        """Return the boxes that no other one overlaps by more than a sliver."""
        kept = np.flatnonzero(self.covered <= MAX_COVERED)
        return TrackBoxes([self.frames[i] for i in kept.tolist()], self.boxes[kept], self.covered[kept])


class TrackIndex:
    """A file of tracks; names given to its tracks are saved in a copy beside it, and the file itself stays unchanged.

    Args:
        path: The file.

    Raises:
        FormatError: It has no format with tracks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.named = path if path.name.endswith(NAMED_SUFFIX) else path.with_name(f"{path.stem}{NAMED_SUFFIX}")
        named_is_newer = self.named.is_file() and self.named.stat().st_mtime >= path.stat().st_mtime
        self.read_from = self.named if named_is_newer else path
        self.format = format_registry.detect_format(self.read_from)
        recorded = format_registry.read_any(self.read_from, name=self.format)
        self.video: VideoInfo = recorded.video
        self.frames = recorded.frames
        self.names: dict[int, str] = {}
        self._at: dict[int, list[tuple[int, int]]] = {}
        for number, rows in sorted(recorded.frames.items()):
            for row, (track, name) in enumerate(zip(rows.track_id.tolist(), rows.gallery_id)):
                if track >= 0:
                    self._at.setdefault(track, []).append((number, row))
                    if name is not None:
                        self.names[track] = str(name)

    def boxes(self, frame: int) -> list[dict[str, Any]]:
        """Return the tracked boxes of a frame, for the page."""
        rows = self.frames.get(frame, Detections.empty())
        return [
            {
                "track": track,
                "name": self.names.get(track, ""),
                "box": [round(v, 1) for v in box],
                "coasted": bool(coasted),
            }
            for track, box, coasted in zip(rows.track_id.tolist(), rows.xyxy.tolist(), rows.coasted)
            if track >= 0
        ]

    def track_boxes(self, track: int) -> TrackBoxes:
        """Return the boxes of a track, without the coasted ones.

        Raises:
            InputError: There is no such track.
        """
        if track not in self._at:
            raise InputError(f"'{self.path.name}' has no track {track}")
        seen = [(f, row) for f, row in self._at[track] if not self.frames[f].coasted[row]]
        boxes = np.array([self.frames[f].xyxy[row] for f, row in seen], np.float32).reshape(-1, 4)
        return TrackBoxes([f for f, _ in seen], boxes, np.array([self._covered(*at) for at in seen], np.float32))

    def _covered(self, frame: int, row: int) -> float:
        rows = self.frames[frame]
        shared = intersection(rows.xyxy[row : row + 1], rows.xyxy)[0]
        shared[row] = 0.0
        return float(shared.max() / max(float(area(rows.xyxy[row : row + 1])[0]), 1e-6))

    def summary(self) -> list[dict[str, Any]]:
        """Return all tracks with their names and lengths, the longest first."""
        rows = [
            {"track": track, "name": self.names.get(track, ""), "count": len(at), "first": at[0][0], "last": at[-1][0]}
            for track, at in self._at.items()
        ]
        return sorted(rows, key=lambda r: (-int(r["count"]), int(r["track"])))

    def name(self, track: int, identity: str) -> Path:
        """Write a copy of the file in which every box of a track has a name, and return the copy's path.

        Raises:
            InputError: There is no such track, or the file is in a format without names.
            OutputLostError: It cannot be written.
        """
        if self.format != "track-v1":
            raise InputError(
                f"'{self.path.name}' cannot store names", remedy="save it as track-v1 on the page Tracks, and open that"
            )
        self.track_boxes(track)
        document = read_object(self.read_from)
        for frame in document["frames"]:
            for record in frame.get("detections", ()):
                if str(record.get("track_id")) == str(track):
                    record["gallery_id"] = identity
        with files.replacing(self.named) as part:
            part.write_text(json.dumps(document, allow_nan=False, ensure_ascii=False), encoding="utf-8")
        self.names[track] = identity
        self.read_from = self.named
        return self.named
