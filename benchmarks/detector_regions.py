r"""Gain to expect of a detector that runs on parts of the image with a fixed camera, as Markdown.

Of each video: the share of the image that holds the boxes of the frame before, and motion: as cells, as one rectangle
and as two. Then the detector's processor time on a part of the first video's images, at the same scale::

    python benchmarks/detector_regions.py --det ../shared/models/yolov8n.pt \
        --video ../shared/data/tracking/vtest.avi --dets ../shared/data/tracking/PETS09-S2L1/det/yolov8n_960.txt
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mot_dinov3.core.structures import BoolArray, Detections, Frame, Image
from mot_dinov3.detectors.base import DetectorConfig, build_detector
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.inputs import sample_source
from mot_dinov3.trackers.unexplained_motion import AROUND, CELL, CHANGED, LEAST_CHANGED, WIDTH
from mot_dinov3.video import SourceConfig, open_source

IMGSZ = 960
PARTS = (1.0, 0.8, 0.6, 0.4, 0.25)  # of the area
SURE = 0.3  # score from which a box belongs to a track


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, nargs="+", required=True)
    parser.add_argument("--dets", type=Path, nargs="+", required=True, help="detections of each video")
    parser.add_argument("--det", type=Path, required=True, help="YOLO weights")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    print(
        "| share of the image, median (p90) | boxes and motion | one rectangle | two rectangles |\n"
        + "| --- " * 4
        + "|"
    )
    for video, dets in zip(args.video, args.dets):
        shares = np.array(list(needed(video, dets)))
        cells = (f"{m:.2f} ({p:.2f})" for m, p in zip(np.median(shares, axis=0), np.percentile(shares, 90, axis=0)))
        print(f"| {video.name} | {' | '.join(cells)} |", flush=True)
    print("\n| part of the image | processor ms | relative | boxes in it |\n" + "| --- " * 4 + "|")
    table = costs(args.video[0], args.det, args.rounds)
    for part, (ms, found) in table.items():
        print(f"| {part:.2f} | {ms:.0f} | {ms / table[1.0][0]:.2f} | {found} |", flush=True)


def needed(video: Path, dets: Path) -> Iterator[tuple[float, float, float]]:
    """Yield of each frame the shares of cells, of the rectangle around them, and of two rectangles."""
    config = DetectorConfig(dets=str(dets), conf=SURE)
    detector = build_detector(config, device=DeviceConfig(device="cpu"))
    last: tuple[Image, Detections] | None = None
    with open_source(SourceConfig(source=str(video))) as source:
        for frame in source:
            small = small_grey(frame)
            if last is not None:
                cells = moving(last[0], small) | covered(last[1], frame, small)
                yield cells.mean(), rectangle(cells), two_rectangles(cells)
            last = small, detector.detect(frame)


def small_grey(frame: Frame) -> Image:
    """Return the reduced image that motion is looked for in, in whole cells."""
    assert frame.grey is not None
    small = frame.grey.reduced(WIDTH).levels
    return small[: small.shape[0] // CELL * CELL, : small.shape[1] // CELL * CELL]


def moving(last: Image, now: Image) -> BoolArray:
    """Return the cells in which the image changes."""
    changed = (cv2.absdiff(last, now) > CHANGED).reshape(now.shape[0] // CELL, CELL, -1, CELL)
    return np.asarray(changed.mean(axis=(1, 3)) >= LEAST_CHANGED)


def covered(found: Detections, frame: Frame, small: Image) -> BoolArray:
    """Return the cells that boxes reach, widened by what limbs and one step take."""
    rows, columns = (side // CELL for side in small.shape)
    cells = np.zeros((rows, columns), np.bool_)
    scale = WIDTH / frame.pixels().shape[1] / CELL
    more = AROUND * np.tile(found.xyxy[:, 2:] - found.xyxy[:, :2], 2) * np.array([-1, -1, 1, 1])
    for x1, y1, x2, y2 in np.clip((found.xyxy + more) * scale, 0, max(rows, columns)).tolist():
        cells[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
    return cells


def rectangle(cells: Any) -> float:
    """Return the share of all cells in the rectangle around the true ones."""
    if not cells.any():
        return 0.0
    height, width = (np.ptp(np.flatnonzero(cells.any(axis=axis))) + 1 for axis in (1, 0))
    return float(height * width / cells.size)


def two_rectangles(cells: BoolArray) -> float:
    """Return the least share of two rectangles, on both sides of a straight line, around the true cells."""
    best = rectangle(cells)
    for turned in (cells, cells.T):
        for at in range(1, len(turned)):
            parts = (turned[:at], turned[at:])
            best = min(best, sum(rectangle(part) * part.size for part in parts) / cells.size)
    return best


def costs(video: Path, weights: Path, rounds: int) -> dict[float, tuple[float, int]]:
    """Return the median milliseconds of processor time by part of the image, and the boxes found; parts take turns."""
    source = SourceConfig(source=str(video), start_frame=100)
    with open_source(source) as frames:
        samples, image = sample_source(source, frames.info), next(iter(frames)).pixels()
    detectors, images = {}, {}
    for part in PARTS:
        height, width = (round(side * part**0.5) for side in image.shape[:2])
        config = DetectorConfig(det=str(weights), imgsz=round(IMGSZ * part**0.5 / 32) * 32, classes="0")
        detectors[part] = build_detector(config, device=DeviceConfig(device="cpu"), samples=samples)
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        images[part] = Frame(0, 0.0, np.ascontiguousarray(image[top : top + height, left : left + width]))
    spent: dict[float, list[float]] = {part: [] for part in PARTS}
    found = {}
    for round_ in range(-2, rounds):
        for part, detector in detectors.items():
            start = time.process_time()
            found[part] = len(detector.detect(images[part]))
            if round_ >= 0:
                spent[part].append(1e3 * (time.process_time() - start))
    return {part: (statistics.median(ms), found[part]) for part, ms in spent.items()}


if __name__ == "__main__":
    main()
