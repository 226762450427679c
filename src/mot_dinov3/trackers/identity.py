"""How a track remembers what it looks like: one running mean of unit embeddings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.structures import FloatArray, IntArray

Array = npt.NDArray[np.float64]


def cosine(tracks: FloatArray, boxes: FloatArray, track: IntArray, box: IntArray) -> Array:
    """Return ``(k,)`` cosines of unit embeddings, pair by pair."""
    return np.einsum("kd,kd->k", tracks[track], boxes[box]).astype(np.float64)


def likeness(cosine: Array, same_floor: float) -> Array:
    """Return cosines on the embedder's own scale: 0 = hardly ever the same object, 1 = the same picture."""
    return np.asarray((cosine - same_floor) / max(1.0 - same_floor, 1e-6))


def keep_share(ema: float, score: Array, low: float, skipped: IntArray) -> Array:
    """Return ``(n,)`` how much of the old embedding stays.

    A sure box counts more (Deep OC-SORT 2302.11813): the share falls from 1 at the score `low` to `ema` at score 1.
    After frames without an embedding the old one is out of date, so its share is raised to a power (2409.06617).

    Args:
        ema: Share kept when the score is 1 and no frame was skipped.
        score: ``(n,)`` of the boxes.
        low: Least score of an embedded box.
        skipped: ``(n,)`` frames since the last embedding, beyond the usual one.
    """
    sure = np.clip((score - low) / max(1.0 - low, 1e-6), 0.0, 1.0)
    return np.asarray((ema + (1.0 - ema) * (1.0 - sure)) ** (1 + np.minimum(skipped, 30)))


def blend(old: FloatArray, new: FloatArray, share: Array) -> FloatArray:
    """Return unit rows of ``share · old + (1 − share) · new``; a row without an old embedding takes the new one."""
    share = np.where(old.any(axis=1), share, 0.0)[:, None].astype(np.float32)
    mixed = share * old + (1 - share) * new
    length = np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.asarray(np.divide(mixed, length, out=new.copy(), where=length > 1e-6), np.float32)
