"""Strangers to a gallery, without a video: each identity is left out once and compared with the others."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from mot_dinov3.core.structures import Float64Array, FloatArray, IntArray
from mot_dinov3.gallery.folder import KnownIdentities
from mot_dinov3.gallery.matching import half_nearest, identity_distances
from mot_dinov3.gallery.strangers import SPREAD, StrangerDistribution

LEFT_OUT = 64  # identities at most that are left out of a large gallery
SPREAD_PERSONS = 2.0  # that the assumed variance counts for
LEAD_OF_TWO = 1.4  # standard deviations of the nearer one between two normally distributed similarities
DUPLICATE = 0.1  # two identities are one person if nearer than this share of the way from own images to others'
OWN = 0.75  # only where own images are this much nearer than others'
FAR = 4.0  # robust standard deviations from the median at which the similarities of an identity are clipped


@dataclasses.dataclass(frozen=True)
class GalleryStrangers:
    """What a gallery says about strangers to it.

    Attributes:
        person: ``(k,)`` the person of each identity, 0 … p − 1: two folders may hold images of the same one.
        own: Mean distance of an image to the others of its identity; NaN where each identity has only one.
        nearest: Similarity of strangers to the nearest person; None where there is only one person.
        lead: Mean lead of the nearest person over the next; NaN where there is only one.
    """

    person: IntArray
    own: float
    nearest: StrangerDistribution | None = None
    lead: float = math.nan

    @property
    def persons(self) -> int:
        """Number of persons."""
        return int(self.person.max()) + 1


def gallery_strangers(known: KnownIdentities) -> GalleryStrangers:
    """Return what a gallery says about strangers to it."""
    k = len(known.names)
    left = np.unique(np.linspace(0, k - 1, min(k, LEFT_OUT)).astype(np.int64))
    distances = [identity_distances(known.embedding[known.owner == i], known.embedding, known.owner) for i in left]
    own = own_distances(known)
    mean_own = float(np.nanmean(own)) if np.isfinite(own).any() else math.nan
    person = same_persons(left, np.array([distance.mean(axis=0) for distance in distances]), own)
    persons = int(person.max()) + 1
    if persons == 1:
        return GalleryStrangers(person, mean_own)

    # The similarities of every image to the persons other than its own, the nearest first.
    ranked = []
    for i, distance in zip(left.tolist(), distances):
        similar = np.delete(to_persons(distance, person), person[i], axis=1)
        ranked.append(-np.sort(-similar, axis=1))
    share = np.concatenate([np.full(len(rank), 1 / len(rank) / len(ranked)) for rank in ranked])
    nearest = clipped([rank[:, 0] for rank in ranked])
    moments = np.array([share @ nearest**power for power in (1, 2, 3)])
    typical = float(share @ np.concatenate([rank.mean(axis=1) for rank in ranked]))

    # Few persons: their variance and skewness are uncertain, and the variance of so few is too small.
    found = StrangerDistribution.of(moments, typical, persons)
    found = dataclasses.replace(
        found,
        variance=found.variance * persons / (persons - 1),
        tracks=persons - 1.0,
        skewness_tracks=persons / 2 if persons > 2 else 0.0,
    )
    found = StrangerDistribution.assumed(SPREAD_PERSONS, found.mean, typical).pooled(found)
    lead = LEAD_OF_TWO * math.sqrt(found.variance)
    if persons > 2:
        lead = float(share @ np.concatenate([rank[:, 0] - rank[:, 1] for rank in ranked]))
    return GalleryStrangers(person, mean_own, found, lead)


def to_persons(distance: FloatArray, person: IntArray) -> Float64Array:
    """Return ``(n, p)`` similarities to persons for ``(n, k)`` distances to identities, those of the nearest one."""
    similar = 1 - distance.astype(np.float64)
    persons = int(person.max()) + 1
    if persons == len(person):
        return similar
    found = np.full((persons, len(similar)), -np.inf)
    np.maximum.at(found, person, similar.T)
    return np.ascontiguousarray(found.T)


def own_distances(known: KnownIdentities) -> Float64Array:
    """Return ``(k,)`` mean distances of an identity's images to its other images; NaN where there is only one."""
    found = np.full(len(known.names), np.nan)
    for identity in range(len(known.names)):
        images = known.embedding[known.owner == identity]
        if len(images) > 1:
            every = 1 - images @ images.T
            others = every[~np.eye(len(images), dtype=np.bool_)].reshape(len(images), -1)
            found[identity] = half_nearest(others).mean()
    return found


def same_persons(left: IntArray, distance: FloatArray, own: Float64Array) -> IntArray:
    """Return ``(k,)`` the person of each identity; two whose images are as near to each other as to their own are one.

    Args:
        left: ``(l,)`` identities that were compared.
        distance: ``(l, k)`` their mean distances to all identities.
        own: ``(k,)`` of `own_distances`.
    """
    person = np.arange(len(own))
    for i, row in zip(left.tolist(), distance):
        if len(row) < 2:
            continue
        others = np.median(np.delete(row, i))
        pair = (np.where(np.isnan(own), own[i], own) + np.where(np.isnan(own[i]), own, own[i])) / 2
        near = (row <= pair + DUPLICATE * (others - pair)) & (pair <= OWN * others)
        near[i] = False
        for j in np.flatnonzero(near).tolist():
            person[person == person[j]] = person[i]
    return np.unique(person, return_inverse=True)[1].reshape(-1)


def clipped(similar: list[Float64Array]) -> Float64Array:
    """Return the similarities of all identities' images, those of an outlier among the identities clipped."""
    means = np.array([one.mean() for one in similar])
    middle = float(np.median(means))
    spread = max(1.4826 * float(np.median(np.abs(means - middle))), SPREAD * (1 - middle) / 2)
    return np.minimum(np.concatenate(similar), middle + FAR * spread)
