"""Notices about the identities of a gallery: very unequal numbers of images, two identities that look like one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray

UNEQUAL = 8  # times as many images of one identity as of another, that are worth a notice
FEWEST = 3  # images from which on two identities are compared
SAME_IMAGE = 0.003  # distance below which two images are the same
NEAR = 1.3  # times an identity's distance to itself, up to which another one may be the same person
APART = 1.25  # times that distance, from which on the next identity must be


def identity_notices(root: Path, names: Sequence[str], embedding: FloatArray, owner: IntArray) -> list[str]:
    """Return what is odd about `k` identities, a line each.

    Args:
        root: The gallery, for the text.
        names: ``k`` identities.
        embedding: ``(n, d)`` float32 unit rows, an image each.
        owner: ``(n,)`` identity of each image, 0 … k − 1, rising.
    """
    return [*_unequal(root, names, owner), *_twins(root, names, embedding, owner)]


def _unequal(root: Path, names: Sequence[str], owner: IntArray) -> Iterator[str]:
    """Yield a notice where identities have very different numbers of images."""
    counts = np.bincount(owner)
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[most] >= UNEQUAL * counts[least]:
        yield (
            f"gallery '{root}': '{names[most]}' has {counts[most]} images, '{names[least]}' {counts[least]}: similar "
            "numbers make distances comparable"
        )


def _twins(root: Path, names: Sequence[str], embedding: FloatArray, owner: IntArray) -> Iterator[str]:
    """Yield a notice for each pair of identities that look like one person: neither of two equal ones is ever named.

    They are if they share an image, or if each is about as near to the other as to itself, while all others are farther
    away. How near is the median distance of an image to the nearest one of the other identity, or to the nearest other
    one of its own. With osnet_x0_25, on 19 identities of PETS09, six pairs of which are one person each, and on 12 of
    PKU-Reid: four of the six pairs are found, and no other.
    """
    bounds = np.searchsorted(owner, np.arange(len(names) + 1))
    closest, middle = (np.empty((len(names), len(names)), np.float32) for _ in range(2))
    for one, (low, high) in enumerate(itertools.pairwise(bounds)):
        distance = 1 - embedding[low:high] @ embedding.T
        np.fill_diagonal(distance[:, low:high], np.inf)  # an image is not compared with itself
        nearest = np.minimum.reduceat(distance, bounds[:-1], axis=1)
        closest[one], middle[one] = nearest.min(0), np.median(nearest, axis=0)
    alike = _near(middle) & (np.diff(bounds) >= FEWEST)[:, None]
    for a, b in np.argwhere(np.triu((closest < SAME_IMAGE) | (alike & alike.T), 1)).tolist():
        yield (
            f"gallery '{root}': '{names[a]}' and '{names[b]}' look like the same person (distance "
            f"{max(float(closest[a, b]), 0.0):.3f}): if they are, move the images into one folder, or neither is named"
        )


def _near(middle: FloatArray) -> BoolArray:
    """Return ``(k, k)`` whether the second identity may be the first, by the median distances of the first's images."""
    own = np.diag(middle)[:, None]
    others = np.where(np.eye(len(middle), dtype=np.bool_), np.inf, middle)
    nearest = others == others.min(axis=1, keepdims=True)
    next_one = np.where(nearest, np.inf, others).min(axis=1, keepdims=True)
    alone = nearest & (APART * middle <= next_one) & np.isfinite(next_one)  # of two identities, it would always be
    near: BoolArray = (middle <= own) | (alone & (middle <= NEAR * own))
    return near
