r"""Processor time of the optical flow on one video: the reduced image, the boxes, the camera.

Medians in milliseconds per frame, of one thread, as Markdown::

    python benchmarks/optical_flow.py --video ../shared/data/videos/people_1080p.mp4

All frames are computed in turn by all of them, so that a busy machine slows them alike.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mot_dinov3.core.structures import Float64Array, Frame, Image
from mot_dinov3.trackers.optical_flow import BoxFlow, CameraMotion
from mot_dinov3.video import SourceConfig, open_source


def main() -> None:
    """Print the table."""
    args = parse()
    cv2.setNumThreads(1)
    config = SourceConfig(source=str(args.video), start_frame=args.start, end_frame=args.start + args.frames)
    with open_source(config) as source:
        images = [frame.pixels() for frame in source]
    print(f"| {args.boxes} boxes, {images[0].shape[1]} × {images[0].shape[0]} | ms per frame |\n| --- | --- |")
    for name, ms in measured(images, people(images[0], args.boxes), args.rounds).items():
        print(f"| {name} | {ms:.2f} |")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--boxes", type=int, default=10, help="boxes in each frame (default: 10)")
    parser.add_argument("--start", type=int, default=100, help="first frame (default: 100)")
    parser.add_argument("--frames", type=int, default=20, help="frames (default: 20)")
    parser.add_argument("--rounds", type=int, default=10, help="times that they are computed (default: 10)")
    return parser.parse_args()


def people(image: Image, count: int) -> Float64Array:
    """Return boxes at random places of an image, a third of its height."""
    size = np.array([image.shape[0] / 9, image.shape[0] / 3])
    corner = np.random.default_rng(0).uniform(0, np.array(image.shape[1::-1]) - size, (count, 2))
    return np.concatenate([corner, corner + size], axis=1)


def measured(images: list[Image], boxes: Float64Array, rounds: int) -> dict[str, float]:
    """Return the median processor time of each part, in milliseconds."""
    expected = np.zeros((len(boxes), 2))
    alone, camera, shared_flow, shared_camera = BoxFlow(), CameraMotion(), BoxFlow(), CameraMotion()

    def both(frame: Frame) -> None:
        shared_flow.step(frame, boxes, expected)
        shared_camera.estimate(frame, boxes)

    parts: dict[str, Callable[[Frame], object]] = {
        "reduced image": lambda frame: frame.grey,
        "boxes": lambda frame: alone.step(frame, boxes, expected),
        "camera": lambda frame: camera.estimate(frame, boxes),
        "boxes and camera": both,
    }
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for index, image in enumerate(images):
            for name, part in parts.items():
                frame, start = Frame(index, 0.0, image), time.thread_time()
                part(frame)
                taken[name].append(1e3 * (time.thread_time() - start))
    return {name: float(np.median(each)) for name, each in taken.items()}


if __name__ == "__main__":
    main()
