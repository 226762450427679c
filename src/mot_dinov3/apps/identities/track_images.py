"""Images of tracks: their best crops, cut out of their videos."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.apps.identities.identified_tracks import crops_by_track
from mot_dinov3.core.boxes import cut_out
from mot_dinov3.core.structures import Image, IntArray
from mot_dinov3.formats.track_embeddings import EmbeddingTable

if TYPE_CHECKING:
    from mot_dinov3.video.source import RandomAccessFrames


@contextlib.contextmanager
def opened(source: object) -> Iterator[RandomAccessFrames]:
    """Open the video from which tracks are, as the facts about their embeddings name it.

    Raises:
        VideoError: It cannot be opened.
    """
    from mot_dinov3.video.random_access import open_random_access

    with contextlib.closing(open_random_access(Path(str(source)))) as video:
        yield video


def track_images(
    video: RandomAccessFrames, table: EmbeddingTable, track_ids: Sequence[int], count: int
) -> Iterator[tuple[int, list[tuple[int, Image]]]]:
    """Yield each of the tracks with the frames and images of its best crops, `count` at most, in the order of time.

    Raises:
        VideoError: The video cannot be read.
    """
    rows = crops_by_track(table)
    for track_id in track_ids:
        found = []
        for row in best_crops(table, rows.get(track_id, np.zeros(0, np.int64)), count):
            frame = int(table.crops["frame"][row])
            image = cut_out(video.image(frame), table.crops["xyxy"][row])
            if image.size:
                found.append((frame, image))
        yield track_id, found


def best_crops(table: EmbeddingTable, rows: IntArray, count: int) -> list[int]:
    """Return the crops of the best quality among some, given by their rows, in the order of time."""
    best = rows[np.argsort(-table.crops["quality"][rows], kind="stable")][:count]
    return sorted(best.tolist())
