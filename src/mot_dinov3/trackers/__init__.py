"""Trackers: detections in, the same detections with ids out. An entry is built from a `TrackerRequest`."""

TRACKERS = {
    "appearance": "mot_dinov3.trackers.appearance:AppearanceTracker",
    "gallery_hybrid": "mot_dinov3.trackers.byte:HybridTracker",
    "gallery_only": "mot_dinov3.trackers.per_frame:PerFrameTracker",
}
