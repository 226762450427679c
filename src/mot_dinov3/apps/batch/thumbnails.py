"""Small images of the videos of a batch, for its overview page."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures import Image
from mot_dinov3.report.best_crops import shrunk
from mot_dinov3.video.image_files import write_image

THUMBNAIL = "thumbnail.jpg"
SIZE = (256, 144)  # largest width and height, px
MOVIES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")


def write_thumbnail(folder: Path, source: Path | None) -> Path | None:
    """Write the middle frame of a video as a thumbnail into its result folder, and return its path.

    An earlier one is kept while it is newer than the video.

    Args:
        folder: The result folder; its tracked video is shown, where there is one.
        source: The source, shown where no tracked video was written; None where it must not be shown.

    Returns:
        None where there is no video that can be decoded.
    """
    tracked = tracked_videos(folder)
    video = tracked[0] if tracked else source
    path = folder / THUMBNAIL
    if video is None or not video.exists() or not folder.is_dir():
        return None
    if path.exists() and path.stat().st_mtime >= video.stat().st_mtime:
        return path
    try:
        image = _middle(video)
    except MotError:  # a video that cannot be decoded has no thumbnail; its run has reported it
        return None
    write_image(path, image, quality=75)
    return path


def tracked_videos(folder: Path) -> Sequence[Path]:
    """Return the finished videos in a result folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix.lower() in MOVIES and ".part" not in path.suffixes)


def _middle(video: Path) -> Image:
    from mot_dinov3.video.random_access import open_random_access

    with contextlib.closing(open_random_access(video)) as opened:
        return shrunk(opened.image((opened.info.frame_count or 1) // 2), *SIZE)
