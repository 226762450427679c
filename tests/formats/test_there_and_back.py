"""Every format by way of every other: what comes back is equal, but for what was reported as lost."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.format_registry import FORMATS, read_any, with_track_boxes
from mot_dinov3.formats.lost_fields import lost_fields
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections, recorded_states

NAMES = {0: "person", 1: "bicycle", 2: "car & <trailer>"}
SIZE = (640, 480)
PAIRS = [pair for pair in itertools.product(FORMATS, repeat=2) if set(pair) != {"csv", "det-v1"}]
"""All but the two of which one has no tracks and the other no boxes without one."""

sides = st.integers(0, 4000).map(lambda n: n / 8)
scores = st.integers(0, 64).map(lambda n: n / 64)
row = st.tuples(sides, sides, sides, sides, scores, st.booleans(), st.sampled_from([None, "Ann", "Bo; 2"]))
frame = st.dictionaries(st.integers(-3, 5), row, max_size=5)  # below 0: boxes without a track
videos = st.dictionaries(st.integers(0, 9), frame, min_size=1, max_size=5)


def recorded_of(frames: dict[int, dict[int, Any]]) -> RecordedDetections:
    """Detections of rows by track; a track keeps its class."""
    found: dict[int, Detections] = {}
    for number, rows in frames.items():
        ids = np.array([max(key, -1) for key in rows], np.int64)
        corners = [(x, y, x + 1 + w, y + 1 + h) for x, y, w, h, *_ in rows.values()]
        coasted = np.array([is_coasted and key >= 0 for key, (*_, is_coasted, _) in rows.items()], np.bool_)
        gallery = [name if key >= 0 else None for key, (*_, name) in rows.items()]
        found[number] = Detections(
            np.float32(corners).reshape(-1, 4),
            np.float32([values[4] for values in rows.values()]),
            np.array([key % 3 for key in rows], np.int64),
            track_id=ids,
            state=recorded_states(ids, coasted),
            coasted=coasted,
            gallery_id=np.array([*gallery, None], np.object_)[:-1],
        )
    return RecordedDetections("a", found, VideoInfo("in.mp4", *SIZE, 12.5, 10), True, NAMES)


def through(recorded: RecordedDetections, name: str, folder: Path) -> RecordedDetections:
    """Return what is read after writing it as `convert` does."""
    target = FORMATS[name]
    path = folder / f"out{(target.suffixes or ('.json',))[0]}" if target.is_member is None else folder / "out"
    shutil.rmtree(path, ignore_errors=True) if target.is_member else path.unlink(missing_ok=True)
    if target.is_member is not None:
        path.mkdir()
    if not {"both", "detected"} & target.fields:
        recorded = with_track_boxes(recorded)
    target.write(path, recorded, "2026-01-01T00:00:00Z")
    return read_any(path, ReadOptions(*SIZE), name=name)


def rows_of(recorded: RecordedDetections, kept: frozenset[str], lost: str) -> dict[int, list[tuple[Any, ...]]]:
    """Return the rows by frame with the fields that are kept, sorted, without those that were reported as lost."""
    found = {}
    for number, rows in recorded.frames.items():
        listed = []
        for i in range(len(rows)):
            if ("boxes without a track, skipped" in lost and rows.track_id[i] < 0) or (
                "predicted boxes, skipped" in lost and rows.coasted[i]
            ):
                continue
            listed.append((
                tuple(np.round(rows.xyxy[i].astype(float) * 8).astype(int)),
                round(float(rows.score[i]) * 64),
                int(rows.track_id[i]) if "tracks" in kept else None,
                int(rows.class_id[i]) if "classes" in kept else None,
                rows.gallery_id[i] if "gallery" in kept else None,
                bool(rows.coasted[i]) if "coasted" in kept else None,
            ))  # fmt: skip
        if listed:
            found[number] = sorted(listed, key=repr)
    return found


@pytest.mark.parametrize(("first", "second"), PAIRS)
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(videos)
def test_there_and_back(tmp_path: Path, first: str, second: str, frames) -> None:
    asked = recorded_of(frames)
    there = through(asked, first, tmp_path)
    back = through(through(there, second, tmp_path), first, tmp_path)
    kept = FORMATS[first].fields & FORMATS[second].fields
    lost = " / ".join([*lost_fields(asked, first), *lost_fields(there, second)])
    assert rows_of(back, kept, "") == rows_of(asked, kept, lost)
    if "names" in kept:
        assert {number: NAMES[number] for number in back.names} == back.names
