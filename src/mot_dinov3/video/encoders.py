"""From what a user calls a video codec to FFmpeg's encoder."""

from __future__ import annotations

from mot_dinov3.core.errors import UsageError, closest
from mot_dinov3.video.writer import H264_ENCODER

FOURCC = {
    "h264": H264_ENCODER,
    "avc1": H264_ENCODER,
    "x264": H264_ENCODER,
    "mp4v": "mpeg4",
    "fmp4": "mpeg4",
    "xvid": "mpeg4",
    "divx": "mpeg4",
    "hevc": "libx265",
    "h265": "libx265",
    "hev1": "libx265",
    "hvc1": "libx265",
    "vp09": "libvpx-vp9",
    "vp90": "libvpx-vp9",
    "av01": "libsvtav1",
    "mjpg": "mjpeg",
}


def encoder_of(name: str) -> str:
    """Return FFmpeg's encoder for a fourcc (``mp4v``, ``avc1``, ``H264``, …) or for its own name.

    Raises:
        UsageError: This build of FFmpeg has no such encoder of pictures that MP4 can hold.
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
