"""Trackers: detections in, the same detections with ids out."""
