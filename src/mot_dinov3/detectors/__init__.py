"""Detectors: a frame in, `Detections` out."""

DETECTORS = {
    "yolo": "mot_dinov3.detectors.yolo:YoloDetector",
    "motion": "mot_dinov3.detectors.motion:MotionDetector",
    "rtdetr": "mot_dinov3.detectors.rtdetr:RtdetrDetector",
    "recorded": "mot_dinov3.detectors.recorded:RecordedDetector",
}
