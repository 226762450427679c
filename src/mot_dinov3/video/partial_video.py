"""The part of a video that an interrupted run has encoded, to be copied into the new file without encoding it again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from mot_dinov3.core import files

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


class PartialVideo:
    """Encoded frames of an unfinished video, an MP4 cut off anywhere, read in order as packets.

    Attributes:
        frame_count: Number of whole frames; 0 where the file is not a video of ours.
        size: Width and height as encoded.
        description: The codec's extradata (see `encoders.codec_description`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frame_count = 0
        self.size = (0, 0)
        self.description = b""
        try:
            with av.open(f"file:{path}") as container:
                stream = container.streams.video[0]
                self.size = (stream.width, stream.height)
                self.description = bytes(stream.codec_context.extradata or b"")
                self.frame_count = sum(1 for _ in _whole_packets(container.demux(stream), path.stat().st_size))
        except (av.error.FFmpegError, OSError, IndexError):  # nothing to continue from
            return
        self._open()

    def _open(self) -> None:
        self._container = av.open(f"file:{self.path}")
        stream = self._container.streams.video[0]
        self._packets = _whole_packets(self._container.demux(stream), self.path.stat().st_size)
        if stream.codec_context.name == "h264":  # the muxer expects the byte stream format of encoders (annex B)
            to_annex_b = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", in_stream=stream).filter
            self._packets = itertools.chain.from_iterable(map(to_annex_b, self._packets))

    def __next__(self) -> Packet[VideoStream]:
        return next(self._packets)

    def close(self) -> None:
        """Close the file."""
        if self.frame_count:
            self._container.close()

    def move(self, path: Path) -> None:
        """Rename the file and begin with its first frame again."""
        self.close()
        self.path.replace(path)
        self.path = path
        self._open()

    def remove_aside(self, path: Path) -> None:
        """Close the file and remove what was set aside for the video `path`, which now holds all of it."""
        self.close()
        aside_path(path).unlink(missing_ok=True)


def _whole_packets(packets: Iterator[Packet[VideoStream]], end: int) -> Iterator[Packet[VideoStream]]:
    """Yield the packets up to the first that is damaged or reaches beyond the file's `end`."""
    try:
        for packet in packets:
            if not packet.size or packet.is_corrupt or packet.pos is None or packet.pos + packet.size > end:
                return
            yield packet
    except av.error.FFmpegError:
        return


def aside_path(path: Path) -> Path:
    """Return where the interrupted run's part of the video `path` is kept while a new one grows."""
    return path.with_name(f"{path.stem}.part.earlier{path.suffix}")


def find_partial(path: Path, finished_bytes: int) -> PartialVideo | None:
    """Return what interrupted runs have left of the video `path`, the longest where there are several.

    `finished_bytes` is the size of the file there if an interrupted run has finished it; 0 if it was killed.
    """
    found = [PartialVideo(place) for place in (files.part_path(path), aside_path(path)) if place.exists()]
    if finished_bytes and path.exists() and path.stat().st_size == finished_bytes:
        found.append(PartialVideo(path))
    longest = max(found, key=lambda partial: partial.frame_count, default=None)
    for partial in found:
        if partial is not longest:
            partial.close()
    return longest if longest is not None and longest.frame_count else None
