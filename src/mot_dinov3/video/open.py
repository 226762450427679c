"""Opening a source by its address: a file, a folder, a camera or a network stream."""

from __future__ import annotations

import re
from pathlib import Path

from mot_dinov3.core.errors import ConfigError, VideoError
from mot_dinov3.video.source import FrameSource, SourceConfig

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".mts"}
"""Endings of videos in a folder; a file that is named may have any ending."""

NETWORK = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")


def open_source(config: SourceConfig) -> FrameSource:
    """Open the source that `config.source` names and read its first wanted frame.

    Raises:
        ConfigError: No source is given.
        VideoError: It is missing, empty, not a video, has no frame, or none lies in the range.
    """
    address = config.source
    if address is None:
        raise ConfigError(
            "no source given", remedy="--source takes a video file, a folder of images, a camera or a URL"
        )
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", address)
    if scheme and scheme[1].lower() not in NETWORK:
        raise VideoError(f"source '{address}': unknown address '{scheme[1]}://'", remedy="known: " + ", ".join(NETWORK))
    if scheme:
        from mot_dinov3.video.stream import StreamSource

        return StreamSource(config, address)
    if re.fullmatch(r"[0-9]{1,3}", address) and not Path(address).exists():
        from mot_dinov3.video.camera import CameraSource, open_camera

        return CameraSource(config, open_camera(int(address)))
    return _local(config, Path(address))


def _local(config: SourceConfig, path: Path) -> FrameSource:
    try:
        is_folder, size = path.is_dir(), path.stat().st_size
    except OSError as error:
        raise VideoError(
            f"source '{path}' cannot be opened: {error.strerror or error}", remedy="check --source"
        ) from error
    if is_folder:
        from mot_dinov3.video.images import ImageFolder

        return ImageFolder(config, path)
    if size == 0 and path.is_file():
        raise VideoError(f"source '{path}' is empty (0 bytes)", remedy="copy or record it again")
    from mot_dinov3.video.media import MediaSource

    return MediaSource(config, str(path), network=False)
