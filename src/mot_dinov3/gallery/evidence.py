"""Evidence on strangers in a video, from tracks whose identity nobody knows: what their similarities would be as such.

A track has no more than one of the identities, and an identity no more than one of the tracks of a frame. So the
runner-up is the similarity of a stranger, whoever the track is, and how far the best one leads tells the two apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import Float64Array, IntArray

# Columns of a row of evidence: its weight; mean, square and cube of the similarity to the nearest person, were the
# track a stranger; the chances that its best person is a wrong and the right one; both times the lead of the best; the
# similarities to all persons, were the track a stranger, each times its weight, and then these weights.
WEIGHT, MEAN, CUBE, CHANCES, LEADS, PERSONS = 0, 1, 3, slice(4, 6), slice(6, 8), 8

_EXPONENTIAL = -np.log(1 - (np.arange(4) + 0.5) / 4)
_EXPONENTIAL /= _EXPONENTIAL.mean()  # four points that stand for an exponential distribution of mean 1


@dataclasses.dataclass
class TrackEvidence:
    """What one track has shown about strangers; long tracks count no more than short ones.

    Attributes:
        count: Number of comparisons.
        single: Mean of the rows of single comparisons.
        steady: Row of the mean over many comparisons; 0 before there are as many.
    """

    count: int = 0
    single: Float64Array | float = 0.0
    steady: Float64Array | float = 0.0

    def add(self, row: Float64Array) -> Float64Array:
        """Take in a comparison; return the change of `single`."""
        self.count += 1
        change = np.asarray((row - self.single) / self.count)
        self.single = self.single + change
        return change

    def settle(self, row: Float64Array) -> Float64Array:
        """Take in the row of the mean over all comparisons; return the change of `steady`."""
        change = np.asarray(row - self.steady)
        self.steady = row
        return change


@dataclasses.dataclass(frozen=True)
class LeadModel:
    """How far the best person leads the runner-up: exponentially distributed, farther where it is the right one.

    Attributes:
        wrong: ``(f,)`` mean lead of a wrong person.
        right: ``(f,)`` mean lead of the right person.
        known: Share of tracks whose person is in the gallery.
    """

    wrong: Float64Array
    right: Float64Array
    known: float

    def chance_of_stranger(self, lead: Float64Array) -> Float64Array:
        """Return ``(f,)`` the chance that a track with such a lead is a stranger."""
        scale = self.right / 2
        odds = self.known / (1 - self.known) * self.wrong * np.maximum(lead, 0) / scale**2
        found = 1 / (1 + odds * np.exp(np.minimum(lead * (1 / self.wrong - 1 / scale), 500)))
        return np.where(lead > 0, found, 1.0)


@dataclasses.dataclass(frozen=True)
class Leaders:
    """The best person of each compared track.

    Attributes:
        best: ``(f,)`` the person.
        top: ``(f,)`` similarity to it.
        second: ``(f,)`` similarity of the runner-up: this track and the next person, or the next track and this person;
            −inf where there is none.
    """

    best: IntArray
    top: Float64Array
    second: Float64Array

    @classmethod
    def of(cls, score: Float64Array, present: Float64Array, place: IntArray) -> Leaders:
        """Return the best persons of tracks with ``(f, p)`` similarities, of ``(m, p)`` `present`, at rows `place`."""
        index = np.arange(len(score))
        best = score.argmax(axis=1)
        others, rivals = score.copy(), present.copy()
        others[index, best] = -np.inf
        rivals[place] = score
        rivals = rivals[:, best]
        rivals[place, index] = -np.inf
        return cls(best, score[index, best], np.maximum(others.max(axis=1), rivals.max(axis=0)))


def evidence_rows(similar: Float64Array, offset: Float64Array, leaders: Leaders, leads: LeadModel) -> Float64Array:
    """Return ``(f, PERSONS + 2 p)`` rows of evidence, of zeros for tracks that have no runner-up.

    Args:
        similar: ``(f, p)`` similarities to persons.
        offset: ``(p,)`` by how much strangers resemble a person more than others.
        leaders: Their best persons, by similarity less `offset`.
        leads: Of these.
    """
    usable = np.isfinite(leaders.second)
    top, second = leaders.top, np.where(usable, leaders.second, leaders.top)
    lead = top - second
    stranger = leads.chance_of_stranger(lead)[:, None]

    # As a stranger, its best person would lead the runner-up by chance. Half of the weight believes what was seen,
    # where that is less: it is right for strangers, and a large lead of the right person shall not count.
    drawn = second[:, None] + leads.wrong[:, None] * _EXPONENTIAL
    values = np.concatenate([drawn, np.minimum(drawn, top[:, None]), second[:, None]], axis=1)
    values = np.where((lead > 0)[:, None], values, top[:, None])
    weights = np.concatenate([np.repeat(stranger / 8, 8, axis=1), 1 - stranger], axis=1)
    moments = np.stack([(weights * values**power).sum(axis=1) for power in (1, 2, 3)], axis=1)

    persons, index = similar.shape[1], np.arange(len(similar))
    row = np.zeros((len(similar), PERSONS + 2 * persons))
    row[:, WEIGHT] = 1
    row[:, MEAN : CUBE + 1] = moments
    row[:, CHANCES] = (lead > 0)[:, None] * np.concatenate([stranger, 1 - stranger], axis=1)
    row[:, LEADS] = row[:, CHANCES] * lead[:, None]
    row[:, PERSONS : PERSONS + persons] = similar
    row[:, PERSONS + persons :] = 1
    # A person who is mostly the right one shall not seem to be whom strangers resemble.
    sure = np.maximum(2 * stranger[:, 0] - 1, 0)
    row[index, PERSONS + leaders.best] = sure * (moments[:, 0] + offset[leaders.best])
    row[index, PERSONS + persons + leaders.best] = sure
    row[~usable] = 0
    return row
