"""Embedding of a frame's rows, with a check of what the embedder returns: a custom one may return anything."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray
from mot_dinov3.features.base import Embedder, described, prepare

TRIED = 3  # frames without a single usable embedding at the beginning of a video: then the embedder is refused


def embeds_rows(embedder: Embedder, frame: Frame, detections: Detections) -> Callable[[IntArray], FloatArray]:
    """Return what embeds the given rows of a frame, and returns when the device has finished.

    What it returns raises `ModelError`, which names the frame, where the embedder does not give one row for each box.
    """
    prepared = functools.cache(lambda: prepare(embedder, frame.pixels()))

    def embed(rows: IntArray) -> FloatArray:
        try:
            embedded = prepared()(detections.xyxy[rows])
        except ModelError as error:
            raise type(error)(f"frame {frame.index}: {error.message}", remedy=error.remedy) from error
        embedder.synchronize()
        return embedded

    return embed


class EmbeddingCheck:
    """Keeps rows that are no embeddings (zero, or not finite) out of matching, and counts them.

    Attributes:
        unusable: Rows without a usable embedding so far.
    """

    def __init__(self) -> None:
        self.unusable = 0
        self._first = ""
        self._tried = 0  # frames in which a row has been embedded, while none was usable

    def usable(self, rows: Detections, frame_index: int, embedder: Embedder) -> Detections:
        """Return the embedded rows of a frame, `fresh` only where the embedding can be compared.

        Raises:
            ModelError: No embedding of the first `TRIED` frames is usable.
        """
        void = rows.fresh & ~rows.has_embedding
        count = int(np.count_nonzero(void))
        computed = int(np.count_nonzero(rows.fresh)) if self._tried < TRIED else 0
        if computed > count:
            self._tried = TRIED
        if not count:
            return rows
        if not self.unusable:
            self._first = f"frame {frame_index}: {described(embedder)}"
        self.unusable += count
        if self._tried < TRIED:
            self._tried += 1
            if self._tried == TRIED:
                raise ModelError(
                    f"{self._first} returned only rows that are zero or not finite, for {self.unusable} boxes "
                    f"up to frame {frame_index}",
                    remedy="check its weights and --precision, or choose another one (--embedder none: motion only)",
                )
        return rows.replace(fresh=rows.fresh & ~void)

    @property
    def notices(self) -> tuple[str, ...]:
        """One line for the user where rows could not be used, else none."""
        if not self.unusable:
            return ()
        total = f"{self.unusable} in total: such boxes are matched without appearance"
        return (f"{self._first} returned a row that is zero or not finite; {total}",)
