"""Generates src/mot_dinov3/api/keywords.py, the typed keyword arguments of the API; run it when an option changes."""

from __future__ import annotations

import itertools
from pathlib import Path

from mot_dinov3.core.options import Option, help_of, options_of
from mot_dinov3.gallery.job.config import GalleryJobConfig
from mot_dinov3.pipeline.config import TrackConfig

TARGET = Path(__file__).resolve().parents[1] / "src/mot_dinov3/api/keywords.py"
HEAD = '''"""Keyword arguments of the Python API, generated from the options by docs/api_keywords.py; do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict
'''
PATHS = ("DIR", "FILE", "MODEL", "MODEL_ID", "PATH")  # placeholders of options that name a file or folder
WIDER = {  # what the API accepts beyond the command's type, by key
    "source": "str | Path | int",
    "det": "str | Path",
    "classes": "str | int | Sequence[int | str]",
    "track_ids": "str | int | Sequence[int]",
    "labels": "str | Sequence[str]",
    "class_names": "str | Path | Sequence[str] | Mapping[int, str]",
    "device": "str | int",
    "line": "str | Sequence[str]",
    "save_video": "str | bool",
}
NOT_IN_TRACK = {"save_summary"}  # returned, not written
NOT_IN_GALLERY = {"dets", "source", "resume"}  # the first two are parameters, by the names dets_json and video
GALLERY_NAMES = {"json": "save_json_flag", "frames": "save_frames"}


def text() -> str:
    """Return the module."""
    track = [known for known in options_of(TrackConfig) if known.key not in NOT_IN_TRACK]
    gallery = [known for known in options_of(GalleryJobConfig) if known.key not in NOT_IN_GALLERY]
    return "\n\n".join((HEAD, keywords("TrackOptions", "track", track), keywords("GalleryOptions", "gallery", gallery)))


def keywords(name: str, command: str, options: list[Option]) -> str:
    """Return one class: a key for each option, the options grouped as in ``--help``."""
    lines = [f"class {name}(TypedDict, total=False):"]
    lines.append(f'    """Options of the command `{command}`; None stands for the default."""')
    for group, members in itertools.groupby(options, key=lambda known: known.group):
        lines += ["", f"    # {group}"]
        for known in members:
            key = GALLERY_NAMES.get(known.key, known.key) if command == "gallery" else known.key
            lines.append(f"    {key}: {type_of(known)} | None  # {help_of(known)}")
            aliases = [alias for alias in known.spec.aliases if alias not in {other.key for other in options}]
            lines += [f"    {alias}: {type_of(known)} | None  # another name of {key}" for alias in aliases]
    return "\n".join(lines) + "\n"


def type_of(known: Option) -> str:
    """Return an option's type as Python code."""
    if known.key in WIDER:
        return WIDER[known.key]
    if known.spec.choices:
        return f"Literal[{', '.join(f'{choice!r}' for choice in known.spec.choices)}]".replace("'", '"')
    if known.spec.auto is not None:
        return f'{known.type.__name__} | Literal["auto"]'
    path = known.type is str and (known.spec.metavar or "").partition(".")[0] in PATHS
    return "str | Path" if path else known.type.__name__


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
