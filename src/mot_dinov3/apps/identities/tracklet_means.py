"""What the embeddings of tracks are reduced to before tracks are compared: two means of each, whatever it has of crops.

A video is reduced as it is read, so that the crops of one video at a time are in memory. The mean of a track and the
cosine of its halves follow from the two means, also after what a camera adds has been subtracted from all embeddings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.apps.identities.pair_evidence import camera_offsets, unit_rows, weighted_means
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray
from mot_dinov3.formats.track_embeddings import EmbeddingTable

LEAST_WEIGHT = 1e-3  # of a view


@dataclasses.dataclass(frozen=True)
class TrackletMeans:
    """Embeddings of tracks, reduced to those of the first and of the second half of each one's views.

    Attributes:
        halves: ``(n, 2, d)`` weighted means; zeros where there are no views.
        weight: ``(n, 2)`` total weight of the views.
    """

    halves: FloatArray
    weight: Float64Array

    @classmethod
    def of_views(cls, views: FloatArray, weight: Float64Array, owner: IntArray, count: int) -> TrackletMeans:
        """Reduce views; the single view of a track is its second half.

        Args:
            views: ``(k, d)`` unit rows; those of a track in the order of time.
            weight: ``(k,)`` quality of each.
            owner: ``(k,)`` track of each, 0…count-1.
            count: Number of tracks.
        """
        number = np.bincount(owner, minlength=count)
        order = np.argsort(owner, kind="stable")
        place = np.empty(len(owner), np.int64)
        place[order] = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
        half = 2 * owner + (place >= (number // 2)[owner])
        weight = np.maximum(weight, LEAST_WEIGHT)
        means = weighted_means(views, weight, half, 2 * count).astype(np.float32)
        total = np.bincount(half, weight, 2 * count).astype(np.float64)
        return cls(means.reshape(count, 2, views.shape[1]), total.reshape(count, 2))

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.weight)

    @property
    def usable(self) -> BoolArray:
        """``(n,)`` whether something of a track was embedded."""
        return np.asarray(self.weight.any(axis=1))

    def take(self, rows: Sequence[int]) -> TrackletMeans:
        """Return some of the tracks; without a copy where these are all."""
        if len(rows) == len(self):
            return self
        return TrackletMeans(self.halves[list(rows)], self.weight[list(rows)])

    def means(self) -> Float64Array:
        """Return ``(n, d)`` weighted means of all views of each track."""
        share = self.weight / np.maximum(self.weight.sum(axis=1, keepdims=True), LEAST_WEIGHT)
        return np.asarray(np.einsum("nhd,nh->nd", self.halves, share))


def reduced(table: EmbeddingTable) -> tuple[EmbeddingTable, TrackletMeans]:
    """Return a table without its embeddings, and these reduced; crops that have none are left out.

    The mean embedding of a track without such crops stands for its views.
    """
    ids, embedding = table.tracks["track_id"], table.tracks["embedding"]
    crops = np.flatnonzero(table.crops["embedding"].any(axis=1))
    crops = crops[np.lexsort((table.crops["frame"][crops], table.crops["track_id"][crops]))]
    order = np.argsort(ids, kind="stable")
    usable: BoolArray = np.asarray(embedding.any(axis=1))
    # Views: crops of the tracks that can be used, and means of those of these that have no crops.
    owner = order[np.searchsorted(ids[order], table.crops["track_id"][crops]).clip(max=max(0, len(ids) - 1))]
    own = usable[owner] & (ids[owner] == table.crops["track_id"][crops])
    bare = np.setdiff1d(np.flatnonzero(usable), owner[own])
    views = np.concatenate([table.crops["embedding"][crops[own]], embedding[bare]])
    weight = np.concatenate([table.crops["quality"][crops[own]], np.ones(len(bare))]).astype(np.float64)
    appearance = TrackletMeans.of_views(views, weight, np.concatenate([owner[own], bare]), len(ids))
    tracks = {key: column for key, column in table.tracks.items() if key != "embedding"}
    kept = {key: column[crops] for key, column in table.crops.items() if key != "embedding"}
    return EmbeddingTable(table.meta, tracks, kept), appearance


@dataclasses.dataclass(frozen=True)
class ComparedTracklets:
    """Tracks of several videos that are compared.

    Attributes:
        parts: Their appearance, one part after the other.
        camera: ``(m,)`` number of each one's camera, from 0.
    """

    parts: Sequence[TrackletMeans]
    camera: IntArray


@dataclasses.dataclass(frozen=True)
class CentredTracklets:
    """Tracklets less what their cameras add to all embeddings.

    Attributes:
        rows: ``(m, d)`` unit rows, a mean each.
        offset: ``(d,)`` mean of what was subtracted.
        halves: ``(k,)`` cosines of the two halves of the tracklets that have both.
    """

    rows: FloatArray
    offset: Float64Array
    halves: Float64Array


def centre(tracklets: ComparedTracklets) -> CentredTracklets:
    """Return the means of tracklets, less what their cameras add."""
    if not len(tracklets.camera):
        return CentredTracklets(np.zeros((0, 0), np.float32), np.zeros(0), np.zeros(0))
    rows = np.concatenate([part.means().astype(np.float32) for part in tracklets.parts])
    offsets = camera_offsets(rows, tracklets.camera)
    cosines, stop = [], 0
    for part in tracklets.parts:
        own = slice(stop, stop + len(part))
        stop = own.stop
        offset = offsets[tracklets.camera[own]]
        rows[own] = unit_rows(rows[own] - offset)
        both = part.weight.all(axis=1)
        first, second = (unit_rows(part.halves[both, half] - offset[both]) for half in (0, 1))
        cosines.append((first * second).sum(axis=1))
    mean = np.bincount(tracklets.camera, minlength=len(offsets)) @ offsets / len(rows)
    return CentredTracklets(rows, np.asarray(mean), np.concatenate(cosines))
