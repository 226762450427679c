"""Identities of the tracks of several videos: what excludes a pair, and the names of the result."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from mot_dinov3.apps.identities.assignment import CanBeOne, assign_identities
from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.pair_evidence import PairCalibration
from mot_dinov3.apps.identities.tracklet_means import ComparedTracklets, centre
from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.core.structures import BoolArray, Float64Array, IntArray
from mot_dinov3.formats.track_embeddings import EmbeddingTable

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class IdentifiedTrack:
    """A track with its identity; times in seconds of its video."""

    identity: str
    confidence: float
    video: str
    camera: str
    track_id: int
    class_name: str
    first_time: float
    last_time: float
    boxes: int


@dataclasses.dataclass(frozen=True)
class IdentificationResult:
    """Identities of all tracks.

    Attributes:
        tracks: Those with an identity, by identity in the order of their first tracks.
        unidentified: Video and id of the tracks of which nothing was embedded.
        calibration: What cosines were worth; None for fewer than two tracks.
    """

    tracks: tuple[IdentifiedTrack, ...]
    unidentified: tuple[tuple[str, int], ...]
    calibration: PairCalibration | None


def by_video(tracks: Iterable[IdentifiedTrack]) -> dict[str, list[IdentifiedTrack]]:
    """Return video → its tracks."""
    found: dict[str, list[IdentifiedTrack]] = {}
    for track in tracks:
        found.setdefault(track.video, []).append(track)
    return found


@dataclasses.dataclass(frozen=True)
class TrackFacts:
    """What excludes that two tracks are of one object; ``(m,)`` columns.

    Attributes:
        video: Number of the video.
        camera: Number of the camera.
        first: Seconds of its first box, of the video or, where that has a start, of the common clock.
        last: The same of its last box.
        has_clock: Whether its video has a start.
        kind: Number of its class.
        known: Number of its gallery name; -1 for none.
        travel: ``(cameras, cameras)`` least seconds between two cameras.
    """

    video: IntArray
    camera: IntArray
    first: Float64Array
    last: Float64Array
    has_clock: BoolArray
    kind: IntArray
    known: IntArray
    travel: Float64Array

    def can_be_one(self, one: IntArray, other: IntArray) -> BoolArray:
        """Return ``(k,)`` whether the tracks of two rows may be of one object."""
        gap = np.maximum(self.first[one] - self.last[other], self.first[other] - self.last[one])
        clock = self.has_clock[one] & self.has_clock[other]
        same_video = self.video[one] == self.video[other]
        same_camera = same_video | (clock & (self.camera[one] == self.camera[other]))
        at_once = same_camera & (gap <= 0)
        too_fast = clock & ~same_camera & (gap < self.travel[self.camera[one], self.camera[other]])
        kinds = self.kind[one] != self.kind[other]
        named = (self.known[one] >= 0) & (self.known[other] >= 0) & (self.known[one] != self.known[other])
        return np.asarray(~(at_once | too_fast | kinds | named))


TrackKey = tuple[str, int]
"""The name of a video, and the id of a track in it."""


@dataclasses.dataclass(frozen=True)
class KnownTracks:
    """What is known of tracks before they are compared.

    Attributes:
        names: Identities of tracks; they keep them, and these stay apart.
        different: Pairs of tracks that a person called different.
        confidence: Confidence of the tracks of `names`, which they keep where `calibration` is given.
        calibration: What cosines are worth, so that the tracks of `names` need not be compared with each other.
    """

    names: Mapping[TrackKey, str] = dataclasses.field(default_factory=dict)
    different: Sequence[tuple[TrackKey, TrackKey]] = ()
    confidence: Mapping[TrackKey, float] = dataclasses.field(default_factory=dict)
    calibration: PairCalibration | None = None


class Run(Protocol):
    """Runs a function, here or elsewhere, and returns its result."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run it."""
        ...


def run_here(function: Callable[..., T], *arguments: Any) -> T:
    """Run a function in this process."""
    return function(*arguments)


def identify_tracks(
    videos: Sequence[VideoTracks], plan: CameraPlan, known: KnownTracks | None = None, run: Run = run_here
) -> IdentificationResult:
    """Return the identities of the tracks of all videos.

    Args:
        videos: Their tracks.
        plan: What is known of the cameras.
        known: What is known of some of the tracks; the name of a known identity from a gallery stands for it.
        run: Runs the decision, which needs neither files nor the registry.
    """
    known = known or KnownTracks()
    marks = [video.appearance.usable for video in videos]
    usable = [(number, row) for number, mark in enumerate(marks) for row in np.flatnonzero(mark).tolist()]
    facts = track_facts(videos, usable, plan)
    given = known_names(videos, usable, known)
    can_be_one = without_pairs(facts.can_be_one, different_rows(videos, usable, known))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(filter(None, given)))}
    stored = np.array([numbers.get(name, -1) for name in given], np.int64)
    compared = tracklets(videos, usable, facts.camera)
    kept = [None if known.calibration is None else known.confidence.get(track_key(videos, row)) for row in usable]
    new = np.array([row for row, own in enumerate(kept) if own is None], np.int64)
    found = run(assign_identities, centre(compared), can_be_one, stored, known.calibration, new)
    confidence = [found if own is None else own for own, found in zip(kept, found.confidence.tolist())]
    names = identity_names(videos, usable, found.identity, given)
    tracks = [
        _identified(videos[number], row, plan, (names[group], own))
        for (number, row), group, own in zip(usable, found.identity.tolist(), confidence)
    ]
    rank = {name: place for place, name in enumerate(dict.fromkeys(names))}
    tracks.sort(key=lambda track: rank[track.identity])
    lost = (
        track_key(videos, (number, row)) for number, mark in enumerate(marks) for row in np.flatnonzero(~mark).tolist()
    )
    return IdentificationResult(tuple(tracks), tuple(lost), found.calibration)


