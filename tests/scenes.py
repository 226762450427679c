"""A small video of two coloured boxes that cross, with its truth and recorded detections."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import VideoWriter

WIDTH, HEIGHT, FPS = 160, 120, 10.0
COLORS = ((40, 40, 220), (210, 160, 30))


@dataclasses.dataclass(frozen=True)
class Scene:
    """Where the files of the scene are."""

    video: Path
    dets: Path
    gt: Path
    frames: int


def boxes_at(index: int) -> list[list[float]]:
    """Two boxes walking towards and past each other, one row apart in depth."""
    left = 4.0 + 2.5 * index
    return [[left, 30, left + 20, 80], [136 - left, 40, 156 - left, 95]]


def write_scene(folder: Path, frames: int = 40) -> Scene:
    """Write ``scene.mp4``, its det-v1 file and its truth into `folder`."""
    rng = np.random.default_rng(0)
    street = rng.integers(90, 130, (HEIGHT, WIDTH, 3), np.uint8)
    video = folder / "scene.mp4"
    records, truth = [], []
    with VideoWriter(video, info=VideoInfo(str(video), WIDTH, HEIGHT, FPS, frames)) as writer:
        for index in range(frames):
            image = street.copy()
            detections = []
            for number, (x1, y1, x2, y2) in enumerate(boxes_at(index)):
                image[int(y1) : int(y2), max(0, int(x1)) : max(0, int(x2))] = COLORS[number]
                box = [x1, y1, x2, y2]
                detections.append({"bbox": box, "score": 0.9, "class_id": 0, "class_name": "box", "det_ind": number})
                truth.append(f"{index + 1},{number + 1},{x1},{y1},{x2 - x1},{y2 - y1},1,-1,-1,-1\n")
            writer.write(image, index / FPS)
            records.append({"frame": index, "file": f"{index:06d}.jpg", "detections": detections})
    dets, gt = folder / "scene.json", folder / "gt.txt"
    header = {"path": "scene.mp4", "fps": FPS, "frame_count": frames, "width": WIDTH, "height": HEIGHT}
    dets.write_text(json.dumps({"schema_version": "det-v1", "video": header, "frames": records}))
    gt.write_text("".join(truth))
    return Scene(video, dets, gt, frames)
