"""Detectors: a frame in, `Detections` out. An entry is called with a `DetectorRequest`."""

DETECTORS = {
    "yolo": "mot_dinov3.detectors.fast_yolo:open_yolo",
    "motion": "mot_dinov3.detectors.motion:MotionDetector",
    "rtdetr": "mot_dinov3.detectors.rtdetr:RtdetrDetector",
    "recorded": "mot_dinov3.detectors.recorded:open_recorded",
}

DETECTOR_HINTS = {
    "yolo": "YOLO weights, the default: the classes that they were trained for",
    "motion": "moving objects of any kind before a fixed camera: no weights",
    "rtdetr": "RT-DETR, D-FINE or RF-DETR from the Hugging Face hub: more accurate, slower",
    "recorded": "precomputed detections: --dets FILE",
}
