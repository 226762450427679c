"""Dense descriptors without weights: oriented gradients on two rings around each position, and its colour."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import FloatArray, Image, ModelInfo
from mot_dinov3.keypoints.backends.base import DenseBackend, DenseRequest
from mot_dinov3.keypoints.descriptor_maps import DenseMap, unit

STRIDE = 4  # pixels from one descriptor to the next, and more where an image would get more than …
MOST_CELLS = 72  # … so many of them squared: bounds the cost
FINEST = 3  # pixels of a cell are used, a ninth of the work: more distinguish body parts no better
ANGLES = 8
RINGS = ((2.0, 1.0), (5.0, 2.0))  # radius and blur of each ring of samples, in strides
COLOUR_BLURS = (1.0, 2.5)  # in strides
COLOUR_WEIGHT = 0.7
CLIP = 0.2  # one strong edge is not to outweigh all others (Dalal and Triggs, CVPR 2005)


class GradientBackend(DenseBackend):
    """Describes each position by gradient histograms on rings around it, as DAISY does, and by its colour.

    Tola, Lepetit and Fua, DAISY: an efficient dense descriptor applied to wide-baseline stereo, PAMI 2010.

    Args:
        request: Nothing of it is used.
    """

    patch = float(STRIDE)
    unit_patch = 4.0
    unrelated = 0.2
    same = 0.7
    key_every = 3

    def __init__(self, request: DenseRequest) -> None:
        self.info = ModelInfo("gradient")

    @override
    def describe(self, image: Image) -> DenseMap:
        height, width = image.shape[:2]
        patch = max(self.patch, float(np.sqrt(height * width)) / MOST_CELLS)
        size = (max(1, round(width / patch)), max(1, round(height / patch)))
        histograms, colours = _orientation_cells(image, size), _colour_cells(image, size)
        shape = ANGLES * (1 + 8 * len(RINGS))
        cells = np.empty((size[1], size[0], shape + colours.shape[2]), np.float32)
        cells[..., :ANGLES] = _blur(histograms, 1.0)
        at = ANGLES
        for radius, blur in RINGS:
            border = round(radius)
            wide = np.pad(_blur(histograms, blur), ((border, border), (border, border), (0, 0)), mode="edge")
            for angle in np.arange(8) * np.pi / 4:
                x, y = border + round(radius * np.cos(angle)), border + round(radius * np.sin(angle))
                cells[..., at : at + ANGLES] = wide[y : y + size[1], x : x + size[0]]
                at += ANGLES
        clipped = unit(cells[..., :shape])
        np.minimum(clipped, CLIP, out=clipped)
        clipped -= clipped.mean(2, keepdims=True)
        cells[..., :shape] = unit(clipped)
        np.multiply(colours, COLOUR_WEIGHT, out=cells[..., shape:])
        return DenseMap(unit(cells), width / size[0])


def _orientation_cells(image: Image, size: tuple[int, int]) -> FloatArray:
    """Return ``(gh, gw, ANGLES)`` gradient strength in each direction; `size` is ``(gw, gh)``."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    finest = (size[0] * FINEST, size[1] * FINEST)
    if finest[0] < grey.shape[1]:
        grey = cv2.resize(grey, finest, interpolation=cv2.INTER_AREA)
    dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3)
    planes = []
    for step in range(ANGLES // 2):
        angle = step * 2 * np.pi / ANGLES
        along = np.asarray(cv2.addWeighted(dx, np.cos(angle), dy, np.sin(angle), 0), np.float32)
        for half in (along, -along):
            above = cv2.threshold(half, 0, 0, cv2.THRESH_TOZERO)[1]
            planes.append(cv2.resize(above, size, interpolation=cv2.INTER_AREA))
    return np.sqrt(np.stack(planes, 2), dtype=np.float32)


def _colour_cells(image: Image, size: tuple[int, int]) -> FloatArray:
    """Return unit rows of the difference of each position's colour, at two blurs, from the image's mean."""
    import cv2

    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32)
    lab = (lab - lab.reshape(-1, 3).mean(0)) * np.array([0.5, 1.0, 1.0], np.float32)
    both = np.concatenate([_blur(lab, blur) for blur in COLOUR_BLURS], 2)
    length = np.linalg.norm(both, axis=2, keepdims=True)
    return np.asarray(both / (length + 10.0), np.float32)  # colours near the mean are not distinctive: they stay short


def _blur(planes: FloatArray, sigma: float) -> FloatArray:
    import cv2

    return np.asarray(cv2.GaussianBlur(planes, (0, 0), sigma), np.float32)
