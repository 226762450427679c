"""The pictures that an interrupted run has already encoded, to be taken over as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from mot_dinov3 import outputs

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


class Earlier:
    """The pictures of an earlier file, in order, as packets.

    Args:
        path: An MP4, possibly cut off anywhere.
        aside: It was put aside for this, so that `remove` deletes it.

    Attributes:
        pictures: How many are whole; 0 where the file is none of ours.
        size: Width and height as encoded.
        description: What its encoder said of the stream.
    """

    def __init__(self, path: Path, *, aside: bool = False) -> None:
        self.path = path
        self._aside = aside
        self.pictures = 0
        self.size = (0, 0)
        self.description = b""
        try:
            with av.open(f"file:{path}") as container:
                stream = container.streams.video[0]
                self.size = (stream.width, stream.height)
                self.description = bytes(stream.codec_context.extradata or b"")
                self.pictures = sum(1 for _ in _whole(container.demux(stream), path.stat().st_size))
        except (av.error.FFmpegError, OSError, IndexError):  # nothing to take over
            return
        self._container = av.open(f"file:{path}")
        stream = self._container.streams.video[0]
        self._packets = _whole(self._container.demux(stream), path.stat().st_size)

    def __next__(self) -> Packet[VideoStream]:
        return next(self._packets)

    def close(self) -> None:
        """Let go of the file."""
        if self.pictures:
            self._container.close()

    def remove(self) -> None:
        """Let go of the file, and remove what was put aside: the new one holds all of it."""
        self.close()
        if self._aside:
            self.path.unlink(missing_ok=True)


def _whole(packets: Iterator[Packet[VideoStream]], end: int) -> Iterator[Packet[VideoStream]]:
    """Yield the packets up to the first that is damaged or reaches beyond the file's `end`."""
    try:
        for packet in packets:
            if not packet.size or packet.is_corrupt or packet.pos is None or packet.pos + packet.size > end:
                return
            yield packet
    except av.error.FFmpegError:
        return


def earlier_path(path: Path) -> Path:
    """Return where the interrupted run's part of the video `path` waits while a new one grows."""
    return path.with_name(f"{path.stem}.part.earlier{path.suffix}")


def find_earlier(path: Path, finished_bytes: int) -> Earlier | None:
    """Return what interrupted runs have left of the video `path`, the longest where there are several.

    Args:
        path: The video's own place.
        finished_bytes: Size of the file there if an interrupted run has finished it; 0 if it was killed.
    """
    part, aside = outputs.part_path(path), earlier_path(path)
    found = [Earlier(place, aside=True) for place in (part, aside) if place.exists()]
    if finished_bytes and path.exists() and path.stat().st_size == finished_bytes:
        found.append(Earlier(path))
    best = max(found, key=lambda one: one.pictures, default=None)
    for one in found:
        if one is not best:
            one.close()
    if best is None or best.pictures == 0:
        return None
    if best.path == part:
        best.close()
        part.replace(aside)
        best = Earlier(aside, aside=True)
    return best
