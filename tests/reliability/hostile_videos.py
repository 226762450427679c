"""Files that cameras, broken disks and jokers hand in, made with PyAV: what each is, and what is to become of it."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from clips import SIZE, damage, orient, picture, truncate, write_clip, write_sound

FRAMES = 6


@dataclasses.dataclass(frozen=True)
class Case:
    """A hostile file.

    Attributes:
        make: Makes it in a folder and returns its path.
        frames: Least and most frames that come out of it; None where it is an error.
        says: What the summary's notices or the error's line match.
    """

    make: Callable[[Path], Path]
    frames: tuple[int, int] | None
    says: str = ""


def works(make: Callable[[Path], Path], frames: int = FRAMES, most: int = 0, says: str = "") -> Case:
    """Return a case whose frames come out, `frames` of them, or up to `most`."""
    return Case(make, (frames, max(frames, most)), says)


def fails(make: Callable[[Path], Path], says: str) -> Case:
    """Return a case that is one clear line."""
    return Case(make, None, says)


def clip(name: str, frames: int = FRAMES, **how: object) -> Callable[[Path], Path]:
    """Return a maker of an honest clip in an unusual form."""
    return lambda folder: write_clip(folder / name, frames, **how)  # type: ignore[arg-type]


def renamed(name: str, to: str, **how: object) -> Callable[[Path], Path]:
    """Return a maker of a clip under another name."""
    return lambda folder: write_clip(folder / name, FRAMES, **how).rename(folder / to)  # type: ignore[arg-type]


def content(name: str, data: bytes) -> Callable[[Path], Path]:
    """Return a maker of a file with these bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def edited(name: str, edit: Callable[[bytes], bytes], frames: int = FRAMES, **how: object) -> Callable[[Path], Path]:
    """Return a maker of a clip whose bytes are changed afterwards."""

    def make(folder: Path) -> Path:
        path = write_clip(folder / name, frames, **how)  # type: ignore[arg-type]
        path.write_bytes(edit(path.read_bytes()))
        return path

    return make


def joined(first: dict, second: dict) -> Callable[[Path], Path]:
    """Return a maker of two transport streams in one file."""

    def make(folder: Path) -> Path:
        parts = [write_clip(folder / f"{i}.ts", FRAMES, **how).read_bytes() for i, how in enumerate((first, second))]
        (folder / "a.ts").write_bytes(b"".join(parts))
        return folder / "a.ts"

    return make


def stamped(stamps: Sequence[int]) -> Callable[[Path], Path]:
    """Return a maker of a Matroska file whose pictures have these timestamps, in tenths of a second."""
    return lambda folder: encode(folder / "a.mkv", "mjpeg", "yuvj420p", stamps=stamps)


def encode(
    path: Path,
    codec: str,
    pix_fmt: str,
    *,
    stamps: Sequence[int] = range(FRAMES),
    options: dict[str, str] | None = None,
    streams: int = 1,
) -> Path:
    """Write numbered pictures with full control of their packets."""
    with av.open(str(path), "w") as container:
        outputs = [container.add_stream(codec, rate=10, options=options or {}) for _ in range(streams)]
        for stream in outputs:
            stream.width, stream.height = SIZE
            stream.pix_fmt = pix_fmt
        for index, stamp in enumerate(stamps):
            for stream in outputs:
                frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 10)
                for packet in stream.encode(frame):
                    if codec == "mjpeg":
                        packet.pts = packet.dts = stamp
                    container.mux(packet)
        for stream in outputs:
            container.mux(stream.encode(None))
    return path


def back_in_time(folder: Path) -> Path:
    """Write an MP4 whose composition offsets, made for B-frames, are in the wrong order: times go back and forth."""
    path = folder / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "2", "g": "12"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="bgr24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    at = data.index(b"ctts") + 8
    (count,) = struct.unpack(">I", data[at : at + 4])
    entries = [bytes(data[at + 4 + 8 * i : at + 12 + 8 * i]) for i in range(count)]
    data[at + 4 : at + 4 + 8 * count] = b"".join(reversed(entries))
    path.write_bytes(data)
    return path


