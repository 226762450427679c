"""The camera's own motion between two frames, from the background's optical flow (BoT-SORT 2206.14651)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image

Array = npt.NDArray[np.float64]

WIDTH = 400  # px of the reduced image: a shift of one full-HD pixel is still a fifth of a pixel here
POINTS = 200
STILL = 2.0  # grey levels: sensor and compression noise move the median pixel by less
LEAST = 12  # points that must have been followed for the estimate to count


class CameraMotion:
    """Estimates the motion of the background since the last image; holds one reduced image."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.uint8] | None = None

    def estimate(self, image: Image, moving: Array) -> Array | None:
        """Return the ``(2, 3)`` rotation, scale and shift from the last image to this one, in full-size pixels.

        Args:
            image: ``(h, w, 3)`` uint8 BGR.
            moving: ``(n, 4)`` corner boxes in the last image whose pixels are not background.

        Returns:
            None for the first image, a still camera, or where too little background can be followed.
        """
        import cv2

        grey, scale = reduced(image, WIDTH)
        last, self._last = self._last, grey
        if last is None or last.shape != grey.shape or _still(last, grey):
            return None
        affine = _follow(cv2, last, grey, moving * scale)
        if affine is None:
            return None
        affine[:, 2] /= scale
        return affine


def reduced(image: Image, width: int) -> tuple[npt.NDArray[np.uint8], float]:
    """Return an image's brightness, at most `width` pixels wide, and its scale."""
    import cv2

    scale = min(1.0, width / image.shape[1])
    green = cv2.extractChannel(image, 1)  # nearly the brightness, at a third of the cost
    if scale == 1.0:
        return np.asarray(green, np.uint8), scale
    size = width, max(1, round(image.shape[0] * scale))  # an image 16,384 wide and 16 high must not vanish
    return np.asarray(cv2.resize(green, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _still(last: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> bool:
    """Return whether most pixels kept their value: cheap, and true for a fixed camera however busy the scene."""
    change = np.abs(last[::4, ::4].astype(np.int16) - grey[::4, ::4])
    return float(np.median(change)) < STILL and float(np.percentile(change, 75)) < 2 * STILL


def _follow(cv2: Any, last: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8], moving: Array) -> Array | None:
    mask = np.full(last.shape, 255, np.uint8)
    for x1, y1, x2, y2 in np.clip(moving, 0, 1 << 14).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    points = cv2.goodFeaturesToTrack(last, POINTS, 0.01, 5, mask=mask)
    if points is None or len(points) < LEAST:
        return None
    ends, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, points, None, winSize=(15, 15), maxLevel=3)
    kept = found.ravel() == 1
    if kept.sum() < LEAST:
        return None
    affine, inliers = cv2.estimateAffinePartial2D(points[kept], ends[kept], ransacReprojThreshold=1.5)
    if affine is None or inliers.sum() < max(LEAST, 0.3 * kept.sum()):
        return None
    return np.asarray(affine, np.float64)
