"""Detectors: a frame in, `Detections` out. An entry is called with a `DetectorRequest`."""

DETECTORS = {
    "yolo": "mot_dinov3.detectors.fast_yolo:open_yolo",
    "motion": "mot_dinov3.detectors.motion:MotionDetector",
    "rtdetr": "mot_dinov3.detectors.rtdetr:RtdetrDetector",
    "recorded": "mot_dinov3.detectors.recorded:open_recorded",
}
