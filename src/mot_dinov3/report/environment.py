"""What a report takes from outside: the run's options, the versions of the programs it stands on, its video."""

from __future__ import annotations

import base64
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mot_dinov3 import __version__
from mot_dinov3.core.options import options_of
from mot_dinov3.core.special_files import is_special

PROGRAMS = (
    "torch",
    "torchvision",
    "transformers",
    "ultralytics",
    "opencv-python",
    "opencv-python-headless",
    "av",
    "numpy",
    "scipy",
    "openvino",
    "onnxruntime",
    "supervision",
)
EMBEDDED_BYTES = 1_000_000  # of a video that is put into the report; a larger one is linked
EMBEDDED_KINDS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}


def settings(config: object) -> dict[str, dict[str, tuple[str, bool]]]:
    """Return every option of a command's config by stage: its value, and whether it differs from the default.

    Passwords are starred out.
    """
    from mot_dinov3.video.media import hide_password

    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for option in options_of(type(config)):
        value = getattr(getattr(config, option.stage), option.key)
        shown = hide_password(_shown(value))
        found.setdefault(option.stage, {})[option.flag] = (shown, value != option.default)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def versions() -> dict[str, str]:
    """Return the versions of this program and of what it stands on, without importing any of it."""
    found = {"mot-dinov3": __version__, "Python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in PROGRAMS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def video_address(name: str | Path | None, report: Path) -> str:
    """Return the address of a finished video for a report: a data URL of a small one, else the path relative to it.

    It is empty where no video was written, or into a pipe.
    """
    video = Path(name or "")
    if not name or is_special(video):
        return ""
    kind = EMBEDDED_KINDS.get(video.suffix.lower())
    if kind is not None and video.is_file() and video.stat().st_size <= EMBEDDED_BYTES:
        return f"data:{kind};base64,{base64.b64encode(video.read_bytes()).decode()}"
    return quote(Path(os.path.relpath(video.absolute(), report.absolute().parent)).as_posix())
