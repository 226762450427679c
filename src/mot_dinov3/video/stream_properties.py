"""Properties of a video stream that its container gives or that are measured: rate, number of frames, sample frames."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mot_dinov3.video.source import MAX_FPS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DEFAULT_FPS = 25.0
_ELEMENTARY = frozenset((
    "av1", "avs2", "avs3", "cavsvideo", "dirac", "evc", "h261", "h263", "h264", "hevc", "m4v", "mjpeg", "mpegvideo",
    "obu", "vc1", "vvc",
))  # fmt: skip
"""FFmpeg's formats of a bare stream, without a container: for the rate, it names a default of its own."""

MEASURED_PACKETS = 1000  # of which the rate is taken where the container gives none
DECODED_PER_PLACE = 50  # frames at most, of one place of a file that is sampled


def has_rate(stream: VideoStream) -> bool:
    """Return whether the container gives a plausible average rate; recordings of browsers have none."""
    return stream.average_rate is not None and 0 < stream.average_rate <= MAX_FPS


def lacks_rate(container: InputContainer, stream: VideoStream) -> bool:
    """Return whether neither a container nor the coded frames give a rate: a bare stream of MJPEG, for example."""
    return container.format.name in _ELEMENTARY and not stream.codec_context.framerate


def frame_rate(container: InputContainer, stream: VideoStream) -> float:
    """Return the stream's average rate, a guess, or 25, whichever is plausible first; of a bare stream, its own."""
    coded = stream.codec_context.framerate if container.format.name in _ELEMENTARY else None
    for rate in (coded, stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= MAX_FPS:
            return float(rate)
    return DEFAULT_FPS


def measured_rate(container: InputContainer, stream: VideoStream) -> float | None:
    """Read the first packets and return their mean rate, None where they give none; decode nothing."""
    import av

    times: list[int] = []
    with contextlib.suppress(av.error.FFmpegError):
        for packet in itertools.islice(container.demux(stream), MEASURED_PACKETS):
            if packet.size and packet.pts is not None:
                times.append(packet.pts)
    span = (max(times, default=0) - min(times, default=0)) * (stream.time_base or 0)
    rate = (len(times) - 1) / span if span else 0
    return float(rate) if 0 < rate <= MAX_FPS else None


def announced_frames(container: InputContainer, stream: VideoStream) -> int:
    """Return the number of frames that the container lists, 0 where it lists none.

    The index is nearer the truth than the header: a capture program's dropped frames are chunks without content, and
    frames outside an edit list are not shown. Of a truncated file it has only the frames that opening has read.
    """
    if stream.frames <= 0:
        return 0
    entries = getattr(stream, "index_entries", ())  # PyAV before 16 has none
    if len(entries) == 0 or 2 * entries[len(entries) - 1].pos < container.size:
        return stream.frames
    return sum(entry.size > 0 and not entry.is_discard for entry in entries)


def announced_seconds(stream: VideoStream) -> float:
    """Return when a Matroska stream ends, seconds, as its tag says; 0 where it has none."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else 0.0


def spread_frames(container: InputContainer, stream: VideoStream, count: int) -> Iterator[VideoFrame]:
    """Yield a frame each from up to `count` places of a file; fewer, or none, where it cannot be sought."""
    import av

    with contextlib.suppress(av.error.FFmpegError):
        duration = container.duration or 0
        for place in range(1, count + 1) if duration else ():
            time = duration * place // (count + 1) + (container.start_time or 0)
            container.seek(time)
            frame = None  # the wanted one, or one nearer to it than the key frame
            for frame in itertools.islice(container.decode(stream), DECODED_PER_PLACE):
                if frame.pts is None or frame.time >= time / av.time_base:
                    break
            if frame is not None:
                yield frame
