r"""Makes a moving image for a page out of a video: an animated WebP, which browsers and code hosts show in place.

The one at the top of README.md shows the last part of vtest.avi, which is sample data of OpenCV (samples/data)::

    mot-dinov3 vtest.avi --start-frame 560 --classes 0 --conf 0.1 --embedder osnet \
        --embed-model osnet_x0_25_msmt17.onnx --trails 3 --font-scale 0.85 --line-thickness 2 --output tracked.mp4
    python docs/moving_image.py tracked.mp4 docs/images/vtest.webp --end-frame 205
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mot_dinov3.video import SourceConfig, open_source

NOISE = 12
"""Change of a pixel, of 255, up to which it stays as it was: a still background then takes no space."""


def images(args: argparse.Namespace) -> Iterator[Image.Image]:
    """Yield the frames at the chosen rate and size, without the camera's noise."""
    shown: np.ndarray | None = None
    with open_source(SourceConfig(source=str(args.video), end_frame=args.end_frame)) as source:
        step = max(1, round((source.info.fps or args.fps) / args.fps))
        size = args.width, round(args.width * source.info.height / source.info.width)
        for frame in source:
            if frame.index % step:
                continue
            image = cv2.resize(frame.pixels(), size, interpolation=cv2.INTER_AREA)
            if shown is not None:
                changed = (np.abs(image.astype(np.int16) - shown).max(axis=2) > NOISE).astype(np.uint8)
                image = np.where(cv2.dilate(changed, np.ones((3, 3)))[..., None] > 0, image, shown)
            shown = image
            yield Image.fromarray(image[..., ::-1])


def main() -> None:
    """Write the image and print its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("image", type=Path, help="a .webp file")
    parser.add_argument("--width", type=int, default=600, help="in pixels (default 600)")
    parser.add_argument("--fps", type=float, default=10.0, help="frames per second of the image (default 10)")
    parser.add_argument("--end-frame", type=int, help="stop before this frame of the video")
    parser.add_argument("--quality", type=int, default=45, help="of WebP, 1 to 100 (default 45)")
    args = parser.parse_args()
    first, *others = images(args)
    options = {"duration": round(1000 / args.fps), "loop": 0, "quality": args.quality, "method": 6}
    first.save(args.image, save_all=True, append_images=others, **options)
    print(f"{args.image}: {1 + len(others)} frames, {args.image.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
