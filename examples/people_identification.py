"""Identify known people: ``python examples/people_identification.py VIDEO GALLERY_FOLDER [FRAMES]``.

The gallery folder contains one folder of images per person. ``embedder="osnet", embed_model="osnet_x0_25_msmt17.pt"``
distinguishes people far better than the colour histogram used here, which needs no weights.
"""

from __future__ import annotations

import collections
import sys

from mot_dinov3 import Pipeline


def main(video: str, gallery: str, frames: int | None) -> None:
    """Track the video and print the most frequent identity of each track."""
    names: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for _, detections in Pipeline.from_options(
        source=video, det="motion", embedder="histogram", gallery=gallery, gallery_match_threshold=0.4, end_frame=frames
    ):
        for track_id, name in zip(detections.track_id.tolist(), detections.gallery_id):
            if track_id >= 1:
                names[track_id][name or "unknown"] += 1
    for track_id, counted in sorted(names.items()):
        print(f"track {track_id}: {counted.most_common(1)[0][0]}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
