"""Tracks and videos with the names of identities: what `track` wrote of a video, with the identity of each track."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.identified_tracks import IdentificationResult, by_video
from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.core import files
from mot_dinov3.core.errors import MotError
from mot_dinov3.core.json_text import write_document
from mot_dinov3.core.structures import Detections, TrackView
from mot_dinov3.formats.format_registry import FORMATS, detect_format
from mot_dinov3.formats.recorded_detections import RecordedDetections
from mot_dinov3.formats.track_v1 import SCHEMA, read_track_v1
from mot_dinov3.pipeline.drawing import FrameDrawer
from mot_dinov3.viz.frame import DrawConfig
from mot_dinov3.viz.overlays import Trails

NAMED = "identified"
_OF_GALLERY = ("gallery_distance", "gallery_margin")  # numbers of another name

Tick = Callable[[], object]


def write_named(folder: Path, videos: Sequence[VideoTracks], result: IdentificationResult) -> list[Path]:
    """Write ``identified.json`` and ``identified.csv`` of every video whose track-v1 file lies beside its embeddings.

    Args:
        folder: A sub-folder of it for each video.
        videos: The videos.
        result: Identities of their tracks.

    Raises:
        FormatError: A track-v1 file is damaged.
    """
    written = []
    identified = by_video(result.tracks)
    for video in videos:
        tracked = tracked_file(video.path)
        if tracked is None:
            continue
        names = {str(track.track_id): track.identity for track in identified.get(video.name, ())}
        path = folder / video.name / f"{NAMED}.json"
        files.check_output(path)
        written += _write_tracks(path, tracked, functools.partial(_named, names=names))
    return written


def remove_name(path: Path, name: str) -> list[Path]:
    """Write an ``identified.json`` and its CSV without the name of an identity; its boxes stay.

    Raises:
        FormatError: The file is damaged.
    """
    return _write_tracks(path, path, lambda frame: _unnamed(frame, name))


def _write_tracks(path: Path, tracked: Path, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[Path]:
    """Write the frames of a track-v1 file, changed, as JSON and CSV; return both paths."""
    document = json.loads(tracked.read_text(encoding="utf-8"))
    created = str(document.get("created_at_utc", ""))
    records = (change(frame) for frame in document.pop("frames"))
    with files.replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        write_document(file, document, records)
    with files.replacing(path.with_suffix(".csv")) as part:
        FORMATS["csv"].write(part, read_track_v1(path), created)
    return [path, path.with_suffix(".csv")]


def tracked_file(embeddings: Path) -> Path | None:
    """Return the track-v1 file of the video whose embeddings are given: with its name, or alone in the same folder."""
    own = embeddings.with_suffix(".json")
    alone = len(list(embeddings.parent.glob("*.npz"))) + len(list(embeddings.parent.glob("*.parquet"))) == 1
    others = sorted(embeddings.parent.glob("*.json")) if alone else []
    found = [path for path in (own, *others) if path.is_file() and path.stem != NAMED and _is_track_v1(path)]
    return found[0] if found else None


def _is_track_v1(path: Path) -> bool:
    try:
        return detect_format(path) == SCHEMA
    except MotError:  # some other JSON, such as a summary
        return False


def _named(frame: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of a frame with the identities of its tracks."""
    rows = []
    for row in frame["detections"]:
        name = names.get(str(row.get("track_id")))
        if name is not None and name != row.get("gallery_id"):
            row = {key: value for key, value in row.items() if key not in _OF_GALLERY} | {"gallery_id": name}
        rows.append(row)
    return {**frame, "detections": rows}


def _unnamed(frame: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the record of a frame without the name of an identity."""
    removed = ("gallery_id", *_OF_GALLERY)
    rows = [
        {key: value for key, value in row.items() if key not in removed} if row.get("gallery_id") == name else row
        for row in frame["detections"]
    ]
    return {**frame, "detections": rows}


def redraw(path: Path, source: str, config: DrawConfig, tick: Tick) -> Path:
    """Draw a video with the identities of an ``identified.json``; return ``identified.mp4`` beside it.

    Args:
        path: The file of tracks.
        source: The video.
        config: Style of boxes and labels.
        tick: Called after each frame.

    Raises:
        VideoError: The video cannot be read.
    """
    from mot_dinov3.video import VideoWriter
    from mot_dinov3.video.opening import open_source
    from mot_dinov3.video.source import SourceConfig

    recorded = read_track_v1(path)
    target = path.with_suffix(".mp4")
    files.check_output(target, source=source)
    chosen = SourceConfig(source=source, start_frame=min(recorded.frames, default=0), end_frame=recorded.last_frame + 1)
    with contextlib.closing(open_source(chosen)) as frames:
        draw = _drawer(recorded, config, frames.info.fps)
        with VideoWriter(
            target, info=frames.info, audio_from=frames.audio_from, pixel_aspect=frames.pixel_aspect
        ) as writer:
            for frame in frames:
                writer.write(draw(frame, recorded.frames.get(frame.index, Detections.empty())), frame.time)
                tick()
    return target


def _drawer(recorded: RecordedDetections, config: DrawConfig, fps: float) -> FrameDrawer:
    classes = {int(number) for rows in recorded.frames.values() for number in np.unique(rows.class_id)}
    names = recorded.names if len(classes) > 1 or "class" in config.label_parts else {}
    return FrameDrawer(config, names, TrackView.empty, Trails(round(config.trails * fps)))
