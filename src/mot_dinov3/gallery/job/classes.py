"""Which classes are tracked, told by number or by name."""

from __future__ import annotations

import re
from pathlib import Path

from mot_dinov3.core.errors import ConfigError, UsageError, closest
from mot_dinov3.core.json_text import printable, read_text
from mot_dinov3.formats.det_v1_stream import DetectionStream
from mot_dinov3.gallery.job.config import GalleryInputConfig
from mot_dinov3.gallery.job.loop import ClassFilter

MAX_NAMES = 1 << 20  # bytes
_ID = re.compile(r"-1|[0-9]{1,9}")  # -1: class unknown


def class_filter(config: GalleryInputConfig) -> ClassFilter:
    """Return which classes are tracked.

    Raises:
        UsageError: `classes` names none.
        FormatError: The file of class names cannot be read.
    """
    names: dict[int, str] = {}
    if config.class_names is not None:
        lines = read_text(Path(config.class_names), largest=MAX_NAMES).splitlines()
        names = {number: printable(line.strip()) for number, line in enumerate(lines) if line.strip()}
    entries = [entry.strip() for entry in config.classes.replace(";", ",").split(",") if entry.strip()]
    if config.classes.strip() and not entries:
        raise UsageError(f"classes '{config.classes}' names no class", remedy='give ids or names, e.g. "0" or "person"')
    ids = {int(entry) for entry in entries if _ID.fullmatch(entry)}
    words = {entry.casefold() for entry in entries if not _ID.fullmatch(entry)}
    return ClassFilter(frozenset(ids), frozenset(words), names)


def check_words(classes: ClassFilter, path: Path) -> list[str]:
    """Make sure that the class names that are wanted exist; return what to tell the user.

    The detections tell the names. They are read ahead only as far as it takes to find all that are wanted.

    Args:
        classes: What is wanted, and the names of the user's own file.
        path: The detections.

    Raises:
        ConfigError: A name is misspelt, or nothing at all is of a wanted class, or nothing tells any names.
    """
    names = {name.casefold(): name for name in classes.names.values()}
    missing = classes.words - names.keys()
    if not missing:
        return []
    with DetectionStream(path, skip_invalid=True) as records:
        for _ in records:
            names |= {name.casefold(): name for name in records.state.names.values()}
            if not missing - names.keys():
                return []
    notices = []
    for word in sorted(missing - names.keys()):
        if not names:
            raise ConfigError(
                f"classes: '{path}' contains no class names, so '{word}' is unknown",
                remedy="give ids, numbers from 0, or the names in a file: --class-names FILE",
            )
        near, known = closest(word, names), ", ".join(sorted(names.values()))
        if near or not (classes.ids or classes.words & names.keys()):
            raise ConfigError(f"classes: unknown class '{word}'{near}", remedy=f"'{path}' has: {known}")
        notices.append(f"no detection is of class '{word}': '{path}' has {known}")
    return notices
