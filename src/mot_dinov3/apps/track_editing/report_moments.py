"""Uncertain moments that a run's report has: they know the embeddings of the run, which its files of tracks do not."""

from __future__ import annotations

import bisect
import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.apps.track_editing.review_places import PlaceToReview
from mot_dinov3.apps.track_editing.tracked_boxes import TrackedBoxes
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, is_number, parse_object
from mot_dinov3.core.text_files import read_text
from mot_dinov3.formats.recorded_detections import RecordedDetections

SAME_SECONDS = 1.0
"""A moment of the report and a place of the table this near, with the same tracks, are one."""
LARGEST = 1 << 28  # bytes of a report
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class ReportMoment:
    """A moment of a report: its risk in 0…1, frame, tracks as the run numbered them, and what happened."""

    risk: float
    frame: int
    tracks: tuple[int, ...]
    text: str


def read_moments(path: Path, recorded: RecordedDetections) -> list[ReportMoment]:
    """Return the moments of a report of the run that wrote `recorded`.

    Raises:
        FormatError: It is no report of this program, or one without moments.
    """
    data = _DATA.search(read_text(path, largest=LARGEST))
    found = parse_object(data[1], f"'{path}'").get("moments") if data else None
    if not isinstance(found, list):
        raise FormatError(f"'{path}' is no report with uncertain moments", remedy="give the file of track --report")
    times = sorted((time, frame) for frame, time in recorded.times.items())
    return [_moment(one, times, recorded.video.fps, path) for one in found]


def _moment(one: Any, times: Sequence[tuple[float, int]], fps: float, path: Path) -> ReportMoment:
    """Return a moment, its time as the number of the nearest frame."""
    given = one if isinstance(one, dict) else {}
    risk, time = given.get("risk"), given.get("time")
    tracks = [given.get(name) for name in ("track_id", "other_id")]
    if not (is_number(risk) and is_number(time) and all(type(track) is int for track in tracks)):
        raise FormatError(f"'{path}' has a moment that cannot be read", remedy="write the report again")
    seconds = float(time or 0.0)
    frame = round(min(max(seconds * fps, 0), MAX_FRAME))
    if times:
        at = bisect.bisect(times, (seconds, 0))
        frame = min(times[max(at - 1, 0) : at + 1], key=lambda pair: abs(pair[0] - seconds))[1]
    known = tuple(track for track in tracks if isinstance(track, int) and track >= 1)
    return ReportMoment(min(max(float(risk or 0.0), 0.0), 1.0), frame, known, str(given.get("text", ""))[:200])


def with_moments(
    places: Sequence[PlaceToReview],
    moments: Sequence[ReportMoment],
    tables: tuple[TrackedBoxes, TrackedBoxes],
    fps: float,
) -> list[PlaceToReview]:
    """Return the places with those of a report, the most urgent first.

    A moment that is a place already gives it its risk and words. `tables` are the original, which has the ids of the
    report, and the edited one, whose ids the places have; moments whose boxes were deleted are left out.
    """
    merged = {place.key: place for place in places}
    for moment, tracks, key in _located(moments, *tables):
        same = [
            place
            for place in places
            if set(tracks) <= set(place.tracks) and abs(place.frame - moment.frame) <= SAME_SECONDS * fps
        ]
        words = f"in the report, track {moment.tracks[0]} {moment.text}"
        if same:
            place = merged[same[0].key]
            urgency = max(place.urgency, moment.risk)
            merged[place.key] = dataclasses.replace(place, urgency=urgency, text=f"{same[0].text}; {words}")
        else:
            merged[key] = PlaceToReview("report", moment.frame, tracks, round(moment.risk, 3), words, key)
    return sorted(merged.values(), key=lambda place: (-place.urgency, place.frame, place.key))


def _located(
    moments: Sequence[ReportMoment], original: TrackedBoxes, edited: TrackedBoxes
) -> Iterator[tuple[ReportMoment, tuple[int, ...], str]]:
    """Yield each moment with the tracks that have its boxes now, and a key that edits do not change."""
    for moment in moments:
        rows = original.within(moment.frame, moment.frame + 1)
        here = dict(zip(original.track_id[rows].tolist(), original.source[rows].tolist()))
        now = edited.within(moment.frame, moment.frame + 1)
        track_of = dict(zip(edited.source[now].tolist(), edited.track_id[now].tolist()))
        sources = [here.get(track, math.nan) for track in moment.tracks]
        tracks = dict.fromkeys(track_of[source] for source in sources if source in track_of)
        if tracks:
            yield moment, tuple(tracks), f"report {moment.frame} {','.join(map(str, moment.tracks))}"
