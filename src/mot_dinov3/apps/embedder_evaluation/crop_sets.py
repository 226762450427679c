"""Labelled crops: the images of a folder of identities, and the boxes of a tracked video."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.embedder_evaluation.retrieval import LabelledCrops
from mot_dinov3.core import boxes
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, FormatError, InputError, VideoError
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, Frame, Image, IntArray
from mot_dinov3.features.base import Embedder, prepare, usable_rows
from mot_dinov3.formats import track_v1
from mot_dinov3.formats.format_registry import detect_format, read_any
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.gallery.folder import LAYOUT, MIN_SIDE, list_identities, read_on_grey
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.image_files import image_names

APART = 0.1
"""IoU below which the crops of two boxes hardly share pixels."""
CAMERA = re.compile(r"(?:.*_)?c(\d+)(?:s\d+)?_|(\d\d)_")
"""Camera in the name of an image: ``0002_c1s1_000451_03`` (Market-1501, DukeMTMC-reID), ``01_5``."""

HELD_BYTES = 1 << 29  # decoded images kept in memory; others are read once more for every embedder
BATCH = 64
AGAINST = {
    "cross-camera": "all others but those of its identity and camera",
    "other-cameras": "those of the other cameras",
    "leave-one-out": "all others",
}
PROTOCOLS = ("auto", *AGAINST)


class IdentityFolder(LabelledCrops):
    """The images of a gallery's layout, ``<folder>/<identity>/*.jpg``, embedded whole as a gallery's are.

    Args:
        folder: The gallery.
        protocol: One of `PROTOCOLS`.

    Raises:
        InputError: The folder cannot be used.
        ConfigError: A comparison across cameras is asked for, and the names of the images have none.
    """

    def __init__(self, folder: Path, protocol: str = "auto") -> None:
        self._paths: list[Path] = []
        self._images: list[Image | None] = []
        self._read(folder)
        self._camera, cameras = _cameras([path.stem for path in self._paths], self.identity)
        self._protocol = ("cross-camera" if cameras else "leave-one-out") if protocol == "auto" else protocol
        if self._protocol != "leave-one-out" and not cameras:
            raise ConfigError(
                f"--protocol {protocol} requires images of one identity from two cameras; the names in '{folder}' "
                "show no cameras",
                remedy="name them <camera>_<anything>.jpg with two digits, or as in Market-1501: 0002_c1s1_000451.jpg",
            )
        shown = ", ".join(cameras[:6]) + (", …" if len(cameras) > 6 else "")
        named = f"{len(cameras)} cameras in the names: {shown}" if cameras else "no cameras in the names"
        self.protocol = f"{self._protocol}, each image against {AGAINST[self._protocol]} ({named})"

    def _read(self, folder: Path) -> None:
        """Read every image once, and keep as many as fit into memory."""
        owner, refused, held = [], [], 0
        for number, paths in enumerate(list_identities(folder).values()):
            for path in paths:
                image = _readable(path)
                if image is None:
                    refused.append(f"{path.parent.name}/{path.name}")
                    continue
                held += image.nbytes
                self._paths.append(path)
                self._images.append(image if held <= HELD_BYTES else None)
                owner.append(number)
        if not owner:
            raise InputError(f"no image of '{folder}' can be used", remedy=LAYOUT)
        self.identity = np.array(owner, np.int64)
        skipped = f"{len(refused)} images skipped (unreadable or tiny), the first: "
        self.notices = tuple(skipped + name for name in refused[:1])

    @override
    def same(self, queries: IntArray) -> BoolArray:
        found = self.identity[queries, None] == self.identity
        if self._protocol != "leave-one-out":
            return np.asarray(found & self._elsewhere(queries))
        found[np.arange(len(queries)), queries] = False
        return np.asarray(found)

    @override
    def wrong(self, queries: IntArray) -> BoolArray:
        found = self.identity[queries, None] != self.identity
        return np.asarray(found & self._elsewhere(queries) if self._protocol == "other-cameras" else found)

    def _elsewhere(self, queries: IntArray) -> BoolArray:
        return np.asarray(self._camera[queries, None] != self._camera)

    @override
    def embed(self, embedder: Embedder) -> tuple[FloatArray, float]:
        clock, parts = EmbeddingClock(embedder), []
        for start in range(0, len(self._paths), BATCH):
            images = [self._image(number) for number in range(start, min(start + BATCH, len(self._paths)))]
            parts.append(clock.time(embedder.embed_images, images))
        return np.concatenate(parts), clock.ms_per_crop

    def _image(self, number: int) -> Image:
        image = self._images[number]
        return read_on_grey(self._paths[number]) if image is None else image


class TrackedVideo(LabelledCrops):
    """Boxes of a video with tracks, from frames at regular intervals, cut out as `track` cuts them.

    Boxes of one track are the same object where `min_gap` seconds and more lie between them. Two tracks are certainly
    of different objects where they are seen in one frame: only such tracks are wrong answers.

    Args:
        source: The video.
        tracks: Its tracks, in any format that has them.
        min_gap: Seconds.
        max_crops: Boxes, at most; fewer frames are taken where there are more.

    Raises:
        InputError: The video or the tracks cannot be read, or have no boxes in common.
    """

    def __init__(self, source: str, tracks: Path, *, min_gap: float, max_crops: int) -> None:
        self._config, self._tracks = SourceConfig(source=source), tracks
        with open_source(self._config) as frames:
            info = frames.info
        self._fps = info.fps
        found = read_boxes(tracks, ReadOptions(info.width, info.height, source=source, images=image_names(source)))
        self._boxes = _spread(found, round(self._fps * min_gap / 2), max_crops)
        self._xyxy = np.concatenate([rows.xyxy for rows in self._boxes.values()])
        self._frame = np.repeat(list(self._boxes), [len(rows) for rows in self._boxes.values()]).astype(np.int64)
        ids, self.identity = np.unique(
            np.concatenate([rows.track_id for rows in self._boxes.values()]), return_inverse=True
        )
        self._together = _together(found, ids)
        self._apart = min_gap * self._fps
        self.notices = ()
        self.protocol = (
            f"each box of {len(self._boxes)} frames against those {min_gap:g} s and more apart: of its own track, and "
            "of tracks that are in one frame with it"
        )

    def _is_apart(self, queries: IntArray) -> BoolArray:
        return np.asarray(np.abs(self._frame[queries, None] - self._frame) >= self._apart - 1e-6)

    @override
    def same(self, queries: IntArray) -> BoolArray:
        found = self.identity[queries, None] == self.identity
        found[np.arange(len(queries)), queries] = False
        return np.asarray(found & self._is_apart(queries))

    @override
    def wrong(self, queries: IntArray) -> BoolArray:
        return np.asarray(self._together[self.identity[queries]][:, self.identity] & self._is_apart(queries))

    @override
    def different(self, queries: IntArray) -> BoolArray:
        """Return the pairs of two tracks in one frame whose boxes hardly overlap: else a crop shows both."""
        at_once = self._frame[queries, None] == self._frame
        separate = boxes.iou(self._xyxy[queries], self._xyxy) < APART
        return np.asarray(at_once & separate & (self.identity[queries, None] != self.identity))

    @override
    def embed(self, embedder: Embedder) -> tuple[FloatArray, float]:
        clock, parts = EmbeddingClock(embedder), []
        for frame in self._frames():
            parts.append(clock.time(prepare(embedder, frame.pixels()), self._boxes[frame.index].xyxy))
        if len(parts) < len(self._boxes):
            raise FormatError(
                f"'{self._tracks}' has boxes in frame {list(self._boxes)[len(parts)]}, which '{self._config.source}' "
                "does not have",
                remedy="give the tracks of this video",
            )
        return np.concatenate(parts), clock.ms_per_crop

    def _frames(self) -> Iterator[Frame]:
        last = max(self._boxes)
        with open_source(self._config) as frames:
            for frame in frames:
                if frame.index in self._boxes:
                    yield frame
                if frame.index >= last:
                    return


class EmbeddingClock:
    """Measures the time of embedding, without a first call, which costs more."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._crops, self._seconds = 0, 0.0

    def time(self, embed: Callable[[Any], FloatArray], crops: Sequence[Image] | FloatArray) -> FloatArray:
        """Return the usable rows of images or boxes, once they are there."""
        if not self._crops:
            embed(crops[:1])
            self._embedder.synchronize()
        start = time.perf_counter()
        rows = embed(crops)
        self._embedder.synchronize()
        self._seconds += time.perf_counter() - start
        self._crops += len(crops)
        return usable_rows(self._embedder, rows, len(crops))

    @property
    def ms_per_crop(self) -> float:
        """Milliseconds."""
        return 1e3 * self._seconds / max(self._crops, 1)


