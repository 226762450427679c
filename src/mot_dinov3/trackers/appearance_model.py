"""Appearance of tracks: one running mean of unit embeddings each, and similarity on the embedder's scale."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import Float64Array, FloatArray, IntArray

MEMORY = 3000.0  # pairs after which older ones fade
MIN_PAIRS = 15
ENOUGH_PAIRS = 200  # from where on not every frame is observed
MIN_SPREAD = 1e-3  # of cosines: below it all vectors are the same
MIN_SEPARABILITY = 0.5  # d' up to which appearance does not count; from twice that on it counts fully
CHUNK = 40  # embeddings gathered at once: they stay in the processor's cache


def cosine(tracks: FloatArray, boxes: FloatArray, track: IntArray, box: IntArray) -> Float64Array:
    """Return ``(k,)`` cosines of unit embeddings, pair by pair."""
    found = np.empty(len(track), np.float32)
    for start in range(0, len(track), CHUNK):
        part = slice(start, start + CHUNK)
        np.einsum("kd,kd->k", tracks.take(track[part], axis=0), boxes.take(box[part], axis=0), out=found[part])
    return found.astype(np.float64)


def sensitivity(means: tuple[float, float], deviations: tuple[float, float]) -> float:
    """Return the sensitivity index d' of (different, same) cosines: the distance of their means in deviations."""
    spread = np.hypot(*deviations) / np.sqrt(2)
    return float((means[1] - means[0]) / max(spread, MIN_SPREAD))


class CosineStatistics:
    """Mean and variance of a stream of cosines, in which old ones fade."""

    def __init__(self) -> None:
        self.count = self.mean = self.variance = 0.0

    def observe(self, cosine: Float64Array) -> None:
        """Take in ``(k,)`` cosines."""
        if not len(cosine):
            return
        self.count = min(self.count, MEMORY) + len(cosine)
        share, step = len(cosine) / self.count, float(cosine.mean()) - self.mean
        self.variance += share * (float(cosine.var()) + (1 - share) * step * step - self.variance)
        self.mean += share * step


class EmbedderTrust:
    """Learns from a video whether its embedder separates objects at all: noise, or a wrong checkpoint, does not.

    Boxes of one frame that hardly overlap are certainly of different objects; a track and the box that was its only
    candidate, and that of no other track, are almost certainly the same.
    """

    def __init__(self) -> None:
        self.different = CosineStatistics()
        self.same = CosineStatistics()

    def observes(self, frame_index: int) -> bool:
        """Whether pairs of this frame are to be observed: of every one at first, of every tenth later."""
        return min(self.different.count, self.same.count) < ENOUGH_PAIRS or frame_index % 10 == 0

    @property
    def separability(self) -> float | None:
        """Sensitivity index d' of same against different; None while too few pairs have been seen."""
        if min(self.different.count, self.same.count) < MIN_PAIRS:
            return None
        different, same = np.sqrt([self.different.variance, self.same.variance]).tolist()
        return sensitivity((self.different.mean, self.same.mean), (different, max(same, different / 2)))

    @property
    def weight(self) -> float:
        """Weight of appearance, 0…1: full where the embedder separates objects, and while too few pairs are known."""
        known = self.separability
        return 1.0 if known is None else min(max((known - MIN_SEPARABILITY) / MIN_SEPARABILITY, 0.0), 1.0)


def similarity(cosine: Float64Array, same_floor: float) -> Float64Array:
    """Return cosines on the embedder's own scale: 0 = hardly ever the same object, 1 = the same image."""
    return np.asarray((cosine - same_floor) / max(1.0 - same_floor, 1e-6))


def keep_share(ema: float, score: Float64Array, low: float, skipped: IntArray) -> Float64Array:
    """Return the ``(n,)`` EMA momentum: the share of the old embedding that stays.

    A sure box counts more (Deep OC-SORT 2302.11813): the share falls from 1 at the score `low` to `ema` at score 1.
    After frames without an embedding the old one is out of date, so its share is raised to a power (2409.06617).

    Args:
        ema: Share kept when the score is 1 and no frame was skipped.
        score: ``(n,)`` of the boxes.
        low: Least score of an embedded box.
        skipped: ``(n,)`` frames since the last embedding, beyond the usual one.
    """
    sure = np.minimum(np.maximum((score - low) / max(1.0 - low, 1e-6), 0.0), 1.0)
    return np.asarray((ema + (1.0 - ema) * (1.0 - sure)) ** (1 + np.minimum(skipped, 30)))


def absorb(tracks: FloatArray, boxes: FloatArray, track: IntArray, box: IntArray, share: Float64Array) -> None:
    """Blend unit embeddings of boxes into those of their tracks: ``share · old + (1 − share) · new``, of length 1.

    Where the two cancel each other out, the new one replaces the old one.

    Args:
        tracks: ``(m, d)``, changed in place.
        boxes: ``(n, d)``.
        track: ``(k,)`` rows of tracks.
        box: ``(k,)`` rows of boxes, one for each.
        share: ``(k,)`` how much of the old embedding stays.
    """
    for start in range(0, len(track), CHUNK):
        part = slice(start, start + CHUNK)
        new, kept = boxes.take(box[part], axis=0), share[part, None].astype(np.float32)
        mixed = tracks.take(track[part], axis=0)
        mixed *= kept
        mixed += (1 - kept) * new
        length = np.sqrt(np.add.reduce(mixed * mixed, axis=1, keepdims=True))
        void = (length <= 1e-6).nonzero()[0]
        if len(void):
            mixed[void], length[void] = new[void], 1.0
        mixed /= length
        tracks[track[part]] = mixed
