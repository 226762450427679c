"""Frames, the properties of their source, and the description of a loaded model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures.arrays import Image


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Properties of a source that are known before its frames are read.

    Attributes:
        path: Address of the source, as the user wrote it.
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
    """One frame of a source; only its index and time where a run has no images.

    Attributes:
        index: 0-based number in the source.
        time: Seconds since the start of the source (its own timestamps where it has them).
        image: ``(h, w, 3)`` uint8 BGR, or None in a run without images.
    """

    index: int
    time: float
    image: Image | None = None

    def pixels(self) -> Image:
        """Return the image, or raise `MotError` where the run has none."""
        if self.image is None:
            raise MotError(f"frame {self.index} has no image: this stage requires one")
        return self.image


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """Description of a loaded model, for summaries and file headers.

    Attributes:
        name: Registry name or family, for example ``ultralytics`` or ``dino``.
        weights: Model id or file that was really loaded; empty for a weight-free one.
        device: Device that it runs on.
        precision: ``fp32``, ``bf16``, ``fp16``; empty where it means nothing.
        details: More facts for a file header (``imgsz``, ``classes``, …), plain JSON values.
        runtime: Library that executes it (``torch``, ``openvino``, …); empty where that is this program itself.
    """

    name: str
    weights: str = ""
    device: str = "cpu"
    precision: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    runtime: str = ""

    @property
    def place(self) -> str:
        """Runtime, device and precision, in words."""
        return " ".join(filter(None, (self.runtime, self.device, self.precision)))
