"""Images of a report: the best crop of every track, and the background without the objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections, FloatArray, Image
from mot_dinov3.features.crop_quality import box_qualities, object_rows

MAX_TRACKS = 400
CROPS_PER_FRAME = 2
INTERVAL_S = 0.4  # from one crop of a track to the next, growing with every crop
MIN_SIDE = 6  # px
CROP_SIZE = (96, 128)  # largest width and height, px
BACKGROUND_WIDTH = 960
BACKGROUND_SAMPLES = 8
STATIC_DIFFERENCE = 8.0  # grey levels by which samples of a fixed camera differ from their median, at most
MAX_DIFFERENCE = 30  # grey levels that a covered pixel counts, at most


@dataclasses.dataclass
class BestCrop:
    """The best crop of a track so far: its quality, JPEG and time (s), and when to take the next one after how many."""

    quality: float = -1.0
    jpeg: bytes = b""
    time: float = 0.0
    due: float = 0.0
    count: int = 0


class BestCrops:
    """Keeps the best crop of each track, see `box_qualities`, from a few boxes of each frame.

    Attributes:
        found: Track id → best crop.
    """

    def __init__(self) -> None:
        self.found: dict[int, BestCrop] = {}

    def add(self, image: Image, rows: Detections, time: float) -> None:
        """Crop the rows that have waited longest, `CROPS_PER_FRAME` of them at most."""
        present, rows = rows.track_id, object_rows(rows)
        clipped = np.clip(rows.xyxy, 0, [image.shape[1], image.shape[0]] * 2)
        sizes = clipped[:, 2:] - clipped[:, :2]
        usable = (rows.track_id >= 1) & (sizes >= MIN_SIDE).all(1)
        due = []
        for row in np.flatnonzero(usable).tolist():
            best = self.found.setdefault(int(rows.track_id[row]), BestCrop())
            if time >= best.due:
                due.append((best.due, row, best))
        due.sort(key=lambda one: one[0])
        chosen = due[:CROPS_PER_FRAME]
        qualities = box_qualities(image, rows.xyxy, rows.score, np.array([row for _, row, _ in chosen], np.int64))
        for (_, row, best), quality in zip(chosen, qualities.tolist()):
            best.count += 1
            best.due = time + INTERVAL_S * best.count
            if quality > best.quality and _keep(best, image, clipped[row], quality):
                best.time = time
        if len(self.found) > 2 * MAX_TRACKS:
            self._prune(present)

    def _prune(self, present: np.ndarray) -> None:
        """Keep the tracks that were cropped most, and those of this frame."""
        most = sorted(self.found, key=lambda track_id: -self.found[track_id].count)[:MAX_TRACKS]
        keep = {*most, *present.tolist()}
        self.found = {track_id: best for track_id, best in self.found.items() if track_id in keep}


def _keep(best: BestCrop, image: Image, box: FloatArray, quality: float) -> bool:
    """Replace the crop by that of `box`; tell whether that was possible."""
    jpeg = thumbnail(boxes.cut_out(image, box), *CROP_SIZE)
    if jpeg:
        best.quality, best.jpeg = quality, jpeg
    return bool(jpeg)


def thumbnail(image: Image, width: int, height: int) -> bytes:
    """Return the JPEG of an image, shrunk to fit; empty where it cannot be encoded."""
    import cv2

    done, data = cv2.imencode(".jpg", shrunk(image, width, height), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return data.tobytes() if done else b""


def shrunk(image: Image, width: int, height: int) -> Image:
    """Return the image shrunk to fit; a small one stays as it is."""
    import cv2

    scale = min(width / image.shape[1], height / image.shape[0], 1.0)
    if scale == 1.0:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class BackgroundEstimate:
    """Estimates the background as the median of a few frames, spread over the run."""

    def __init__(self) -> None:
        self._samples: list[Image] = []
        self._stride = 1
        self._count = 0

    def add(self, image: Callable[[], Image]) -> None:
        """Add a frame; its image is requested only where the frame is sampled."""
        if self._count % self._stride == 0:
            self._samples.append(shrunk(image(), BACKGROUND_WIDTH, 10 * BACKGROUND_WIDTH))
            if len(self._samples) > BACKGROUND_SAMPLES:
                self._samples = self._samples[::2]
                self._stride *= 2
        self._count += 1

    def jpeg(self) -> bytes:
        """Return the samples' median where the camera stood still, else the middle sample; empty without samples."""
        import cv2

        if not self._samples:
            return b""
        middle = self._samples[len(self._samples) // 2]
        alike = [sample for sample in self._samples if sample.shape == middle.shape]
        median = np.median(np.stack(alike), axis=0).astype(np.uint8)
        differences = [np.abs(sample.astype(np.int16) - median).clip(max=MAX_DIFFERENCE).mean() for sample in alike]
        static = np.mean(differences) < STATIC_DIFFERENCE
        _, data = cv2.imencode(".jpg", median if static else middle, [cv2.IMWRITE_JPEG_QUALITY, 78])
        return data.tobytes()
