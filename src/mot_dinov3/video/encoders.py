"""Encoders of written videos: from the names users know to FFmpeg's encoders and their settings."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from mot_dinov3.core.errors import UsageError, closest

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

H264_ENCODER = "libx264"
FOURCC = {
    **dict.fromkeys(("h264", "avc1", "x264"), H264_ENCODER),
    **dict.fromkeys(("mp4v", "fmp4", "xvid", "divx"), "mpeg4"),
    **dict.fromkeys(("hevc", "h265", "hev1", "hvc1"), "libx265"),
    **dict.fromkeys(("vp09", "vp90"), "libvpx-vp9"),
    "av01": "libsvtav1",
    "mjpg": "mjpeg",
}

TICKS = 90_000  # per second: divides by 24, 25, 30, 50 and 60 exactly, and keeps odd moments to 11 µs
COARSE_TICKS = 60_000  # for encoders other than H.264: MPEG-4 has 16 bits for it
BITS_PER_PIXEL = 0.25  # for those too: their own default rates are for thumbnails
KEYFRAME_S = 2.0  # a killed run loses at most this much of its end; seeking is as fine
# No B-frames: frames leave in the order they came, the first at 0, with the least delay; about 10 % more bytes.
H264_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0"}
QUIET = {"libx265": {"x265-params": "log-level=error"}}  # else it writes about itself onto the terminal
MPEG_RANGE, BT601 = 1, 5  # what OpenCV's BGR → YUV conversion makes; without the tag players assume BT.709 for HD


def encoder_of(name: str) -> str:
    """Return FFmpeg's encoder for a fourcc (``mp4v``, ``avc1``, ``H264``, …) or for its own name.

    Raises:
        UsageError: This build of FFmpeg has no such video encoder that MP4 can hold.
    """
    encoder = FOURCC.get(name.lower(), name)
    if encoder == H264_ENCODER:
        return encoder
    import av

    try:
        codec = av.codec.Codec(encoder, "w")
        formats = {f.name for f in codec.video_formats or ()} if codec.type == "video" else set()
    except (av.codec.codec.UnknownCodecError, ValueError):
        formats = set()
    if "yuv420p" not in formats:
        raise UsageError(
            f"fourcc '{name}': no such video encoder here{closest(name.lower(), FOURCC)}",
            remedy=f"known: {', '.join(sorted(FOURCC))}, or any of FFmpeg's encoders that takes yuv420p",
        )
    return encoder


@dataclasses.dataclass(frozen=True)
class StreamShape:
    """Properties of a written video stream.

    Attributes:
        size: Width and height of the images, pixels. Odd sides grow by one, since the format wants even ones.
        fps: Nominal rate: the images carry their own times.
        pixel_aspect: Width of a pixel divided by its height.
    """

    size: tuple[int, int]
    fps: float
    pixel_aspect: Fraction = Fraction(1)


def add_video_stream(container: OutputContainer, encoder: str, shape: StreamShape) -> VideoStream:
    """Add a stream of video to an output that has no header yet."""
    (width, height), fps = shape.size, shape.fps
    is_h264 = encoder == H264_ENCODER
    rate = Fraction(fps).limit_denominator(10_000)
    spacing = str(min(250, max(1, round(KEYFRAME_S * fps))))
    # Motion JPEG takes images of the usual range only when it need not be strict.
    options = H264_OPTIONS if is_h264 else {"strict": "unofficial", **QUIET.get(encoder, {})}
    stream = cast("VideoStream", container.add_stream(encoder, rate=rate, options={**options, "g": spacing}))
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    if shape.pixel_aspect != 1:
        stream.codec_context.sample_aspect_ratio = shape.pixel_aspect
    stream.codec_context.time_base = Fraction(1, TICKS if is_h264 else COARSE_TICKS)
    if not is_h264:
        stream.codec_context.bit_rate = round(BITS_PER_PIXEL * width * height * fps)
    stream.codec_context.color_range = MPEG_RANGE
    stream.codec_context.colorspace = BT601
    return stream


def codec_description(encoder: str, shape: StreamShape) -> bytes:
    """Return the codec's extradata in a file that `add_video_stream` begins: two equal ones can be joined."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = add_video_stream(container, encoder, shape)
        frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, TICKS)
        container.mux(stream.encode(frame))  # FFmpeg's muxer crashes when it is closed without a frame
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as written:
        return bytes(written.streams.video[0].codec_context.extradata or b"")
