"""Trackers: detections in, the same detections with ids out."""

TRACKERS = {"appearance": "mot_dinov3.trackers.appearance:AppearanceTracker"}
