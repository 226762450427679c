"""Frames, the properties of their source, and the description of a loaded model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures.arrays import Image

GREY_WIDTH = 640  # px: a person of full HD is still wider than the window of the optical flow


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
class GreyImage:
    """Brightness of an image, reduced.

    Attributes:
        levels: ``(h, w)`` uint8.
        scale: Its width divided by that of the image.
    """

    levels: Image
    scale: float = 1.0

    @classmethod
    def of(cls, image: Image, width: int) -> GreyImage:
        """Return the brightness of an ``(h, w, 3)`` BGR image, at most `width` pixels wide."""
        import cv2

        green = cv2.extractChannel(image, 1)  # nearly the brightness, at a third of the cost
        return cls(np.asarray(green, np.uint8)).reduced(width)

    def reduced(self, width: int) -> GreyImage:
        """Return the same, at most `width` pixels wide.

        Halving averages at a tenth of the cost of any other factor; less than a half is interpolated.
        """
        import cv2

        levels, (height, present) = self.levels, self.levels.shape
        if present <= width:
            return self
        while levels.shape[1] >= 2 * width:
            half = levels.shape[1] // 2, max(1, levels.shape[0] // 2)
            levels = np.asarray(cv2.resize(levels, half, interpolation=cv2.INTER_AREA), np.uint8)
        size = width, max(1, round(height * width / present))  # an image 16,384 wide and 16 high must not vanish
        if levels.shape != size[::-1]:
            levels = np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return GreyImage(levels, self.scale * width / present)


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

    @functools.cached_property
    def grey(self) -> GreyImage | None:
        """The image's brightness, at most `GREY_WIDTH` wide, made once for all that compare frames; None without it."""
        return None if self.image is None else GreyImage.of(self.image, GREY_WIDTH)

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