def _readable(path: Path) -> Image | None:
    """Return an image, None where a gallery would leave it out."""
    try:
        image = read_on_grey(path)
    except VideoError:
        return None
    return image if min(image.shape[:2]) >= MIN_SIDE else None


def _cameras(names: Sequence[str], identity: IntArray) -> tuple[IntArray, tuple[str, ...]]:
    """Return the camera of each image by number, and their names; none where the names do not show two of an object."""
    found = [CAMERA.match(name) for name in names]
    texts = [match[1] or match[2] for match in found if match]
    cameras, number = np.unique(texts, return_inverse=True)
    if len(texts) < len(names):
        return np.zeros(len(names), np.int64), ()
    several = any(len(np.unique(number[identity == one])) > 1 for one in np.unique(identity))
    return number.astype(np.int64), tuple(cameras.tolist()) if several else ()


def read_boxes(path: Path, options: ReadOptions) -> dict[int, Detections]:
    """Return the detected boxes with an identity by frame; a score of 0 is MOTChallenge's flag of an ignored one.

    `options` are those of the video.

    Raises:
        FormatError: The file breaks its format, or has no tracks.
    """
    name = detect_format(path)
    recorded = track_v1.read_track_v1(path) if name == "det-v1" else read_any(path, options, name=name)
    found = {}
    for index, rows in sorted(recorded.frames.items()):
        kept = rows[(rows.track_id >= 0) & (rows.score > 0) & ~rows.coasted & boxes.usable(rows.xyxy)]
        if len(kept):
            found[index] = kept
    if not found:
        raise FormatError(f"'{path}' has no boxes with an identity", remedy="give tracks, not detections")
    return found


def _spread(found: dict[int, Detections], least_step: int, max_crops: int) -> dict[int, Detections]:
    """Return the boxes of frames at regular intervals, at most `max_crops` unless a single frame has more."""
    step = max(least_step, 1)
    while True:
        chosen: dict[int, Detections] = {}
        following = -1
        for index, rows in found.items():
            if index >= following:
                chosen[index], following = rows, index + step
        if sum(map(len, chosen.values())) <= max_crops or len(chosen) <= 2:
            return chosen
        step = step * 5 // 4 + 1


def _together(found: dict[int, Detections], ids: IntArray) -> BoolArray:
    """Return ``(k, k)`` bool: the two tracks are in one frame."""
    met = np.zeros((len(ids), len(ids)), np.bool_)
    for rows in found.values():
        present = np.flatnonzero(np.isin(ids, rows.track_id))
        met[np.ix_(present, present)] = True
    np.fill_diagonal(met, False)
    return met
