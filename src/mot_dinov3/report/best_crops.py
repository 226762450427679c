"""Pictures of a run: the sharpest crop of every track, and the scene without those who walk through it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, Image

MOST_PORTRAITS = 400
LOOKS_PER_FRAME = 2
PAUSE = 0.4  # s from one look at a track to the next, growing with every look
LEAST_SIDE = 6  # px
PORTRAIT = (96, 128)  # largest width and height, px
SCENE_WIDTH = 960
SCENE_SAMPLES = 8
STILL = 8.0  # grey levels by which samples of a fixed camera's scene differ from their median, at most
MOST_APART = 30  # grey levels; a pixel that somebody covers counts no more than that


@dataclasses.dataclass
class Portrait:
    """The best crop of a track so far: its merit, its JPEG, and when to look again (s) after how many looks."""

    merit: float = -1.0
    jpeg: bytes = b""
    due: float = 0.0
    looks: int = 0


class Portraits:
    """Keeps the sharpest crop of each track, looking at a few boxes a frame.

    Attributes:
        found: Track id → portrait.
    """

    def __init__(self) -> None:
        self.found: dict[int, Portrait] = {}

    def look(self, image: Image, rows: Detections, time: float) -> None:
        """Look at the rows that have waited longest, at `LOOKS_PER_FRAME` of them at most."""
        place = np.clip(rows.xyxy, 0, [image.shape[1], image.shape[0]] * 2)
        sizes = place[:, 2:] - place[:, :2]
        fit = (rows.track_id >= 1) & ~rows.coasted & (sizes >= LEAST_SIDE).all(1)
        due = []
        for row in np.flatnonzero(fit).tolist():
            portrait = self.found.setdefault(int(rows.track_id[row]), Portrait())
            if time >= portrait.due:
                due.append((portrait.due, row, portrait))
        due.sort(key=lambda one: one[0])
        for _, row, portrait in due[:LOOKS_PER_FRAME]:
            portrait.looks += 1
            portrait.due = time + PAUSE * portrait.looks
            self._judge(portrait, image, place[row], _hidden(rows.xyxy, row))
        if len(self.found) > 2 * MOST_PORTRAITS:
            self._forget(rows.track_id)

    def _judge(self, portrait: Portrait, image: Image, box: FloatArray, hidden: float) -> None:
        import cv2

        x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
        crop = image[y1:y2, x1:x2]
        small = fitted(crop, *PORTRAIT)
        merit = sharpness(small) * float(np.sqrt(crop.shape[0] * crop.shape[1])) * (1 - hidden)
        if merit > portrait.merit:
            done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
            if done:
                portrait.merit, portrait.jpeg = merit, data.tobytes()

    def _forget(self, present: np.ndarray) -> None:
        """Keep those who were looked at most, and those who are there now."""
        most = sorted(self.found, key=lambda track_id: -self.found[track_id].looks)[:MOST_PORTRAITS]
        keep = {*most, *present.tolist()}
        self.found = {track_id: portrait for track_id, portrait in self.found.items() if track_id in keep}


def sharpness(image: Image) -> float:
    """Return the variance of the picture's Laplacian, large where edges are sharp (Pech-Pacheco et al., ICPR 2000)."""
    import cv2

    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())


def _hidden(xyxy: FloatArray, row: int) -> float:
    """Return the largest IoU of a box with another one of the frame."""
    others: BoolArray = np.arange(len(xyxy)) != row
    return float(boxes.iou(xyxy[row : row + 1], xyxy[others]).max(initial=0))


def fitted(image: Image, width: int, height: int) -> Image:
    """Return the picture made smaller to fit; a small one stays as it is."""
    import cv2

    scale = min(width / image.shape[1], height / image.shape[0], 1.0)
    if scale == 1.0:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class Scene:
    """Keeps a few samples of the picture, spread over the run, and returns what they have in common."""

    def __init__(self) -> None:
        self._samples: list[Image] = []
        self._stride = 1
        self._seen = 0

    def look(self, image: Callable[[], Image]) -> None:
        """Take a sample now and then; only then is the picture asked for."""
        if self._seen % self._stride == 0:
            self._samples.append(fitted(image(), SCENE_WIDTH, 10 * SCENE_WIDTH))
            if len(self._samples) > SCENE_SAMPLES:
                self._samples = self._samples[::2]
                self._stride *= 2
        self._seen += 1

    def jpeg(self) -> bytes:
        """Return the samples' median where the camera stood still, else the middle one; nothing without samples."""
        import cv2

        if not self._samples:
            return b""
        middle = self._samples[len(self._samples) // 2]
        alike = [sample for sample in self._samples if sample.shape == middle.shape]
        median = np.median(np.stack(alike), axis=0).astype(np.uint8)
        apart = np.mean([np.abs(sample.astype(np.int16) - median).clip(max=MOST_APART).mean() for sample in alike])
        _, data = cv2.imencode(".jpg", median if apart < STILL else middle, [cv2.IMWRITE_JPEG_QUALITY, 78])
        return data.tobytes()
