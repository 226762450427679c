"""Appearance templates of an instance's keypoints: those of labelled frames are never dropped."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray
from mot_dinov3.keypoints.descriptor_maps import DenseMap, unit

RECENT_DISCOUNT = 0.1  # similarity that a template of a tracked frame counts less than a labelled one
RECENT_RATE = 0.2  # weight of the newest frame in that template


class Templates:
    """Descriptors of `n` keypoints.

    Args:
        rows: ``(n, d)`` unit descriptors at the exact clicks of a labelled frame.
    """

    def __init__(self, rows: FloatArray) -> None:
        self._labelled = rows[None]
        self._recent = rows.copy()

    def learn(self, rows: FloatArray, known: BoolArray) -> None:
        """Add the descriptors of another labelled frame, where `known`."""
        more = np.where(known[:, None], rows, 0.0).astype(np.float32)
        self._labelled = np.concatenate([self._labelled, more[None]])

    def update(self, rows: FloatArray, good: BoolArray) -> None:
        """Update the template of the tracked frames with the ``(n, d)`` descriptors that are `good`."""
        updated = unit((1 - RECENT_RATE) * self._recent + RECENT_RATE * rows)
        self._recent = np.where(good[:, None], updated, self._recent)

    def similarity(self, rows: FloatArray) -> FloatArray:
        """Return the ``(n,)`` similarity of one descriptor per keypoint to its best template."""
        best = np.einsum("nd,tnd->tn", rows, self._labelled).max(0)
        return np.asarray(np.maximum(best, np.einsum("nd,nd->n", rows, self._recent) - RECENT_DISCOUNT))

    def labelled_similarity(self, rows: FloatArray, which: IntArray) -> FloatArray:
        """Return the ``(m,)`` similarity of one descriptor for each keypoint of `which` to its labelled templates."""
        return np.asarray(np.einsum("nd,tnd->tn", rows, self._labelled[:, which]).max(0))

    def cross_similarity(self, rows: FloatArray, which: IntArray) -> FloatArray:
        """Return the ``(k, k)`` similarities of the templates of the keypoints `which` to ``(k, d)`` descriptors."""
        best = (self._labelled[:, which] @ rows.T).max(0)
        return np.asarray(np.maximum(best, self._recent[which] @ rows.T - RECENT_DISCOUNT))

    def maps(self, dense: DenseMap, which: IntArray, *, recent: bool = True) -> FloatArray:
        """Return ``(m, gh, gw)`` similarities of all cells to the templates of `which`, labelled and `recent` ones."""
        height, width, size = dense.cells.shape
        cells = dense.cells.reshape(-1, size)
        chosen = self._labelled[:, which]
        best = (chosen.reshape(-1, size) @ cells.T).reshape(len(chosen), len(which), -1).max(0)
        if recent:
            best = np.maximum(best, self._recent[which] @ cells.T - RECENT_DISCOUNT)
        return np.asarray(best.reshape(len(which), height, width))
