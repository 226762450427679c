"""Sinks: they take every frame of a run in order, and their result becomes final only when they are closed."""

from __future__ import annotations

from collections.abc import Sequence

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.core.timing import StageTimer


class Sink:
    """Takes every frame of a run in order.

    Attributes:
        stage: Stage that its work counts as; None where it times itself, or where its work is not counted.
    """

    stage: str | None = "save"

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take one frame's finished rows."""

    def close(self) -> None:
        """Finish and put the result in its place."""

    def abort(self) -> None:
        """Stop without touching an earlier result."""


class CompositeSink(Sink):
    """Hands everything to several sinks, in their order.

    Args:
        sinks: The sinks.
        timer: Where their work is counted; None where it is not.
    """

    stage = None

    def __init__(self, sinks: Sequence[Sink], timer: StageTimer | None = None) -> None:
        self._sinks = sinks
        self._timer = timer

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        for sink in self._sinks:
            sink.write(frame, detections)
            if self._timer is not None and sink.stage is not None:
                self._timer.lap(sink.stage)

    @override
    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
            if self._timer is not None and sink.stage is not None:
                self._timer.lap(sink.stage)

    @override
    def abort(self) -> None:
        for sink in self._sinks:
            sink.abort()
