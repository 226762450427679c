"""Descriptors of the tracks of a run: mean embedding and a few good crops of each, for ``--save-embeddings``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core import files
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.run_mark import content_digest
from mot_dinov3.core.structures import Detections, FloatArray, Frame
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.crop_quality import box_qualities, object_rows, select_diverse
from mot_dinov3.formats.track_embeddings import (
    CROP_COLUMNS,
    TRACK_COLUMNS,
    Array,
    EmbeddingTable,
    write_embeddings,
)
from mot_dinov3.models.weights import find_local
from mot_dinov3.sinks.base import Sink
from mot_dinov3.trackers.appearance_model import AppearanceCalibration

CROPS = 6  # of a track in the file, at most
CANDIDATES = 18  # crops of a track that are kept during the run, of which those are chosen
END_FACTOR = 2  # of the first candidate's worth
MIN_WEIGHT = 1e-3  # of an embedding in the mean, so that a track of poor crops has one, too


@dataclasses.dataclass(frozen=True)
class EmbeddedCrop:
    """An embedding that was computed, and where: ``(4,)`` box, ``(d,)`` unit row."""

    frame: int
    time: float
    xyxy: FloatArray
    quality: float
    embedding: FloatArray


@dataclasses.dataclass
class TrackDescriptor:
    """What is known of a track so far.

    Attributes:
        first: Its first frame and time.
        last: Its last ones.
        boxes: Frames in which it was detected.
        classes: Class ids of its boxes.
        names: Names of known identities that it had.
        weighted: ``(d,)`` sum of embeddings times their quality.
        embeddings: Number of embeddings in that sum.
        crops: The best ones so far.
        quality: Of the best one.
    """

    first: tuple[int, float]
    last: tuple[int, float]
    boxes: int = 0
    classes: Counter[int] = dataclasses.field(default_factory=Counter)
    names: Counter[str] = dataclasses.field(default_factory=Counter)
    weighted: FloatArray | float = 0.0
    embeddings: int = 0
    crops: list[EmbeddedCrop] = dataclasses.field(default_factory=list)
    quality: float = 0.0

    def seen(self, frame: Frame, class_id: int, name: str | None) -> None:
        """Add a box."""
        self.last = frame.index, frame.time
        self.boxes += 1
        self.classes[class_id] += 1
        if name is not None:
            self.names[name] += 1

    def embedded(self, crop: EmbeddedCrop) -> None:
        """Add an embedding; of too many candidates, one that is poor and near others in time is left out."""
        self.weighted = self.weighted + crop.embedding * np.float32(max(crop.quality, MIN_WEIGHT))
        self.embeddings += 1
        self.quality = max(self.quality, crop.quality)
        self.crops.append(crop)
        if len(self.crops) > CANDIDATES:
            gaps = np.diff([crop.frame for crop in self.crops])
            room = np.concatenate([2 * gaps[:1], gaps[1:] + gaps[:-1], 2 * gaps[-1:]])
            worth = room * np.array([max(crop.quality, MIN_WEIGHT) for crop in self.crops])
            worth[0] *= END_FACTOR  # the others would follow it, and only the last frames stay
            del self.crops[int(worth.argmin())]

    def chosen(self) -> list[EmbeddedCrop]:
        """Return `CROPS` crops at most, good and different ones, in the order of their frames."""
        if not self.crops:
            return []
        quality = np.array([crop.quality for crop in self.crops])
        rows = np.stack([crop.embedding for crop in self.crops])
        return [self.crops[k] for k in sorted(select_diverse(quality, rows, CROPS).tolist())]


class DescriptorCollector(Sink):
    """Collects the embeddings of a run, before their tracks are known for good; `DescriptorSink` hands them to tracks.

    Args:
        per_box: Keep every embedding.

    Attributes:
        tracks: Track id → descriptor.
        boxes: Track id and embedding, of every one that was computed and belongs to a track.
    """

    def __init__(self, *, per_box: bool) -> None:
        self.tracks: dict[int, TrackDescriptor] = {}
        self.boxes: list[tuple[int, EmbeddedCrop]] = []
        self._per_box = per_box
        self._pending: dict[int, dict[bytes, EmbeddedCrop]] = {}  # by frame and box

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        """Take a frame as the tracker left it: with its image, ids not final."""
        if detections.embedding is None:
            return
        seen = object_rows(detections)
        assert seen.embedding is not None
        rows = np.flatnonzero(seen.fresh & seen.embedding.any(axis=1))
        if not len(rows):
            return
        quality = np.full(len(rows), 1.0) if frame.image is None else np.zeros(0)
        if frame.image is not None:
            quality = box_qualities(frame.image, seen.xyxy, seen.score, rows).astype(float)
        self._pending[frame.index] = {
            seen.xyxy[row].tobytes(): EmbeddedCrop(
                frame.index, frame.time, seen.xyxy[row].copy(), value, seen.embedding[row].copy()
            )
            for row, value in zip(rows.tolist(), quality.tolist())
        }

    def settle(self, frame: Frame, detections: Detections) -> None:
        """Take the frame's final rows, without image and embeddings."""
        crops = self._pending.pop(frame.index, {})
        for row in np.flatnonzero((detections.track_id >= 1) & ~detections.coasted).tolist():
            track_id = int(detections.track_id[row])
            now = frame.index, frame.time
            track = self.tracks.setdefault(track_id, TrackDescriptor(now, now))
            track.seen(frame, int(detections.class_id[row]), detections.gallery_id[row])
            crop = crops.get(detections.xyxy[row].tobytes())
            if crop is not None:
                track.embedded(crop)
                self.boxes += [(track_id, crop)] if self._per_box else []


