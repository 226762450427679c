"""Opening a source by its address, and what can be known of a source before it is opened."""

from __future__ import annotations

import glob
import itertools
import re
import stat
from pathlib import Path

from mot_dinov3.core.errors import ConfigError, UsageError, VideoError
from mot_dinov3.video.image_files import BATCH, SUFFIXES
from mot_dinov3.video.source import FrameSource, SourceConfig

STDIN = Path("/dev/stdin")
MOST_MATCHES = 1000  # of a pattern, which are counted for a message
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
    return _local(config, local_path(address))


def _local(config: SourceConfig, path: Path) -> FrameSource:
    from mot_dinov3.video.images import ImageFolder, is_series, open_series

    try:
        size = path.stat().st_size
    except OSError as error:
        raise pattern_error(path) or VideoError(
            f"source '{path}' cannot be opened: {error.strerror or error}", remedy="check --source"
        ) from error
    if is_pipe(path):
        from mot_dinov3.video.pipe import open_pipe

        return open_pipe(config, path)
    if size == 0 and path.is_file():
        raise VideoError(f"source '{path}' is empty (0 bytes)", remedy="copy or record it again")
    if is_series(path):
        return ImageFolder(config, open_series(path))
    from mot_dinov3.video.media import MediaSource

    return MediaSource(config, str(path), network=False)


def pattern_error(path: Path) -> VideoError | None:
    """Return the error of a path that is a pattern of file names, None for any other that does not exist."""
    suffix = path.suffix.lower()
    if re.search(r"%0?\d*d", path.name):
        return VideoError(f"source '{path}' is a pattern of names", remedy=f"give the folder: --source {path.parent}")
    found = glob.iglob(str(path)) if glob.has_magic(str(path)) else ()  # noqa: PTH207 - also of folders
    matches = list(itertools.islice(found, MOST_MATCHES))
    if not matches:
        return None
    count = f"{len(matches)}{' or more' * (len(matches) == MOST_MATCHES)} file{'s' * (len(matches) > 1)}"
    if suffix in SUFFIXES or Path(matches[0]).suffix.lower() in SUFFIXES:
        remedy = f"give the folder of the images: --source {path.parent}"
    else:
        remedy = f"name one video, or process all with batch: {BATCH.format(path)}"
    return VideoError(f"source '{path}' is a pattern that matches {count}", remedy=remedy)


def local_path(source: str) -> Path:
    """Return the path of a source that is no address; ``-`` is standard input."""
    return STDIN if source == "-" else Path(source)


def is_pipe(path: Path) -> bool:
    """Return whether a path is a pipe, a socket or a device, which can be read only once."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_live(source: str | None) -> bool:
    """Return whether a source can be read only once: a camera, a stream or a pipe."""
    if source is None:
        return False
    path = local_path(source)
    return is_pipe(path) if path.exists() else source.isdigit() or "://" in source


def refuse_live(source: str | None, command: str) -> None:
    """Refuse a source that can be read only once for a `command` that reads it several times.

    Raises:
        UsageError: It is one.
    """
    if is_live(source):
        raise UsageError(
            f"{command} reads the video several times, and '{source}' is a live source (a camera, a stream or a pipe)",
            remedy="save it to a file first",
        )
