"""What each keypoint of an instance looks like: several templates, those a person vouches for never dropped."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray
from mot_dinov3.keypoints.descriptor_maps import DenseMap, unit

RECENT_DISCOUNT = 0.1  # what a template of a tracked frame counts less than a person's
RECENT_RATE = 0.2  # how fast that template follows


class Templates:
    """Descriptors of `n` keypoints.

    Args:
        rows: ``(n, d)`` unit descriptors at the exact clicks of a labelled frame.
    """

    def __init__(self, rows: FloatArray) -> None:
        self._human = rows[None]
        self._recent = rows.copy()

    def learn(self, rows: FloatArray, known: BoolArray) -> None:
        """Take the descriptors of another labelled frame, where `known`."""
        more = np.where(known[:, None], rows, 0.0).astype(np.float32)
        self._human = np.concatenate([self._human, more[None]])

    def remember(self, rows: FloatArray, good: BoolArray) -> None:
        """Let the template of the tracked frames follow the ``(n, d)`` descriptors that are `good`."""
        followed = unit((1 - RECENT_RATE) * self._recent + RECENT_RATE * rows)
        self._recent = np.where(good[:, None], followed, self._recent)

    def similar(self, rows: FloatArray) -> FloatArray:
        """Return the ``(n,)`` similarity of a descriptor per keypoint to its templates: the best one counts."""
        best = np.einsum("nd,tnd->tn", rows, self._human).max(0)
        return np.asarray(np.maximum(best, np.einsum("nd,nd->n", rows, self._recent) - RECENT_DISCOUNT))

    def similar_rows(self, rows: FloatArray, which: IntArray) -> FloatArray:
        """Return the ``(m,)`` similarity of a descriptor for each of the keypoints `which` to a person's templates."""
        return np.asarray(np.einsum("nd,tnd->tn", rows, self._human[:, which]).max(0))

    def crossed(self, rows: FloatArray, which: IntArray) -> FloatArray:
        """Return the ``(k, k)`` similarity of the templates of the keypoints `which` to ``(k, d)`` descriptors."""
        best = (self._human[:, which] @ rows.T).max(0)
        return np.asarray(np.maximum(best, self._recent[which] @ rows.T - RECENT_DISCOUNT))

    def maps(self, dense: DenseMap, which: IntArray, *, recent: bool = True) -> FloatArray:
        """Return ``(m, gh, gw)`` similarities of every cell to the templates of the keypoints `which`.

        Args:
            dense: The described picture.
            which: ``(m,)`` rows.
            recent: Let the tracked frames' template count, too.
        """
        height, width, size = dense.cells.shape
        cells = dense.cells.reshape(-1, size)
        chosen = self._human[:, which]
        best = (chosen.reshape(-1, size) @ cells.T).reshape(len(chosen), len(which), -1).max(0)
        if recent:
            best = np.maximum(best, self._recent[which] @ cells.T - RECENT_DISCOUNT)
        return np.asarray(best.reshape(len(which), height, width))
