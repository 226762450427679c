"""Count people crossing a line: ``python examples/people_counting.py VIDEO X1,Y1,X2,Y2 [FRAMES]``.

Uses background subtraction, which needs no weights but a fixed camera; use ``det="yolov8n.pt", classes="0"`` otherwise.
"""

from __future__ import annotations

import sys

from mot_dinov3 import Pipeline


def main(video: str, line: str, frames: int | None) -> None:
    """Track the video and print the counts of the line."""
    pipeline = Pipeline.from_options(source=video, det="motion", embedder="histogram", line=[line], end_frame=frames)
    seen: set[int] = set()
    for _, detections in pipeline:
        seen.update(detections.track_id[detections.track_id >= 1].tolist())
    print(f"{len(seen)} identities")
    print("\n".join(pipeline.summary().counted))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
