"""Track labelled body parts: ``python examples/animal_keypoints.py VIDEO LABEL_FOLDER``.

The folder contains at least one labelled frame, written by LabelMe, Annolid or ``mot-dinov3 studio``; the results are
written there, too. If DINOv3 is not available, another backend is used, with a notice.
"""

from __future__ import annotations

import sys

from mot_dinov3 import KeypointVideoProcessor
from mot_dinov3.keypoints.config import KeypointConfig


def main(video: str, labels: str) -> None:
    """Track the points and print the paths of the results."""
    processor = KeypointVideoProcessor(
        video_path=video, result_folder=labels, runtime_config=KeypointConfig(mask_enforce_position=True)
    )
    print("\n".join(processor.process_video()))
    print(f"results are in {labels}/: *_keypoints.csv, and one JSON file per frame")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
