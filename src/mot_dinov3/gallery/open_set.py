"""Open-set threshold: the distance at which about one stranger in a hundred is given the name of a known identity.

A stranger is named where the nearest of *all* identities is near enough, so what counts is the distribution of the
similarity to the nearest one. The gallery shows it before the first frame (`left_out`), the video for its own camera
and light (`evidence`). The threshold is the upper percentile of a Pearson III distribution of the mean, variance and
skewness found so. Nothing in it depends on the scale of an embedder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import Float64Array, FloatArray, IntArray
from mot_dinov3.gallery.evidence import (
    CHANCES,
    CUBE,
    LEADS,
    MEAN,
    PERSONS,
    WEIGHT,
    Leaders,
    LeadModel,
    TrackEvidence,
    evidence_rows,
)
from mot_dinov3.gallery.folder import SHOWN, KnownIdentities
from mot_dinov3.gallery.left_out import gallery_strangers, to_persons
from mot_dinov3.gallery.matching import MatchLimits
from mot_dinov3.gallery.strangers import FALSE_NAMES, LEAST_SPREAD, SPREAD, StrangerDistribution

IMAGES_PER_TRACK = 8.0  # boxes without tracks that count as one track: they may all show one object
STEADY = 5  # comparisons from which on the mean distance of a track is steady
FIXED = 0.25  # threshold while nothing is known about strangers; keep and margin are meant for it
FEWEST_TRACKS = 2.0  # without them, a gallery of one person says nothing about strangers

# The number of tracks that an assumption counts for, and the assumption.
GALLERY_TRACKS = 3.0
KNOWN_TRACKS, KNOWN_SHARE = 4.0, 0.65
LEAD_TRACKS, RIGHT_LEAD, LEAST_RIGHT_LEAD = 4.0, 4.0, 3.0  # the right person leads so many times as far as a wrong one
OFFSET_TRACKS = 4.0
STEADY_TRACKS = 8.0  # whose mean distances are no steadier than single ones


class OpenSetThreshold:
    """Learns from a gallery and a video at which distance identities may be assigned.

    Its state is a few sums, whatever the length of the video.

    Args:
        known: The gallery.
    """

    def __init__(self, known: KnownIdentities) -> None:
        self.gallery = gallery_strangers(known)
        self._names = known.names
        self._persons = self.gallery.persons
        self._single = np.zeros(PERSONS + 2 * self._persons)
        self._steady = np.zeros(PERSONS + 2 * self._persons)
        self._seen = 0
        self._follows = True

    def observe(
        self, compared: FloatArray, present: FloatArray, place: IntArray, tracks: Sequence[TrackEvidence] | None
    ) -> None:
        """Learn from the tracks that were compared in one frame.

        Args:
            compared: ``(f, k)`` their distances to the identities.
            present: ``(m, k)`` mean distances of all tracks in the frame.
            place: ``(f,)`` their rows there.
            tracks: What each of them has shown before; None where boxes have no tracks.
        """
        rows = self._evidence(compared, present, place)
        if tracks is None:
            self._follows = False
            self._seen += int(np.count_nonzero(rows[:, WEIGHT]))
            self._single += rows.sum(axis=0) / IMAGES_PER_TRACK
            return
        steady = self._evidence(present[place], present, place)
        for row, mean, track in zip(rows, steady, tracks):
            if row[WEIGHT]:
                self._seen += track.count == 0
                self._single += track.add(row)
            if mean[WEIGHT] and track.count >= STEADY:
                self._steady += track.settle(mean)

    def _evidence(self, compared: FloatArray, present: FloatArray, place: IntArray) -> Float64Array:
        offset, person = self._offset(), self.gallery.person
        similar = to_persons(compared, person)
        leaders = Leaders.of(similar - offset, to_persons(present, person) - offset, place)
        return evidence_rows(similar, offset, leaders, self._leads(leaders.second))

    def _leads(self, second: Float64Array) -> LeadModel:
        """Return the leads seen so far; where the gallery has none, a share of the distance of the runner-up."""
        gallery = self.gallery.lead
        assumed = (
            SPREAD * (1 - np.nan_to_num(second, neginf=0)) if math.isnan(gallery) else np.full_like(second, gallery)
        )
        assumed = np.maximum(assumed, LEAST_SPREAD)
        (wrong, right), sums = self._single[CHANCES].tolist(), self._single[LEADS].tolist()
        mean = (LEAD_TRACKS * assumed + sums[0]) / (LEAD_TRACKS + wrong)
        right_mean = (LEAD_TRACKS * RIGHT_LEAD * assumed + sums[1]) / (LEAD_TRACKS + right)
        known = (KNOWN_TRACKS * KNOWN_SHARE + right) / (KNOWN_TRACKS + wrong + right)
        return LeadModel(mean, np.maximum(right_mean, LEAST_RIGHT_LEAD * mean), known)

    def _offset(self) -> Float64Array:
        """Return ``(p,)`` by how much strangers resemble a person more than others."""
        similar, weight = self._single[PERSONS:].reshape(2, -1)
        return np.asarray((similar - weight * _typical(self._single)) / (weight + OFFSET_TRACKS))

    def adjusted(self, distance: FloatArray) -> FloatArray:
        """Return ``(n, k)`` distances that `limits` are for: larger to an identity that strangers resemble."""
        return (distance + self._offset()[self.gallery.person]).astype(np.float32)

    @property
    def is_learnt(self) -> bool:
        """Whether anything is known about strangers."""
        return self.gallery.nearest is not None or self._single[WEIGHT] >= FEWEST_TRACKS

    def limits(self, keep: float, margin: float) -> MatchLimits:
        """Return the limits now; `keep` and `margin` are scaled to the distances of strangers."""
        if not self.is_learnt:
            match = min(FIXED, self.gallery.own) if math.isfinite(self.gallery.own) else FIXED
            return MatchLimits(match, 0.0, keep * match / FIXED, margin * match / FIXED)
        single = self._distribution()
        steady = single.weighted(STEADY_TRACKS).pooled(_seen(self._steady))
        first = 1 - single.percentile()
        match = max(first, 1 - steady.percentile())  # in a mean, what differs from image to image is averaged away
        scale = max(1 - single.typical - first, LEAST_SPREAD) / FIXED
        return MatchLimits(match, match - first, keep * scale, margin * scale)

    def _distribution(self) -> StrangerDistribution:
        """Return the distribution of single comparisons: the gallery's, where it has any, with the video's."""
        seen, assumed = _seen(self._single), self.gallery.nearest
        if assumed is not None:
            return assumed.weighted(GALLERY_TRACKS).pooled(seen)
        assert seen is not None
        return StrangerDistribution.assumed(GALLERY_TRACKS, seen.mean, seen.typical).pooled(seen)

    def text(self) -> str:
        """Return the threshold in words, and what it was learnt from."""
        limits = self.limits(0.0, 0.0)
        if not self.is_learnt:
            return (
                f"gallery threshold: {limits.match:.2f}, not learnt: with one known person, strangers show only in "
                "frames with several tracks, and there were none; set --gallery-match-threshold"
            )
        first = limits.match - limits.caution
        shown = f"{max(limits.match if self._follows else first, 0.0):.2f}"
        if self._follows and limits.caution >= 0.005:
            shown += f" ({max(first, 0.0):.2f} after one comparison)"
        what = ("track", "tracks") if self._follows else ("box", "boxes")
        return (
            f"gallery threshold: {shown}, auto: {100 * FALSE_NAMES:g} % false names expected, from "
            f"{_counted(len(self._names), 'identity', 'identities')} and {_counted(self._seen, *what)}"
        )

    def duplicates(self) -> list[str]:
        """Return a notice where several identities are one person."""
        person = self.gallery.person.tolist()
        groups = [[name for name, one in zip(self._names, person) if one == number] for number in range(self._persons)]
        several = [" = ".join(names) for names in groups if len(names) > 1]
        if not several:
            return []
        more = f" and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
        return [
            "gallery: identities whose images are as similar as those of one person count as one for the threshold: "
            f"{', '.join(several[:SHOWN])}{more}"
        ]


def _seen(total: Float64Array) -> StrangerDistribution | None:
    """Return the distribution of summed rows of evidence; None where there are none."""
    tracks = float(total[WEIGHT])
    if tracks <= 0:
        return None
    mean = total / tracks
    return StrangerDistribution.of(mean[MEAN : CUBE + 1], _typical(total), tracks)


def _typical(total: Float64Array) -> float:
    """Return the mean similarity to any person, of summed rows of evidence."""
    similar, weight = total[PERSONS:].reshape(2, -1).sum(axis=1).tolist()
    return similar / weight if weight else 0.0


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
