"""Crops of tracks as image files: a few sharp, large and unobstructed ones of each."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

import numpy as np

from mot_dinov3.core import boxes, files
from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray
from mot_dinov3.features.crop_quality import box_qualities, object_rows
from mot_dinov3.sinks.base import Sink

INTERVAL_S = 0.2  # from one crop of a track that is measured to the next
GAP_S = 1.0  # between two crops of a track that are kept
LEAST_SHARE = 0.25  # of the quality of a track's best crop: what is worse is not kept beside it
JPEG_QUALITY = 95
_NAME = re.compile(r"\d+_\d+\.jpg")


def is_crop_name(path: Path) -> bool:
    """Return whether a file, by its path in the folder, has the name of a crop: ``7_000123.jpg``."""
    return _NAME.fullmatch(path.as_posix()) is not None


@dataclasses.dataclass(frozen=True)
class TrackCrop:
    """A crop that is kept: its quality, the time of its frame (s), and its file."""

    quality: float
    time: float
    file: str


class CropSink(Sink):
    """Writes ``ID_frame.jpg``, the frame's number in six digits, to a folder that appears when the run is over.

    Args:
        folder: An earlier one is replaced.
        count: Crops of a track, at most.
        track_ids: ``(k,)`` the tracks that are cropped; None: all. The boxes of the others overlap all the same.
    """

    def __init__(self, folder: Path, count: int, track_ids: IntArray | None = None) -> None:
        self.path = folder
        self._count = count
        self._track_ids = track_ids
        self._kept: dict[int, list[TrackCrop]] = {}
        self._due: dict[int, float] = {}
        self._replacing = files.replacing_folder(folder)
        self._part = self._replacing.__enter__()

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        seen = object_rows(detections)
        wanted = seen.track_id >= 1
        if self._track_ids is not None:
            wanted &= np.isin(seen.track_id, self._track_ids)
        due = [self._due.get(track_id, frame.time) <= frame.time for track_id in seen.track_id.tolist()]
        wanted &= np.array(due, np.bool_)
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return
        qualities = box_qualities(frame.pixels(), seen.xyxy, seen.score, rows)
        for row, quality in zip(rows.tolist(), qualities.tolist()):
            track_id = int(seen.track_id[row])
            self._due[track_id] = frame.time + INTERVAL_S
            if quality > 0:
                self._offer(track_id, frame, seen.xyxy[row], quality)

    def _offer(self, track_id: int, frame: Frame, box: FloatArray, quality: float) -> None:
        """Keep a crop that is better than those of the same moment, and among the best of its track."""
        kept = self._kept.setdefault(track_id, [])
        near = [crop for crop in kept if abs(crop.time - frame.time) < GAP_S]
        replaced = near or (sorted(kept, key=lambda crop: crop.quality)[:1] if len(kept) >= self._count else [])
        if any(crop.quality >= quality for crop in replaced):
            return
        name = f"{track_id}_{frame.index:06d}.jpg"
        self._save(frame, box, name)
        for crop in replaced:
            self._drop(track_id, crop)
        kept.append(TrackCrop(quality, frame.time, name))

    def _save(self, frame: Frame, box: FloatArray, name: str) -> None:
        import cv2

        image = boxes.cut_out(frame.pixels(), box)
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        with files.writing(self.path):
            (self._part / name).write_bytes(encoded.tobytes())

    def _drop(self, track_id: int, crop: TrackCrop) -> None:
        self._kept[track_id].remove(crop)
        (self._part / crop.file).unlink(missing_ok=True)

    @override
    def close(self) -> None:
        for track_id, kept in self._kept.items():
            best = max((crop.quality for crop in kept), default=0.0)
            for crop in [crop for crop in kept if crop.quality < LEAST_SHARE * best]:
                self._drop(track_id, crop)
        self._replacing.__exit__(None, None, None)

    @override
    def abort(self) -> None:
        """Leave an earlier folder as it is; the crops so far are deleted, since a resumed run makes them again."""
        with contextlib.suppress(GeneratorExit, RuntimeError):
            self._replacing.__exit__(GeneratorExit, GeneratorExit(), None)
