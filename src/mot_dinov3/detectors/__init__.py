"""Detectors: a frame in, `Detections` out."""

DETECTORS = {
    "yolo": "mot_dinov3.detectors.yolo:YoloDetector",
    "motion": "mot_dinov3.detectors.motion:MotionDetector",
    "recorded": "mot_dinov3.detectors.recorded:RecordedDetector",
}
