"""Sinks: they take every frame of a run in order, and their result becomes final only when they are closed."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, IntArray, TrackState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.trackers.base import Tracker

MAX_NAMES = 20  # identities that are listed; the others are counted


class Sink:
    """Takes every frame of a run in order.

    Attributes:
        stage: Stage that its work counts as; None where it times itself, or where its work is not counted.
    """

    stage: str | None = "save"

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take one frame's finished rows."""

    def close(self) -> None:
        """Finish and put the result in its place."""

    def abort(self) -> None:
        """Stop without touching an earlier result."""


class FilterSink(Sink):
    """Hands frames on to another sink; a subclass changes, holds or leaves out some of them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @override
    def close(self) -> None:
        self._sink.close()

    @override
    def abort(self) -> None:
        self._sink.abort()


class TrackFilterSink(FilterSink):
    """Hands on the rows of chosen tracks only.

    Args:
        sink: Gets them.
        track_ids: ``(k,)`` ids.
    """

    def __init__(self, sink: Sink, track_ids: IntArray) -> None:
        super().__init__(sink)
        self._track_ids = track_ids
        self.stage = sink.stage

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._sink.write(frame, detections[np.isin(detections.track_id, self._track_ids)])


class CompositeSink(Sink):
    """Hands everything to several sinks, in their order; the timer counts their work, None leaves it uncounted."""

    stage = None

    def __init__(self, sinks: Sequence[Sink], timer: StageTimer | None = None) -> None:
        self._sinks = sinks
        self._timer = timer

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        for sink in self._sinks:
            sink.write(frame, detections)
            if self._timer is not None and sink.stage is not None:
                self._timer.lap(sink.stage)

    @override
    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
            if self._timer is not None and sink.stage is not None:
                self._timer.lap(sink.stage)

    @override
    def abort(self) -> None:
        for sink in self._sinks:
            sink.abort()


class IdBackfill(FilterSink):
    """Holds the last few frames until no id of their rows can change any more.

    File sinks come after it: a tentative track has no id yet, and once it is confirmed, its rows in a file begin with
    its first box.

    Attributes:
        held: Frames that are not settled yet, with their rows.
    """

    stage = None

    def __init__(self, sink: Sink, tracker: Tracker) -> None:
        super().__init__(sink)
        self._tracker = tracker
        self.held: deque[tuple[Frame, Detections]] = deque()

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self.held.append((dataclasses.replace(frame, image=None), detections))
        for revision in self._tracker.revisions:
            place = next(k for k, (frame, _) in enumerate(self.held) if frame.index == revision.frame_index)
            earlier, rows = self.held[place]
            self.held[place] = earlier, revised(rows, revision.row, revision.track_id)
        settled = self._tracker.settled
        while self.held and self.held[0][0].index < settled:
            self._sink.write(*self.held.popleft())

    @override
    def close(self) -> None:
        while self.held:
            self._sink.write(*self.held.popleft())
        super().close()


def revised(rows: Detections, row: int, track_id: int) -> Detections:
    """Return the rows with `row` given to a track; its own predicted box in that frame, if drawn, was a mistake."""
    ids, state = rows.track_id.copy(), rows.state.copy()
    ids[row], state[row] = track_id, TrackState.CONFIRMED
    mistaken = rows.coasted & (rows.track_id == track_id)
    return rows.replace(track_id=ids, state=state)[~mistaken]


@dataclasses.dataclass
class SeenTrack:
    """One track: the times of its first and last box in seconds, its last class, and whether it was ever named."""

    first: float
    last: float
    class_id: int
    named: bool = False


@dataclasses.dataclass
class SeenIdentity:
    """One known identity: the times of its first and last box in seconds, its tracks, and how surely it was named.

    Attributes:
        boxes: Number of boxes with the name.
        distance: Sum of their tracks' distances to the identity.
        margin: Sum of the margins to the next identity; those that are not known are left out.
        margins: Number of known margins.
    """

    first: float
    last: float
    tracks: set[int] = dataclasses.field(default_factory=set)
    boxes: int = 0
    distance: float = 0.0
    margin: float = 0.0
    margins: int = 0

    @property
    def similarity(self) -> float:
        """Mean cosine similarity to the identity."""
        return 1 - self.distance / max(self.boxes, 1)


class TrackOverview(Sink):
    """Gathers tracks and names from settled rows; boxes that were only predicted are left out.

    Args:
        names: Class id → name.
        keeps_tracks: Whether an id means something beyond its frame.
        known: Number of identities that rows are compared with; 0 without a gallery.

    Attributes:
        tracks: Track id → what is known of it.
        identities: Name → what is known of the identity.
        frames: Number of frames.
        known: As given.
    """

    stage = None

    def __init__(self, names: Mapping[int, str], *, keeps_tracks: bool = True, known: int = 0) -> None:
        self.tracks: dict[int, SeenTrack] = {}
        self.identities: dict[str, SeenIdentity] = {}
        self._names = names
        self._keeps_tracks = keeps_tracks
        self.known = known
        self.frames = 0
        self._begun = self._ended = 0.0
        self._unnamed = 0  # boxes

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        if not self.frames:
            self._begun = frame.time
        self.frames, self._ended = self.frames + 1, frame.time
        rows = np.flatnonzero((detections.track_id >= 0) & ~detections.coasted)
        if self._keeps_tracks:
            ids, classes = detections.track_id[rows].tolist(), detections.class_id[rows].tolist()
            for track_id, class_id in zip(ids, classes):
                known = self.tracks.get(track_id)
                if known is None:
                    self.tracks[track_id] = SeenTrack(frame.time, frame.time, class_id)
                else:
                    known.last, known.class_id = frame.time, class_id
        named = [row for row, name in zip(rows.tolist(), detections.gallery_id[rows]) if name is not None]
        self._unnamed += len(rows) - len(named)
        for row in named:
            self._name(frame.time, detections, row)

    def _name(self, time: float, detections: Detections, row: int) -> None:
        name, track_id = str(detections.gallery_id[row]), int(detections.track_id[row])
        one = self.identities.setdefault(name, SeenIdentity(time, time))
        one.last = time
        one.boxes += 1
        one.distance += float(detections.gallery_distance[row])
        margin = float(detections.gallery_margin[row])
        if np.isfinite(margin):
            one.margin, one.margins = one.margin + margin, one.margins + 1
        if self._keeps_tracks:
            one.tracks.add(track_id)
            self.tracks[track_id].named = True

    def lines(self) -> list[str]:
        """Return what was tracked, as a person reads it."""
        during = f"in {clock_text(self._ended - self._begun)}"
        if not self._keeps_tracks:
            boxes = self._unnamed + sum(one.boxes for one in self.identities.values())
            return [f"compared    {_counted(boxes, 'box', 'boxes')} {during}", *self._named()]
        lines = [f"tracks      {len(self.tracks)} {during}{self._classes()}"]
        if self.tracks:
            longest = max(self.tracks, key=lambda track: self.tracks[track].last - self.tracks[track].first)
            span = self.tracks[longest]
            lines.append(f"  longest   ID {longest}, {clock_text(span.first)} to {clock_text(span.last)}")
        return lines + self._named()

    def _classes(self) -> str:
        """Return the tracks by class where there are several, the commonest first."""
        counts = Counter(self._names.get(track.class_id, f"class {track.class_id}") for track in self.tracks.values())
        if len(counts) < 2:
            return ""
        return ": " + ", ".join(f"{count} {name}" for name, count in counts.most_common())

    def _named(self) -> list[str]:
        """Return a line per identity, in order of their appearance, and one of what has no name."""
        if not self.known:
            return []
        ordered = sorted(self.identities.items(), key=lambda item: item[1].first)
        width = max((len(name) for name, _ in ordered[:MAX_NAMES]), default=0)
        lines = [f"named       {name:<{width}}  {self._identity(one)}" for name, one in ordered[:MAX_NAMES]]
        lines = lines or [f"named       none of {_counted(self.known, 'identity', 'identities')}"]
        if len(ordered) > MAX_NAMES:
            lines.append(f"            and {len(ordered) - MAX_NAMES} more")
        unnamed = sum(not track.named for track in self.tracks.values()) if self._keeps_tracks else self._unnamed
        words = ("track", "tracks") if self._keeps_tracks else ("box", "boxes")
        return [*lines, f"unnamed     {_counted(unnamed, *words)}"]

    def _identity(self, one: SeenIdentity) -> str:
        seen = _counted(len(one.tracks), "track") if self._keeps_tracks else _counted(one.boxes, "box", "boxes")
        margin = f", {one.margin / one.margins:.2f} ahead of the next" if one.margins else ""
        times = f"{clock_text(one.first)} to {clock_text(one.last)}"
        return f"{seen}, {times}, similarity {one.similarity:.2f}{margin}"


def _counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 track``, ``2 tracks``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def clock_text(seconds: float) -> str:
    """Return a time as a player shows it: ``1:02.5``, ``1:00:02.5``."""
    tenths = round(10 * max(seconds, 0.0))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"
