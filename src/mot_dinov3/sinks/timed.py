"""What files cost beside the video."""

from __future__ import annotations

from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.sinks.files import Sink


class Timed:
    """Counts a sink's work as the stage ``save``.

    Args:
        sink: What does the work.
        timer: Where it is counted.
    """

    def __init__(self, sink: Sink, timer: StageTimer) -> None:
        self._sink = sink
        self._timer = timer

    def write(self, frame: Frame, detections: Detections) -> None:
        """Hand a frame on."""
        with self._timer.stage("save"):
            self._sink.write(frame, detections)

    def close(self) -> None:
        """Close the sink."""
        with self._timer.stage("save"):
            self._sink.close()

    def abort(self) -> None:
        """Abort the sink."""
        self._sink.abort()
