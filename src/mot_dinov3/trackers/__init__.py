"""Trackers: detections in, the same detections with ids out. An entry is built from a `TrackerRequest`."""

TRACKERS = {
    "appearance": "mot_dinov3.trackers.appearance:AppearanceTracker",
    "gallery_hybrid": "mot_dinov3.trackers.byte:HybridTracker",
    "gallery_only": "mot_dinov3.trackers.per_frame:PerFrameTracker",
}

TRACKER_HINTS = {
    "appearance": "the default: motion and appearance; re-identifies after occlusions",
    "gallery_hybrid": "ByteTrack with a gallery: for precomputed detections of few, well-known individuals",
    "gallery_only": "no tracking: each frame is compared with the gallery by itself",
}
