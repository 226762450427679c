"""What a source gives: frames, and what is known of it before they are read; and what a loaded model is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures.arrays import Image


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What is known of a source before its frames are read.

    Attributes:
        path: Where it comes from, as the user wrote it.
        width: Pixels, after rotation; 0 where unknown (recorded detections without a header).
        height: Pixels, after rotation; 0 where unknown.
        fps: Frames per second, > 0.
        frame_count: Frames of the whole source; 0 where unknown.
    """

    path: str
    width: int
    height: int
    fps: float
    frame_count: int = 0


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture of a source, or the mere moment of one where a run has no pictures.

    Attributes:
        index: 0-based number in the source.
        time: Seconds since the start of the source (its own timestamps where it has them).
        image: ``(h, w, 3)`` uint8 BGR, or None in a run without pictures.
    """

    index: int
    time: float
    image: Image | None = None

    def pixels(self) -> Image:
        """Return the picture, or raise `MotError` where the run has none."""
        if self.image is None:
            raise MotError(f"frame {self.index} has no image: this stage requires one")
        return self.image


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What a loaded model is, for summaries and file headers.

    Attributes:
        name: Registry name or family, for example ``ultralytics`` or ``dino``.
        weights: Model id or file that was really loaded; empty for a weight-free one.
        device: Where it runs.
        precision: ``fp32``, ``bf16``, ``fp16``; empty where it means nothing.
        details: More facts for a file header (``imgsz``, ``classes``, …), plain JSON values.
        runtime: What executes it (``torch``, ``openvino``, …); empty where that is this program itself.
    """

    name: str
    weights: str = ""
    device: str = "cpu"
    precision: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    runtime: str = ""

    @property
    def place(self) -> str:
        """What executes it, where, and in which precision, in words."""
        return " ".join(filter(None, (self.runtime, self.device, self.precision)))
