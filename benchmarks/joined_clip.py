r"""Write a clip of busy and empty stretches, with its detections and ground truth, for `skipping.py`.

A fixed-camera clip is played twice; before, between and after, its background (the median of its frames, with noise) is
shown for some seconds::

    python benchmarks/joined_clip.py --video ../shared/data/tracking/TUD-Campus/TUD-Campus.mp4 \
        --gt ../shared/data/tracking/TUD-Campus/gt/gt.txt --dets tud.json --folder joined
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

import numpy as np

from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import SourceConfig, VideoWriter
from mot_dinov3.video.opening import open_source

NOISE = 2.0  # grey levels


def main() -> None:
    """Write ``joined.mp4``, ``joined.json`` and ``joined.txt``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("video", "dets", "gt", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=6.0, help="of an empty stretch (default: 6)")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(open_source(SourceConfig(source=str(args.video)))) as source:
        images, info = [frame.pixels().copy() for frame in source], source.info
    empty = round(args.seconds * info.fps)
    starts = [empty, 2 * empty + len(images)]
    write_video(args.folder / "joined.mp4", images, info, empty)
    document = json.loads(args.dets.read_text(encoding="utf-8"))
    records = [{**record, "frame": record["frame"] + start} for start in starts for record in document["frames"]]
    document["video"]["frame_count"] = starts[1] + len(images) + empty
    (args.folder / "joined.json").write_text(json.dumps({**document, "frames": records}), encoding="utf-8")
    rows = [line.split(",") for line in args.gt.read_text(encoding="utf-8").splitlines()]
    people = 1 + max(int(row[1]) for row in rows)
    moved = [
        ",".join([str(int(row[0]) + start), str(int(row[1]) + people * turn), *row[2:]])
        for turn, start in enumerate(starts)
        for row in rows
    ]
    (args.folder / "joined.txt").write_text("\n".join(moved) + "\n", encoding="utf-8")


def write_video(path: Path, images: list[np.ndarray], info: VideoInfo, empty: int) -> None:
    """Write empty, busy, empty, busy, empty."""
    rng, background = np.random.default_rng(0), np.median(images[::2], axis=0)
    plain = [np.clip(background + rng.normal(0, NOISE, background.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    still = [plain[number % len(plain)] for number in range(empty)]
    frames = [*still, *images, *still, *images, *still]
    with VideoWriter(path, info=VideoInfo(str(path), info.width, info.height, info.fps, len(frames))) as writer:
        for number, image in enumerate(frames):
            writer.write(image, number / info.fps)


if __name__ == "__main__":
    main()
