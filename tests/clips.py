"""Small videos for tests: every picture carries its own number, readable after lossy coding."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (96, 64)
DARK, BRIGHT = 40, 210
TICKS = 90_000
AUDIO_RATE = 48_000
HEADER = 16  # bytes that a container may put before a packet's data


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return an ``(h, w, 3)`` uint8 BGR picture whose 2 × 4 fields are the bits of `index`, brightest bit top left."""
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    for bit in range(8):
        row, column = divmod(bit, 4)
        rows = slice(row * height // 2, (row + 1) * height // 2)
        columns = slice(column * width // 4, (column + 1) * width // 4)
        image[rows, columns] = BRIGHT if index >> (7 - bit) & 1 else DARK
    return image


def number(image: np.ndarray) -> int:
    """Return the index that `picture` wrote; fails where a field is neither dark nor bright."""
    height, width = image.shape[:2]
    index = 0
    for bit in range(8):
        row, column = divmod(bit, 4)
        rows = slice(row * height // 2 + height // 8, (row + 1) * height // 2 - height // 8)
        columns = slice(column * width // 4 + width // 16, (column + 1) * width // 4 - width // 16)
        level = image[rows, columns].mean()
        assert abs(level - BRIGHT) < 40 or abs(level - DARK) < 40, f"field {bit} has level {level:.0f}"
        index = index << 1 | bool(level > (DARK + BRIGHT) / 2)
    return index


def numbers(images: Sequence[np.ndarray]) -> list[int]:
    """Return the index each picture carries."""
    return [number(image) for image in images]


def write_clip(
    path: Path,
    frames: int = 12,
    *,
    size: tuple[int, int] = SIZE,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sound: str | None = None,
    movflags: str = "faststart",
    turned: int = 0,
) -> Path:
    """Write a video of numbered pictures at 10 frames a second, or shown from the given `times` in seconds.

    Args:
        path: Its ending chooses the container.
        frames: How many, at most 256.
        size: Width and height.
        times: Start of each picture; None for a constant rate.
        codec: FFmpeg's name of the encoder.
        pix_fmt: FFmpeg's name of the pixel format.
        sound: Encoder of a soundtrack that is silent but for a tone from second 0.5 on, or None.
        movflags: For MP4.
        turned: Quarter turns against the clock that the stored pictures are turned by.
    """
    options = {"movflags": movflags} if path.suffix == ".mp4" and movflags else {}
    with av.open(str(path), "w", options=options) as container:
        extra = {"options": {"preset": "ultrafast", "g": "4"}} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=10, **extra)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        base = Fraction(1, 10) if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        tone = container.add_stream(sound, rate=AUDIO_RATE, layout="mono") if sound else None
        for index in range(frames):
            image = np.rot90(picture(index, size[::-1] if turned % 2 else size), turned)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24").reformat(format=pix_fmt)
            frame.pts = index if times is None else round(times[index] * 1000)
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            _add_tone(container, tone, (times[-1] if times else frames / 10) + 0.2)
    return path


def write_sound(path: Path, codec: str = "aac") -> Path:
    """Write a file that holds sound and no pictures."""
    with av.open(str(path), "w") as container:
        _add_tone(container, container.add_stream(codec, rate=AUDIO_RATE, layout="mono"), 0.6)
    return path


def _add_tone(container, stream, seconds: float) -> None:
    count = int(seconds * AUDIO_RATE) // 1024 * 1024
    at = np.arange(count) / AUDIO_RATE
    wave = np.where(at >= 0.5, 0.5 * np.sin(2 * np.pi * 1000 * at), 0).astype(np.float32)
    resampler = av.AudioResampler(stream.codec_context.format.name, "mono", AUDIO_RATE)
    for start in range(0, count, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024].copy(), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode(None))


def tone_start(path: Path) -> float:
    """Return the moment in seconds at which the soundtrack stops being silent."""
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            samples = np.abs(frame.to_ndarray().astype(np.float64).reshape(-1))
            loud = np.flatnonzero(samples > 0.25 * (np.iinfo(np.int16).max if frame.format.name[0] == "s" else 1))
            if len(loud):
                return float(frame.time + loud[0] / frame.sample_rate)
    raise AssertionError("no tone")


def orient(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix of an MP4's first track: ``x' = a x + c y``, ``y' = b x + d y``."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert data[at : at + 4] == b"\x00\x01\x00\x00", "an upright matrix is expected here"
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def packet_spans(path: Path) -> list[tuple[int, int]]:
    """Return where in the file the data of each video packet starts and ends (or, with a header, a little before)."""
    with av.open(str(path)) as container:
        return [(p.pos, p.pos + p.size) for p in container.demux(video=0) if p.size]


def damage(path: Path, packets: Sequence[int]) -> Path:
    """Overwrite the given video packets with zeros, but for a container's header."""
    data = bytearray(path.read_bytes())
    for start, stop in (packet_spans(path)[i] for i in packets):
        start += min(HEADER, (stop - start) // 2)
        data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    return path


def truncate(path: Path, packet: int) -> Path:
    """Cut a file off in the middle of the given video packet."""
    start, stop = packet_spans(path)[packet]
    path.write_bytes(path.read_bytes()[: (start + stop) // 2])
    return path
