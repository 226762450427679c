"""Follow labelled body parts: ``python examples/animal_keypoints.py VIDEO LABEL_FOLDER``.

The folder holds one labelled frame or more, as LabelMe, Annolid and ``mot-dinov3 studio`` write them; results go there,
too. Without DINOv3's weights a backend that needs none follows the points, and says so.
"""

from __future__ import annotations

import sys

from mot_dinov3.keypoints import KeypointConfig, KeypointVideoProcessor


def main(video: str, labels: str) -> None:
    """Follow the points and print what was written."""
    processor = KeypointVideoProcessor(
        video_path=video, result_folder=labels, runtime_config=KeypointConfig(mask_enforce_position=True)
    )
    print("\n".join(processor.process_video()))
    print(f"results are in {labels}/: *_keypoints.csv, and a JSON file a frame")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
