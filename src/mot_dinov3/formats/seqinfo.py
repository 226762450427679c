"""Properties of a MOTChallenge sequence, ``seqinfo.ini`` beside its folders ``img1``, ``det`` and ``gt``."""

from __future__ import annotations

import configparser
from pathlib import Path

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.core.text_files import read_text
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, plausible

SEQINFO = "seqinfo.ini"
MAX_SEQINFO = 1 << 16  # bytes


def sequence_info(path: Path) -> tuple[VideoInfo, bool]:
    """Return the video's properties in the seqinfo.ini one folder above the file's, and whether it gives the rate."""
    seqinfo = path.absolute().parent.parent / SEQINFO
    return read_seqinfo(seqinfo) if seqinfo.is_file() else (VideoInfo(str(path), 0, 0, ASSUMED_FPS), False)


def read_seqinfo(path: Path) -> tuple[VideoInfo, bool]:
    """Return the video's properties in a seqinfo.ini, zeros where it lacks them, and whether it gives the frame rate.

    Raises:
        FormatError: It is no such file, or a value is not a number.
    """
    text = read_text(path, largest=MAX_SEQINFO)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        section = parser["Sequence"]
        fps = section.getfloat("frameRate", fallback=0.0)
        width, height, count = (section.getint(k, fallback=0) for k in ("imWidth", "imHeight", "seqLength"))
    except (configparser.Error, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else "cannot be read"
        raise FormatError(f"'{path}' is not a usable seqinfo.ini: {reason}", remedy="correct or remove it") from error
    fps, width, height, count = plausible(fps), *(int(plausible(value)) for value in (width, height, count))
    return VideoInfo(section.get("name", str(path)), width, height, fps or ASSUMED_FPS, count), fps > 0
