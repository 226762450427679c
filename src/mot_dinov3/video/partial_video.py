"""The pictures that an interrupted run has already encoded, to be taken over as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from mot_dinov3.core import files

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


class Earlier:
    """The pictures of an earlier file, in order, as packets.

    Args:
        path: An MP4, possibly cut off anywhere.

    Attributes:
        pictures: How many are whole; 0 where the file is none of ours.
        size: Width and height as encoded.
        description: What its encoder said of the stream.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
        self._open()

    def _open(self) -> None:
        self._container = av.open(f"file:{self.path}")
        stream = self._container.streams.video[0]
        packets = _whole(self._container.demux(stream), self.path.stat().st_size)
        self._packets = _as_encoded(packets, stream) if stream.codec_context.name == "h264" else packets

    def __next__(self) -> Packet[VideoStream]:
        return next(self._packets)

    def close(self) -> None:
        """Let go of the file."""
        if self.pictures:
            self._container.close()

    def move(self, path: Path) -> None:
        """Rename the file, to begin with its first picture again."""
        self.close()
        self.path.replace(path)
        self.path = path
        self._open()

    def remove_aside(self, path: Path) -> None:
        """Let go of the file, and remove what was put aside for the video `path`, which holds all of it now."""
        self.close()
        earlier_path(path).unlink(missing_ok=True)


def _whole(packets: Iterator[Packet[VideoStream]], end: int) -> Iterator[Packet[VideoStream]]:
    """Yield the packets up to the first that is damaged or reaches beyond the file's `end`."""
    try:
        for packet in packets:
            if not packet.size or packet.is_corrupt or packet.pos is None or packet.pos + packet.size > end:
                return
            yield packet
    except av.error.FFmpegError:
        return


def _as_encoded(packets: Iterator[Packet[VideoStream]], stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield H.264 packets as an encoder gives them, which is what the muxer expects: MP4 has them in another form."""
    form = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", in_stream=stream)
    for packet in packets:
        yield from form.filter(packet)


def earlier_path(path: Path) -> Path:
    """Return where the interrupted run's part of the video `path` waits while a new one grows."""
    return path.with_name(f"{path.stem}.part.earlier{path.suffix}")


def find_earlier(path: Path, finished_bytes: int) -> Earlier | None:
    """Return what interrupted runs have left of the video `path`, the longest where there are several.

    Args:
        path: The video's own place.
        finished_bytes: Size of the file there if an interrupted run has finished it; 0 if it was killed.
    """
    part, aside = files.part_path(path), earlier_path(path)
    found = [Earlier(place) for place in (part, aside) if place.exists()]
    if finished_bytes and path.exists() and path.stat().st_size == finished_bytes:
        found.append(Earlier(path))
    best = max(found, key=lambda one: one.pictures, default=None)
    for one in found:
        if one is not best:
            one.close()
    return best if best is not None and best.pictures else None
