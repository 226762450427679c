"""Containers and encoders of written videos: from the names users know to FFmpeg's, and their settings."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from mot_dinov3.core.errors import OutputError, UsageError, closest
from mot_dinov3.core.special_files import is_special
from mot_dinov3.core.structures import Image

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
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
PRESETS = ("veryfast", "superfast", "ultrafast")  # of H.264, the smallest files first
AUTO_PRESET = "auto"  # the first that does not limit the run
# No B-frames: frames leave in the order they came, the first at 0, with the least delay; about 10 % more bytes.
H264_OPTIONS = {"crf": "20", "bf": "0"}
MORE_OPTIONS = {
    "libx265": {"x265-params": "log-level=error"},  # else it writes about itself onto the terminal
    # as fast as the stages before it, and no frame held back
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "lag-in-frames": "0"},
}
MPEG_RANGE, BT601 = 1, 5  # what OpenCV's BGR → YUV conversion makes; without the tag players assume BT.709 for HD


MP4_SOUND = frozenset(("aac", "mp3", "mp3float", "opus", "flac", "ac3", "eac3", "alac"))


@dataclasses.dataclass(frozen=True)
class Container:
    """A format of video files.

    Attributes:
        name: FFmpeg's name of its muxer.
        encoder: FFmpeg's name of the encoder that it gets.
        sound: Decoders, by FFmpeg's names, whose sound it holds; other sound is converted.
        sound_encoder: Encoder of converted sound.
        growing: Options of the muxer for a file that plays while it grows.
        streamed: Options of the muxer for a pipe.
    """

    name: str
    encoder: str = H264_ENCODER
    sound: frozenset[str] = MP4_SOUND
    sound_encoder: str = "aac"
    growing: Mapping[str, str] = dataclasses.field(default_factory=dict)
    streamed: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _mp4(name: str, sound: frozenset[str] = MP4_SOUND) -> Container:
    common = {"video_track_timescale": str(TICKS)}
    # fragments while it grows, so that a killed run's file plays; an ordinary file with one index once closed
    growing = {**common, "movflags": "frag_keyframe+hybrid_fragmented+default_base_moof"}
    streamed = {**common, "movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return Container(name, sound=sound, growing=growing, streamed=streamed)


_MATROSKA = {"cluster_time_limit": "1000"}  # ms that a killed run loses
MP4 = _mp4("mp4")
CONTAINERS = {
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": _mp4("mov", frozenset(("aac", "mp3", "mp3float", "ac3", "alac"))),
    ".mkv": Container("matroska", sound=MP4_SOUND | {"vorbis"}, growing=_MATROSKA, streamed=_MATROSKA),
    ".webm": Container("webm", "libvpx-vp9", frozenset(("opus", "vorbis")), "libopus", _MATROSKA, _MATROSKA),
}
"""Extension → container."""


def container_of(path: Path) -> Container:
    """Return the container that a video's extension stands for; a pipe or device without extension gets MP4.

    Raises:
        OutputError: No such video can be written.
    """
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        return CONTAINERS[suffix]
    if is_special(path):
        return MP4
    what = f"'{suffix}'" if suffix else "without an extension"
    raise OutputError(
        f"output '{path}': a video {what} cannot be written", remedy=f"use the extension {', '.join(CONTAINERS)}"
    )


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
        preset: One of `PRESETS`, by which H.264 is encoded.
    """

    size: tuple[int, int]
    fps: float
    pixel_aspect: Fraction = Fraction(1)
    preset: str = PRESETS[0]


def add_video_stream(container: OutputContainer, encoder: str, shape: StreamShape) -> VideoStream:
    """Add a stream of video to an output that has no header yet."""
    (width, height), fps = shape.size, shape.fps
    is_h264 = encoder == H264_ENCODER
    rate = Fraction(fps).limit_denominator(10_000)
    spacing = str(min(250, max(1, round(KEYFRAME_S * fps))))
    # Motion JPEG takes images of the usual range only when it need not be strict.
    h264 = {"preset": shape.preset, **H264_OPTIONS}
    options = h264 if is_h264 else {"strict": "unofficial", **MORE_OPTIONS.get(encoder, {})}
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


def as_frame(image: Image) -> VideoFrame:
    """Return an ``(h, w, 3)`` uint8 BGR image as encoders take it; an odd side grows by a copy of its edge."""
    import av
    import cv2

    height, width = image.shape[:2]
    if height % 2 or width % 2:
        edge = cv2.BORDER_REPLICATE
        image = np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, edge), np.uint8)
    # OpenCV converts 3 to 5 times faster than FFmpeg's scaler, and rounds better
    planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def codec_description(muxer: str, encoder: str, shape: StreamShape) -> bytes:
    """Return the codec's extradata in a file that `add_video_stream` begins: two equal ones can be joined."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        stream = add_video_stream(container, encoder, shape)
        frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, TICKS)
        container.mux(stream.encode(frame))  # FFmpeg's muxer crashes when it is closed without a frame
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as written:
        return bytes(written.streams.video[0].codec_context.extradata or b"")
