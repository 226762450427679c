"""Folders of YOLO labels as programs lay them out: which files are labels, of which frames, and what describes them.

- Ultralytics' ``save_txt``: ``labels/``; its datasets: ``labels/train/``, ``labels/val/`` and ``data.yaml``.
- CVAT's *Ultralytics YOLO*: ``labels/train/`` and ``data.yaml``; its *YOLO 1.1*: ``obj_train_data/`` and ``obj.names``.
- Roboflow: ``train/labels/``, ``valid/labels/`` and ``data.yaml``.
- FiftyOne: ``labels/train/`` and ``dataset.yaml``; its YOLOv4 has ``data/`` and ``obj.names``.

The folder itself is given, or one in it; the description is then up to two levels up.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.text_files import read_text
from mot_dinov3.formats.class_names import read_class_names, read_yaml, yaml_names
from mot_dinov3.formats.frame_names import NamedFrames, frames_of_names, number_in
from mot_dinov3.formats.recorded_detections import ReadOptions

LABELS, IMAGES = "labels", "images"
DATA = "data.yaml"
FIRST = "first_frame"
"""Key of ``data.yaml`` for the number of frame 0 in the names of the label files."""

MAX_FILES = 2_000_000
MAX_DATA = 1 << 20  # bytes
_NAME_FILES = (DATA, "data.yml", "classes.txt", "obj.names", "_darknet.labels")
_NO_LABELS = frozenset((*_NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt", "labels.txt", "images.txt"))
"""Files beside labels that are no labels: names of classes and lists of images."""

_SPLITS = re.compile(r"train|val|valid|test|obj_\w+_data", re.IGNORECASE)
_DEEPEST = 4  # folders below the given one
_LEVELS_UP = 2
_YAML = (".yaml", ".yml")


def label_files(folder: Path) -> list[Path]:
    """Return the files of labels in a folder, sorted by folder and name.

    Raises:
        FormatError: It is no folder, has no labels, or one of them is a link that leads out of it.
    """
    if not folder.is_dir():
        raise FormatError(f"'{folder}' is not a folder", remedy="give the folder of the labels")
    files = [path for place in _places(folder) for path in _labels_in(place)]
    if not files and not is_result(folder):
        raise FormatError(
            f"'{folder}' contains no labels, <name>_<frame>.txt", remedy="give the folder that contains them"
        )
    if len(files) > MAX_FILES:
        raise FormatError(f"'{folder}' holds {len(files)} files, more than {MAX_FILES}")
    root = folder.resolve()
    for path in files:
        if not path.resolve().is_relative_to(root):
            raise FormatError(f"'{path}' is a link that leads out of '{folder}'", remedy="copy the file itself")
    return files


def is_label_folder(folder: Path) -> bool:
    """Return whether a folder contains text files like labels, or is that of a run that found nothing."""
    return (
        is_result(folder)
        or any(path.suffix.lower() == ".txt" for path in folder.iterdir())
        or next(_places(folder), None) is not None
    )


def is_result(folder: Path) -> bool:
    """Return whether a folder has the layout of written labels, where a frame without boxes has no file."""
    return (folder / LABELS).is_dir() or (folder.name == LABELS and folder.is_dir())


def _places(folder: Path) -> Iterator[Path]:
    """Yield the folders that contain labels: those in ``labels/`` and in the parts of a dataset, else the folder."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    known = [path for path in inner if path.name == LABELS] or [path for path in inner if _SPLITS.fullmatch(path.name)]
    if not known and (folder / "obj.names").is_file():  # of FiftyOne
        known = [path for path in inner if path.name == "data"]
    found = False
    for place in known:
        # a part of a dataset with images beside its labels has these in a folder of their own
        start = place / LABELS if (place / LABELS).is_dir() else place
        for path, folders, _ in os.walk(start):
            folders.sort()
            depth = len(Path(path).relative_to(folder).parts)
            if depth >= _DEEPEST:
                folders.clear()
            if next(_labels_in(Path(path)), None) is not None:
                found = True
                yield Path(path)
    if not found and not any(path.name == LABELS for path in inner) and next(_labels_in(folder), None) is not None:
        yield folder


def _labels_in(place: Path) -> Iterator[Path]:
    """Yield the label files of a folder by name."""
    with os.scandir(place) as entries:
        names = sorted(entry.name for entry in entries if _is_label(entry.name))
    return (place / name for name in names)


def _is_label(name: str) -> bool:
    return name.lower().endswith(".txt") and name.lower() not in _NO_LABELS and not name.startswith(".")


def frames_of(folder: Path, files: Sequence[Path], data: Mapping[str, Any], options: ReadOptions) -> NamedFrames:
    """Return the frame of each file; a folder that this program wrote gives the number of its first frame.

    Raises:
        FormatError: See `frames_of_names`.
    """
    first = data.get(FIRST)
    numbers = [number_in(path.stem) for path in files]
    if type(first) is int and not options.images and all(n is not None and n >= first for n in numbers):
        return NamedFrames(tuple(n - first for n in numbers if n is not None))
    places = {path.parent for path in files}
    if len(places) > 1:
        return frames_of_names(folder, [str(path.relative_to(folder)) for path in files], options)
    place = next(iter(places), folder)
    parts = place.parts
    at = max((i for i, part in enumerate(parts) if part == LABELS), default=None)
    twins = [] if at is None else [Path(*parts[:at], IMAGES, *parts[at + 1 :])]
    beside = [*twins, place / IMAGES, place.parent / IMAGES, place]
    return frames_of_names(folder, [path.name for path in files], options, beside)


def description(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Return what describes labels, ``data.yaml`` or a list of names; paths in it are not followed.

    Raises:
        FormatError: It is broken.
    """
    place = (files[0].parent if files else folder).absolute()
    places = dict.fromkeys([place, *place.parents[:_LEVELS_UP], folder.absolute()])
    for path in (place / name for place in places for name in _NAME_FILES):
        if path.is_file():
            is_list = path.suffix not in _YAML
            return {"names": read_class_names(path)} if is_list else _dataset(path)
    for place in places:  # any other name, as FiftyOne's dataset.yaml has
        for path in sorted(path for path in place.iterdir() if path.suffix in _YAML and path.is_file()):
            with contextlib.suppress(FormatError):
                if {"train", "val"} & (document := _dataset(path)).keys() and document["names"]:
                    return document
    return {"names": {}}


def _dataset(path: Path) -> dict[str, Any]:
    document = read_yaml(path, read_text(path, largest=MAX_DATA))
    named = {number: name for number, name in yaml_names(document, path).items() if name != str(number)}
    return document | {"names": named}
