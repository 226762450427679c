"""A small video with a textured body on a plain ground, its labels, its truth, and runs over it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np

from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats import labelme
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.wiring import KeypointRun, build_keypoints
from mot_dinov3.keypoints.labels import LabelledInstance, resolve_instances
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.video import VideoWriter

SIZE = (192, 128)
POINTS = {"nose": (14.0, 10.0), "left_ear": (30.0, 8.0), "right_ear": (30.0, 30.0), "tail": (50.0, 20.0)}
START = (20, 30)
BODY = (64, 40)


def offset(frame: int) -> tuple[int, int]:
    """Top left corner of the body in a frame."""
    return START[0] + 3 * frame, START[1] + round(8 * np.sin(frame / 4))


def picture(frame: int, *, hidden: bool = False) -> np.ndarray:
    """The frame's picture; `hidden` leaves the body out."""
    rng = np.random.default_rng(5)
    ground = cv2.GaussianBlur(rng.integers(90, 130, (SIZE[1], SIZE[0], 3)).astype(np.uint8), (0, 0), 2)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (BODY[1], BODY[0], 3)).astype(np.uint8), (0, 0), 1.5)
    if not hidden:
        x, y = offset(frame)
        ground[y : y + BODY[1], x : x + BODY[0]] = texture
    return ground


def truth(frame: int) -> dict[str, tuple[float, float]]:
    """Where the points are."""
    x, y = offset(frame)
    return {name: (x + dx, y + dy) for name, (dx, dy) in POINTS.items()}


def write_video(path: Path, frames: int, *, each: int = 1) -> Path:
    """Write the scene's first `frames` frames, each of them `each` times."""
    path.parent.mkdir(exist_ok=True)
    info = VideoInfo(str(path), *SIZE, 10.0, frames * each)
    with VideoWriter(path, info=info) as writer:
        for number in range(frames * each):
            writer.write(picture(number // each), number / 10)
    return path


def write_images(path: Path, images: Iterable[np.ndarray]) -> Path:
    """Write a video (.mkv) that shows exactly these images, at 10 frames a second, whatever the encoder's version.

    For tests of what is close to a threshold: an encoder's noise would decide some of them.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "bgr0"
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def label(folder: Path, stem: str, frame: int, *, moved: float = 0.0, outline: bool = True) -> Path:
    """Write a person's frame file."""
    folder.mkdir(exist_ok=True)
    x, y = offset(frame)
    corners = [[x, y], [x + BODY[0], y], [x + BODY[0], y + BODY[1]], [x, y + BODY[1]]]
    shapes = [shape(name, [[px + moved, py]], "point") for name, (px, py) in truth(frame).items()]
    if outline:
        shapes.insert(0, shape("mouse", corners, "polygon"))
    path = folder / f"{stem}_{frame:09d}.json"
    path.write_text(json.dumps(document(shapes)))
    return path


def shape(name: str, points: list[list[float]], kind: str, **more: object) -> dict[str, object]:
    return {"label": name, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def document(shapes: list[dict[str, object]], size: tuple[int, int] = SIZE) -> dict[str, object]:
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": "x.png",
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    }


def build(video: Path, *, masks: str = "auto", **more: object) -> KeypointRun:
    """Build a job on the weight-free backend."""
    job = KeypointJobConfig(source=str(video), **more)  # type: ignore[arg-type]
    return build_keypoints(
        KeypointsOptions(job, BackendConfig("gradient"), DeviceConfig(device="cpu"), KeypointConfig(masks=masks))
    )


def build_labels(video: Path) -> tuple[LabelledInstance, ...]:
    """The instances of the first labelled frame."""
    labels = resolve_instances(labelme.read_labels(video.parent / video.stem, video.stem, SIZE))
    return labels.frames[min(labels.frames)]


def run(video: Path, **more: object) -> KeypointRun:
    """Build a job and run it to its end."""
    built = build(video, **more)  # type: ignore[arg-type]
    built.run()
    return built


def rows(video: Path) -> list[dict[str, str]]:
    """The long table."""
    with (video.parent / video.stem / f"{video.stem}_keypoints.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def errors(video: Path, *, each: int = 1) -> np.ndarray:
    """How many pixels each row is off."""
    return np.array(
        [
            np.hypot(float(r["x"]) - x, float(r["y"]) - y)
            for r in rows(video)
            for x, y in [truth(int(r["frame"]) // each)[r["keypoint"]]]
        ]
    )
