"""Detectors: a frame in, `Detections` out."""
