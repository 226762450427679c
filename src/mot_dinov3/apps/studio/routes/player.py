"""Frames for the player."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mot_dinov3.apps.studio.requests import Ask, Blob
from mot_dinov3.apps.studio.session import Studio, file_stamp
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import Image

QUALITY = 92  # what is shown; crops are cut from the decoded frame itself


def video(studio: Studio, ask: Ask) -> dict[str, Any]:
    """What a video is, and how many of its frames are known yet."""
    path, frames = studio.video(ask.text("path"))
    info = frames.info
    complete = frames.complete
    return {
        "path": str(path),
        "name": path.name,
        "stamp": file_stamp(path),
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "frames": (frames.known or info.frame_count) if complete else max(info.frame_count, frames.known),
        "known": frames.known,
        "complete": complete,
    }


def frame(studio: Studio, ask: Ask) -> Blob:
    """A frame as JPEG; the address names the file's stamp, so that the browser may keep it."""
    _, frames = studio.video(ask.text("path"))
    number = ask.whole("n")
    headers = {"cache-control": "private, max-age=3600, immutable", "x-time": f"{frames.time(number):.6f}"}
    return Blob(jpeg(frames.image(number), QUALITY), "image/jpeg", headers)


def jpeg(image: Image, quality: int) -> bytes:
    """Return a picture as the bytes of a JPEG.

    Raises:
        InputError: It cannot be encoded (an empty one).
    """
    import cv2

    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise InputError("the picture cannot be encoded")
    return data.tobytes()


ROUTES: dict[tuple[str, str], Callable[[Studio, Ask], Any]] = {
    ("GET", "/api/video"): video,
    ("GET", "/api/frame"): frame,
}