class DescriptorSink(Sink):
    """Hands the collected embeddings to their tracks, and writes the file when the run is over.

    Args:
        path: The file.
        collector: Has taken the frames before their rows were final.
        table: Makes the table to write.
    """

    def __init__(
        self, path: Path, collector: DescriptorCollector, table: Callable[[DescriptorCollector], EmbeddingTable]
    ) -> None:
        self.path = path
        self._collector = collector
        self._table = table

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._collector.settle(frame, detections)

    @override
    def close(self) -> None:
        table = self._table(self._collector)
        with files.replacing(self.path) as part:
            write_embeddings(table, part, suffix=self.path.suffix)


def embedding_table(
    collector: DescriptorCollector,
    meta: Mapping[str, Any],
    *,
    names: Mapping[int, str],
    dim: int,
    per_box: bool,
) -> EmbeddingTable:
    """Return the table of the collected tracks, by id."""
    tracks = sorted(collector.tracks.items())
    rows = [_track_row(track_id, track, names, dim) for track_id, track in tracks]
    crops = [(track_id, crop) for track_id, track in tracks for crop in track.chosen()]
    boxes = sorted(collector.boxes, key=lambda one: (one[0], one[1].frame))
    columns = {key: np.array([row[key] for row in rows], dtype) for key, dtype in TRACK_COLUMNS.items()}
    columns["embedding"] = columns["embedding"].reshape(len(rows), dim)
    return EmbeddingTable(meta, columns, _crop_columns(crops, dim), _crop_columns(boxes, dim) if per_box else None)


def _track_row(track_id: int, track: TrackDescriptor, names: Mapping[int, str], dim: int) -> dict[str, Any]:
    class_id = track.classes.most_common(1)[0][0]
    mean = np.zeros(dim, np.float32) + track.weighted
    length = float(np.linalg.norm(mean))
    return {
        "track_id": track_id,
        "class_id": class_id,
        "class_name": names.get(class_id, ""),
        "name": track.names.most_common(1)[0][0] if track.names else "",
        "embedding": mean / length if length > 0 else mean,
        "embeddings": track.embeddings,
        "quality": track.quality,
        "boxes": track.boxes,
        "first_frame": track.first[0],
        "last_frame": track.last[0],
        "first_time": track.first[1],
        "last_time": track.last[1],
    }


def _crop_columns(crops: Iterable[tuple[int, EmbeddedCrop]], dim: int) -> dict[str, Array]:
    rows = [{"track_id": track_id, **crop.__dict__} for track_id, crop in crops]
    found = {key: np.array([row[key] for row in rows], dtype) for key, dtype in CROP_COLUMNS.items()}
    shapes = {"xyxy": (len(rows), 4), "embedding": (len(rows), dim)}
    return {key: column.reshape(shapes.get(key, column.shape)) for key, column in found.items()}


def embedder_facts(embedder: Embedder) -> dict[str, Any]:
    """Return what a file reports of the embedder that its rows are from."""
    info = embedder.info
    return {"name": info.name, "weights": info.weights, "dim": embedder.dim, "fingerprint": model_fingerprint(embedder)}


def calibration_facts(learned: AppearanceCalibration) -> dict[str, Any]:
    """Return what the tracker learned of the cosines of one and of different objects in this video."""
    return {
        "different": dataclasses.asdict(learned.different),
        "same": dataclasses.asdict(learned.own),
        "separability": learned.separability,
        "weight": learned.weight,
    }


def model_fingerprint(embedder: Embedder) -> str:
    """Return a short digest of what an embedder's rows depend on: its kind, its weights' content, its input.

    Device and precision are left out: rows of the same network can be compared across machines.
    """
    info = embedder.info
    weights = info.weights
    try:
        weights = (content_digest(Path(find_local(weights))) if weights else "") or weights
    except ModelError:  # a model that is no local file is known by its name
        weights = info.weights
    facts = [info.name, weights, embedder.dim, dict(info.details)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