def track_key(videos: Sequence[VideoTracks], place: tuple[int, int]) -> TrackKey:
    """Return the key of a track, given by the number of its video and its row there."""
    video = videos[place[0]]
    return video.name, int(video.table.tracks["track_id"][place[1]])


def known_names(videos: Sequence[VideoTracks], usable: Sequence[tuple[int, int]], known: KnownTracks) -> list[str]:
    """Return the known identity of each track; empty for a track without one."""
    taken = set(known.names.values())
    found = []
    for number, row in usable:
        of_gallery = str(videos[number].table.tracks["name"][row])
        default = of_gallery if of_gallery in taken else ""
        found.append(known.names.get(track_key(videos, (number, row)), default))
    return found


def different_rows(
    videos: Sequence[VideoTracks], usable: Sequence[tuple[int, int]], known: KnownTracks
) -> set[tuple[int, int]]:
    """Return the pairs of rows that a person called different, both ways round."""
    place = {track_key(videos, row): k for k, row in enumerate(usable)}
    pairs = {(place[one], place[other]) for one, other in known.different if one in place and other in place}
    return pairs | {(other, one) for one, other in pairs}


def without_pairs(can_be_one: CanBeOne, different: set[tuple[int, int]]) -> CanBeOne:
    """Return what excludes some pairs of rows besides those that `can_be_one` excludes."""
    if not different:
        return can_be_one

    def checked(one: IntArray, other: IntArray) -> BoolArray:
        named = [pair in different for pair in zip(one.tolist(), other.tolist())]
        return can_be_one(one, other) & ~np.array(named, np.bool_)

    return checked


def tracklets(videos: Sequence[VideoTracks], rows: Sequence[tuple[int, int]], camera: IntArray) -> ComparedTracklets:
    """Return the appearance of tracks, given by the numbers of their videos, which rise, and their rows there."""
    parts = [
        videos[number].appearance.take([row for _, row in own])
        for number, own in itertools.groupby(rows, key=lambda place: place[0])
    ]
    return ComparedTracklets(parts, camera)


def crops_by_track(table: EmbeddingTable) -> dict[int, IntArray]:
    """Return track → its crops, as row numbers in the order of time."""
    order = np.lexsort((table.crops["frame"], table.crops["track_id"]))
    tracks, first = np.unique(table.crops["track_id"][order], return_index=True)
    return dict(zip(tracks.tolist(), np.split(order, first[1:])))


def track_facts(videos: Sequence[VideoTracks], usable: Sequence[tuple[int, int]], plan: CameraPlan) -> TrackFacts:
    """Return what may exclude pairs of the tracks."""
    cameras = sorted({plan.camera_of(video.name) for video in videos})
    place = {name: number for number, name in enumerate(cameras)}
    travel = np.zeros((len(cameras), len(cameras)))
    for (one, other), seconds in plan.travel.items():
        travel[place[one], place[other]] = travel[place[other], place[one]] = seconds
    names = [videos[number].name for number, _ in usable]
    start = np.array([plan.start.get(name, 0.0) for name in names])
    kinds = [str(videos[number].table.tracks["class_name"][row]) for number, row in usable]
    known = [str(videos[number].table.tracks["name"][row]) for number, row in usable]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(known))}
    return TrackFacts(
        video=np.array([number for number, _ in usable], np.int64),
        camera=np.array([place[plan.camera_of(name)] for name in names], np.int64),
        first=np.array([videos[n].table.tracks["first_time"][row] for n, row in usable]) + start,
        last=np.array([videos[n].table.tracks["last_time"][row] for n, row in usable]) + start,
        has_clock=np.array([name in plan.start for name in names], np.bool_),
        kind=np.unique(kinds, return_inverse=True)[1].astype(np.int64),
        known=np.array([numbers[name] if name else -1 for name in known], np.int64),
        travel=travel,
    )


def identity_names(
    videos: Sequence[VideoTracks], usable: Sequence[tuple[int, int]], identity: IntArray, known: Sequence[str]
) -> list[str]:
    """Return the name of each identity: the known one, or that of a gallery, else its class and a number."""
    gallery: list[Counter[str]] = [Counter() for _ in range(int(identity.max(initial=-1)) + 1)]
    kinds = [""] * len(gallery)
    for (number, row), group in zip(usable, identity.tolist()):
        columns = videos[number].table.tracks
        kinds[group] = str(columns["class_name"][row]) or "object"
        if name := str(columns["name"][row]):
            gallery[group][name] += 1
    stored = {group: name for group, name in zip(identity.tolist(), known) if name}
    taken = {name for names in gallery for name in names} | set(stored.values())
    given: list[str] = []
    counts: Counter[str] = Counter()
    for group, (names, kind) in enumerate(zip(gallery, kinds)):
        name = stored.get(group) or (names.most_common(1)[0][0] if names else "")
        while not name or (group not in stored and not names and name in taken):
            counts[kind] += 1
            name = f"{kind}-{counts[kind]}"
        given.append(name)
    return given


def _identified(video: VideoTracks, row: int, plan: CameraPlan, identity: tuple[str, float]) -> IdentifiedTrack:
    columns = video.table.tracks
    return IdentifiedTrack(
        identity=identity[0],
        confidence=round(identity[1], 4),
        video=video.name,
        camera=plan.camera_of(video.name),
        track_id=int(columns["track_id"][row]),
        class_name=str(columns["class_name"][row]),
        first_time=round(float(columns["first_time"][row]), 6),
        last_time=round(float(columns["last_time"][row]), 6),
        boxes=int(columns["boxes"][row]),
    )
