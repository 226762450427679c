"""Data structures that pass through all stages: frames, detections, keypoints.

Boxes are ``xyxy`` float32 pixels, half-open; images are ``(h, w, 3)`` uint8 in BGR order, as OpenCV and Ultralytics
have them; `Frame.index` is 0-based.
"""

from mot_dinov3.core.structures.arrays import BoolArray, Float64Array, FloatArray, Image, IntArray
from mot_dinov3.core.structures.detections import Detections, Reason, Revision, TrackState, TrackView
from mot_dinov3.core.structures.frames import Frame, GreyImage, ModelInfo, VideoInfo
from mot_dinov3.core.structures.points import Keypoints, PointSource, PointState

__all__ = [
    "BoolArray",
    "Detections",
    "Float64Array",
    "FloatArray",
    "Frame",
    "GreyImage",
    "Image",
    "IntArray",
    "Keypoints",
    "ModelInfo",
    "PointSource",
    "PointState",
    "Reason",
    "Revision",
    "TrackState",
    "TrackView",
    "VideoInfo",
]