def subtitles(folder: Path) -> Path:
    """Write a file of subtitles alone."""
    (folder / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")
    return folder / "a.srt"


def cover(folder: Path) -> Path:
    """Write a song whose only picture is its cover."""
    path = folder / "a.mp3"
    write_sound(folder / "plain.mp3", "libmp3lame")
    jpeg = cv2.imencode(".jpg", picture(1))[1].tobytes()
    body = b"\x00image/jpeg\x00\x03\x00" + jpeg
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\x00\x00" + body
    size = len(frame)
    synchsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\x00\x00" + synchsafe + frame + (folder / "plain.mp3").read_bytes())
    return path


def pictures(spoil: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Return a maker of a folder of pictures in which something is wrong."""

    def make(folder: Path) -> Path:
        place = folder / "pics"
        place.mkdir()
        for index in range(FRAMES):
            (place / f"{index}.png").write_bytes(cv2.imencode(".png", picture(index))[1].tobytes())
        spoil(place)
        return place

    return make


def bomb(side: int) -> bytes:
    """Return a small PNG that claims, and holds, `side` × `side` pixels of black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def huge_header(folder: Path) -> Path:
    """Write an AVI whose header claims pictures of 60,000 × 60,000."""
    path = write_clip(folder / "a.avi", FRAMES, codec="rawvideo", pix_fmt="bgr24")
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 8
    data[at + 4 : at + 12] = struct.pack("<ii", 60_000, 60_000)
    path.write_bytes(data)
    return path


def playlist(target: str) -> Callable[[Path], Path]:
    """Return a maker of an HLS playlist that names `target`, beside a clip s.ts."""

    def make(folder: Path) -> Path:
        write_clip(folder / "s.ts", FRAMES)
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
        return content("a.m3u8", text.encode())(folder)

    return make


def pipe(folder: Path) -> Path:
    """Make a named pipe into which nobody writes... a shut one: its writer has gone at once."""
    import os
    import threading

    path = folder / "pipe.mp4"
    os.mkfifo(path)
    threading.Thread(target=lambda: path.open("wb").close(), daemon=True).start()
    return path


NOISE = np.random.default_rng(0).bytes(4000)
JPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
LOSSLESS = {"codec": "ffv1"}
SDP = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)

CASES: dict[str, Case] = {
    # cut off
    "MP4 cut in the middle": works(lambda d: truncate(write_clip(d / "a.mp4", 20), 11), 10, 12, "ends early.*of 20"),
    "MP4 without its index": fails(lambda d: truncate(write_clip(d / "a.mp4", movflags=""), 5), "cannot be opened"),
    "fragmented MP4, cut": works(edited("a.mp4", lambda b: b[:-200], 12, movflags="frag_keyframe+empty_moov"), 8, 12),
    "Matroska, cut": works(lambda d: truncate(write_clip(d / "a.mkv", 20), 11), 10, 12),
    "AVI, cut": works(lambda d: truncate(write_clip(d / "a.avi", 20, **JPEG), 11), 11, 12),
    "transport stream, cut": works(lambda d: truncate(write_clip(d / "a.ts", 20), 11), 9, 12),
    "a Matroska header alone": fails(edited("a.mkv", lambda b: b[:400]), "cannot be opened"),
    "two packets of a transport stream": fails(edited("a.ts", lambda b: b[:376]), "cannot be opened"),
    # not what the name says
    "zero bytes": fails(content("a.mp4", b""), r"empty \(0 bytes\)"),
    "one byte": fails(content("a.mp4", b"\0"), "cannot be opened"),
    "noise": fails(content("a.mp4", NOISE), "cannot be opened"),
    "zeros": fails(content("a.mp4", bytes(100_000)), "cannot be opened"),
    "text": fails(content("a.mp4", b"hello\n" * 100), "not a video but text|cannot be opened"),
    "a web page": fails(
        content("a.mp4", b"<!DOCTYPE html><html><body>404</body></html>" * 20), "cannot be|not a video"
    ),
    "an SVG": fails(content("a.mp4", b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'), "cannot decode|cannot be"),
    "a ZIP": fails(content("a.mp4", b"PK\x03\x04" + bytes(500)), "cannot be opened"),
    "an MP4 called AVI": works(renamed("a.mp4", "b.avi")),
    "a Matroska called text": works(renamed("a.mkv", "b.txt")),
    "a picture called MP4": works(content("a.mp4", cv2.imencode(".png", picture(3))[1].tobytes()), 1),
    "sound alone": fails(lambda d: write_sound(d / "a.mp4"), "no video stream, only audio"),
    "sound in a WAV": fails(lambda d: write_sound(d / "a.wav", "pcm_s16le"), "no video stream, only audio"),
    "a song with a cover": fails(cover, "no video stream"),
    "subtitles alone": fails(subtitles, "no video stream|text"),
    "garbage before": fails(edited("a.mp4", lambda b: NOISE + b), "cannot be opened"),
    "garbage behind": works(edited("a.mp4", lambda b: b + NOISE)),
    "a folder called MP4": fails(lambda d: (d / "a.mp4").mkdir() or d / "a.mp4", "no images"),  # type: ignore[func-returns-value]
    "a pipe whose writer has gone": fails(pipe, "cannot be opened"),
    # few, many, odd pictures
    "one frame": works(clip("a.mp4", 1), 1),
    "one frame of GIF": works(clip("a.gif", 1, codec="gif", pix_fmt="rgb8"), 1),
    "1×1": works(clip("a.mkv", size=(1, 1), codec="ffv1", pix_fmt="bgr0")),
    "1 pixel high": works(clip("a.mkv", size=(64, 1), codec="ffv1", pix_fmt="bgr0")),
    "16k wide": works(clip("a.mkv", 3, size=(16_384, 16), **LOSSLESS), 3),
    "16k high": works(clip("a.mkv", 3, size=(16, 16_384), **LOSSLESS), 3),
    "60k × 60k claimed": fails(huge_header, "no frame of"),
    "two streams of pictures": works(lambda d: encode(d / "a.mkv", "libx264", "yuv420p", streams=2)),
    # the size changes on the way
    "twice as large midway": works(joined({}, {"size": (192, 128)}), 12, says="192×128.*scaled to 96×64"),
    "upright midway": works(joined({}, {"size": (64, 96)}), 12, says="64×96.*scaled to 96×64"),
    "another codec midway": works(joined({}, {"codec": "mpeg2video"}), 6, 12),
    # damage
    "damaged packets, MJPEG": works(
        lambda d: damage(write_clip(d / "a.avi", 12, **JPEG), [4, 7]), 10, says="2 damaged packets"
    ),
    "damaged packets, H.264": works(lambda d: damage(write_clip(d / "a.mp4", 12), [5, 6]), 10, 12, "patched|damaged"),
    "damaged packets, transport stream": works(lambda d: damage(write_clip(d / "a.ts", 12), [5, 6]), 9, 12),
    "every packet damaged": fails(lambda d: damage(write_clip(d / "a.avi", 5, **JPEG), range(5)), "no frame of"),
    "damage every 997 bytes": works(
        edited("a.ts", lambda b: bytes(c ^ 0x55 if i % 997 == 996 else c for i, c in enumerate(b)), 20), 1, 20
    ),
    # time
    "no timestamps: H.264": works(clip("a.h264")),
    "no timestamps: MJPEG": works(clip("a.mjpeg", **JPEG)),
    "time starts anew midway": works(joined({}, {}), 12),
    "time jumps eleven days": works(stamped([0, 1, 2, 10**7, 10**7 + 1, 10**7 + 2])),
    "time before zero": works(stamped([-50, -40, -30, -20, -10, 0])),
    "times shuffled": works(back_in_time, 10, 12),
    # ways to store a pixel
    "10 bit H.264": works(clip("a.mp4", pix_fmt="yuv420p10le")),
    "12 bit 4:4:4": works(clip("a.mkv", codec="ffv1", pix_fmt="yuv444p12le")),
    "grey": works(clip("a.mkv", codec="ffv1", pix_fmt="gray")),
    "16 bit grey": works(clip("a.mkv", codec="ffv1", pix_fmt="gray16le")),
    "black and white": works(clip("a.mov", codec="png", pix_fmt="monob")),
    "alpha": works(clip("a.mov", codec="png", pix_fmt="rgba")),
    "16 bit alpha": works(clip("a.mov", codec="png", pix_fmt="rgba64be")),
    "4:1:1": works(clip("a.mkv", codec="ffv1", pix_fmt="yuv411p")),
    "a palette": works(clip("a.gif", codec="gif", pix_fmt="rgb8")),
    "interlaced": works(lambda d: encode(d / "a.mkv", "mpeg2video", "yuv420p", options={"flags": "+ilme+ildct"})),
    "a quarter turn": works(lambda d: orient(write_clip(d / "a.mp4", FRAMES, turned=1), 0, 1, -1, 0)),
    "upside down": works(lambda d: orient(write_clip(d / "a.mp4", FRAMES), -1, 0, 0, -1)),
    # doors to elsewhere
    "a playlist of a file beside it": works(playlist("s.ts")),
    "a playlist of an address": fails(playlist("http://127.0.0.1:9/s.ts"), "cannot be opened"),
    "a list of the machine's files": fails(content("a.txt", b"ffconcat version 1.0\nfile /etc/passwd\n"), "cannot be"),
    "a session description": fails(content("a.sdp", SDP), "cannot be opened"),
    # folders of pictures
    "a broken picture": fails(pictures(lambda p: (p / "3.png").write_bytes(NOISE)), r"3\.png' cannot be decoded"),
    "a picture of another size": works(
        pictures(lambda p: (p / "3.png").write_bytes(cv2.imencode(".png", picture(3, (64, 64)))[1].tobytes())),
        FRAMES,
        FRAMES,
        r"3\.png' is 64×64: scaled to",
    ),
    "a bomb in a video": fails(content("a.mp4", bomb(20_000)), "no frame of"),
    "a folder as picture": fails(pictures(lambda p: (p / "9.png").mkdir()), r"9\.png' cannot be read"),
}
