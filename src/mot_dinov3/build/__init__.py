"""Config → live objects: the one place that knows all the parts.

Everything that can be refused is refused before a model loads: outputs first, then the source, then recorded
detections; weights come last.
"""

from mot_dinov3.pipeline.inputs import DetectionRun, build_detection
from mot_dinov3.core.clock import now_utc
from mot_dinov3.pipeline.wiring import TrackingRun, build_tracking

__all__ = ["DetectionRun", "TrackingRun", "build_detection", "build_tracking", "now_utc"]
