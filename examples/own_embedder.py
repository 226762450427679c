"""A custom embedder: ``python examples/own_embedder.py VIDEO [FRAMES]``.

On the command line, use ``--embedder own_embedder:MeanColour`` in the folder of this file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3 import Pipeline
from mot_dinov3.core.structures import ModelInfo
from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.testing import check_embedder


class MeanColour(CropEmbedder):
    """Embeds the mean colours of a crop's four quarters; `CropEmbedder` cuts the crops and normalises the rows."""

    def __init__(self, request: EmbedderRequest) -> None:
        super().__init__(Quarters(), request, info=ModelInfo("mean-colour"), square=False)


class Quarters:
    """Feature extractor of `MeanColour`."""

    def extract(self, crops: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return ``(n, 12)`` float32 for BGR crops of any size."""
        rows = []
        for crop in crops:
            middle_y, middle_x = (crop.shape[0] + 1) // 2, (crop.shape[1] + 1) // 2
            halves = crop[:middle_y], crop[-middle_y:]
            quarters = [part for half in halves for part in (half[:, :middle_x], half[:, -middle_x:])]
            rows.append(np.concatenate([quarter.mean(axis=(0, 1)) for quarter in quarters]) + 1)
        return np.array(rows, np.float32)

    def synchronize(self) -> None:
        """Do nothing: numpy computes synchronously."""


def main(video: str, frames: int | None) -> None:
    """Check the embedder, then track with it."""
    check_embedder(MeanColour)
    pipeline = Pipeline.from_options(
        source=video, det="motion", embedder=f"{MeanColour.__module__}:MeanColour", end_frame=frames
    )
    for frame, detections in pipeline:
        print(frame.index, detections.track_id[detections.track_id >= 1].tolist())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
