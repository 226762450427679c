"""What a run was made with, as a report lists it: its options, and the versions of the programs that it stands on."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from mot_dinov3 import __version__
from mot_dinov3.core.options import options_of

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
