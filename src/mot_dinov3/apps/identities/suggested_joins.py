"""Suggestions for a person to confirm or reject: pairs of tracks in a registry of which it is unclear who they are.

Two kinds: identities that may be one, since a run never joins known identities; and tracks that may not belong to
their identity. Those come first that are wrong now with the highest probability.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from mot_dinov3.apps.identities.assignment import DOUBTFUL, CanBeOne, Pairs, compare_pairs
from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.identified_tracks import (
    KnownTracks,
    TrackKey,
    different_rows,
    track_facts,
    track_key,
    tracklets,
    without_pairs,
)
from mot_dinov3.apps.identities.stored_tracks import StoredVideo
from mot_dinov3.apps.identities.tracklet_means import centre
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray

LEAST = 0.05  # probability of a mistake from which on a person is asked
MOST = 60  # suggestions


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """Two tracks that a person may call one or different.

    Attributes:
        one: A track; of a single identity, the track that may not belong to it.
        other: The most similar track of the other identity, or of the rest of the same one.
        identities: Their identities, which may be the same.
        probability: That the two identities are one, or that the track belongs to its identity.
    """

    one: TrackKey
    other: TrackKey
    identities: tuple[str, str]
    probability: float

    @property
    def urgency(self) -> float:
        """Probability that the registry is wrong here."""
        return 1 - self.probability if self.identities[0] == self.identities[1] else self.probability


@dataclasses.dataclass(frozen=True)
class _Compared:
    """Tracks and their likely pairs: identity of each as a number, unit rows, pairs, log odds of these, exclusions."""

    group: IntArray
    rows: FloatArray
    pairs: Pairs
    odds: Float64Array
    can_be_one: CanBeOne


def suggest(
    videos: Sequence[StoredVideo],
    different: Sequence[tuple[TrackKey, TrackKey]],
    same: Sequence[tuple[TrackKey, TrackKey]],
) -> list[Suggestion]:
    """Return suggestions, the most urgent first.

    Args:
        videos: The videos of a registry.
        different: Pairs of tracks that a person called different.
        same: Pairs of tracks that a person called one.
    """
    tracks = [video.tracks for video in videos]
    rows = [
        (number, row)
        for number, video in enumerate(videos)
        for row, track in enumerate(video.tracks.table.tracks["track_id"].tolist())
        if track in video.identities and video.tracks.appearance.usable[row]
    ]
    if len(rows) < 2:
        return []
    keys = [track_key(tracks, row) for row in rows]
    owners = [videos[number].identities[key[1]] for (number, _), key in zip(rows, keys)]
    plan = CameraPlan(
        {video.tracks.name: video.camera for video in videos},
        {video.tracks.name: video.start for video in videos if video.start is not None},
    )
    facts = track_facts(tracks, rows, plan)
    can_be_one = without_pairs(facts.can_be_one, different_rows(tracks, rows, KnownTracks(different=different)))
    centred = centre(tracklets(tracks, rows, facts.camera))
    calibration, pairs, cosine = compare_pairs(centred.rows, centred.halves, can_be_one)
    names, group = np.unique(owners, return_inverse=True)
    compared = _Compared(group.astype(np.int64), centred.rows, pairs, calibration.log_odds(cosine), can_be_one)
    confirmed = {key for pair in same for key in pair}
    settled = np.array([key in confirmed for key in keys])
    found = [
        Suggestion(keys[one], keys[other], (str(names[group[one]]), str(names[group[other]])), round(probability, 4))
        for one, other, probability in (*_between(compared), *_within(compared, settled))
    ]
    return sorted(found, key=lambda suggestion: -suggestion.urgency)[:MOST]


def _between(compared: _Compared) -> Iterator[tuple[int, int, float]]:
    """Yield the most similar tracks of two identities that may be one, and the probability of that."""
    from scipy.special import expit

    group, (first, second) = compared.group, compared.pairs
    across = np.flatnonzero(group[first] != group[second])
    if not len(across):
        return
    swapped = group[first[across]] > group[second[across]]
    one, other = np.where(swapped, (second[across], first[across]), (first[across], second[across]))
    count = np.bincount(group)
    code, place = np.unique(group[one] * len(count) + group[other], return_inverse=True)
    a, b = np.divmod(code, len(count))
    total = np.bincount(place, compared.odds[across]).astype(np.float64)
    mean = _mean_odds(total, np.bincount(place), count[a] * count[b])
    best = np.full(len(code), -1)
    best[place[np.argsort(compared.odds[across], kind="stable")]] = np.argsort(compared.odds[across], kind="stable")
    number = 0
    for k in np.argsort(-mean, kind="stable").tolist():
        if number == MOST or expit(mean[k]) < LEAST:
            return
        members = np.flatnonzero(group == a[k]), np.flatnonzero(group == b[k])
        if compared.can_be_one(np.repeat(members[0], len(members[1])), np.tile(members[1], len(members[0]))).all():
            number += 1
            yield int(one[best[k]]), int(other[best[k]]), float(expit(mean[k]))


def _within(compared: _Compared, settled: BoolArray) -> Iterator[tuple[int, int, float]]:
    """Yield tracks that may not belong to their identity, the most similar other track of it, and the probability."""
    from scipy.special import expit

    group, (first, second) = compared.group, compared.pairs
    inside = group[first] == group[second]
    both = np.concatenate([first[inside], second[inside]])
    odds = np.tile(compared.odds[inside], 2)
    others = np.bincount(group)[group] - 1
    total = np.bincount(both, odds, len(group)).astype(np.float64)
    number = np.bincount(both, minlength=len(group))
    probability = expit(_mean_odds(total, number, np.maximum(others, 1)))
    asked = set()
    order = np.argsort(probability, kind="stable")
    for track in order[(others > 0)[order] & ~settled[order] & (1 - probability[order] >= LEAST)][: 2 * MOST].tolist():
        rest = np.flatnonzero(group == group[track])
        rest = rest[rest != track]
        other = int(rest[np.argmax(compared.rows[rest] @ compared.rows[track])])
        if (other, track) not in asked:  # of two tracks, one is asked about
            asked.add((track, other))
            yield track, other, float(probability[track])


def _mean_odds(total: Float64Array, number: IntArray, size: IntArray) -> Float64Array:
    """Return the mean log odds of `size` pairs, of which `number` are likely ones; the others count as `DOUBTFUL`."""
    return np.asarray((total + DOUBTFUL * (size - number)) / size)
