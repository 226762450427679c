"""Drawing of a run's frames: boxes and labels, trails, lines and zones, the HUD."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from mot_dinov3.core.structures import Detections, Frame, Image, IntArray, Reason, TrackView
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.counting import RegionCounter
from mot_dinov3.scheduler import SchedulerConfig
from mot_dinov3.viz import (
    DrawConfig,
    HudStats,
    RegionOverlay,
    Trails,
    anonymize,
    draw_hud,
    draw_note,
    draw_regions,
    draw_rows,
    label_of,
)

FADING = 0.1  # weight of the newest frame in the mean of seconds per frame


class HudMeter:
    """Measures the numbers of the HUD.

    In a second pass, frames are drawn after the last one was tracked: neither rate nor time are the frame's then.
    """

    def __init__(self, scheduler: SchedulerConfig, timer: StageTimer, *, second_pass: bool) -> None:
        self._scheduler = scheduler
        self._second_pass = second_pass
        self._timer = timer
        self._last: float | None = None
        self._mean = 0.0
        self._embed = timer.stage_ms.get("embed", 0.0)

    def read(self, detections: Detections, lost: TrackView) -> HudStats:
        """Return the state in this frame; call it once a frame."""
        embed, cost = self._timer.stage_ms.get("embed", 0.0), self._scheduler.embed_cost_ms
        spent: float | None = None if self._second_pass else embed - self._embed
        if cost is not None:
            spent = cost * int(detections.fresh.sum())
        self._embed = embed
        tracked = detections[detections.track_id >= 1]
        return HudStats(
            fps=None if self._second_pass else self._fps(),
            embed_ms=spent,
            budget_ms=self._scheduler.embed_budget_ms,
            backlog=int((detections.reason == Reason.DEFERRED).sum()),
            active=len(tracked),
            lost=int((~np.isin(lost.track_id, tracked.track_id)).sum()),
        )

    def _fps(self) -> float | None:
        now, last = self._timer.clock(), self._last
        self._last = now
        if last is None:
            return None
        took = now - last
        self._mean = took if self._mean == 0 else self._mean + FADING * (took - self._mean)
        return 1 / self._mean if self._mean > 0 else None


@dataclasses.dataclass(frozen=True)
class FrameDrawer:
    """Draws the frames of a run in order.

    Attributes:
        config: Style of boxes and labels, and the people to hide.
        names: Class id → name, of the classes that labels distinguish.
        lost: Returns the tracks that are lost in the frame being drawn.
        trails: Paths of the tracks so far.
        counter: Counts at the lines and zones that are shown; None where there are none.
        hud: Measures the numbers shown in the corner; None where they are not shown.
        chosen: ``(k,)`` ids of the tracks that are drawn; None: all.
        detected_because: Returns why the detector ran, or did not, on the frame of an index; None: it is not shown.
    """

    config: DrawConfig
    names: Mapping[int, str]
    lost: Callable[[], TrackView]
    trails: Trails
    counter: RegionCounter | None = None
    hud: HudMeter | None = None
    chosen: IntArray | None = None
    detected_because: Callable[[int], str] | None = None

    def __call__(self, frame: Frame, detections: Detections) -> Image:
        """Return a copy of the frame's image with everything that is asked for drawn into it."""
        canvas = np.ascontiguousarray(frame.pixels()).copy()
        lost = self.lost()
        anonymize(canvas, detections, lost, self.config.anonymize)  # all objects, also those that are not drawn
        hud = None if self.hud is None else self.hud.read(detections, lost)
        if self.chosen is not None:
            lost = lost[np.isin(lost.track_id, self.chosen)]
            detections = detections[np.isin(detections.track_id, self.chosen)]
        self.trails.draw(canvas, detections)
        dwell: dict[int, float] = {}
        if self.counter is not None:
            self.counter.write(frame, detections)
            counts = self.counter.counts()
            dwell = {k: count.dwell[k].seconds for count in counts for k in count.present}
            draw_regions(
                canvas, [RegionOverlay(count.region.points, f"{count.region.name}  {count.text()}") for count in counts]
            )
        label = functools.partial(self._label, detections, dwell)
        draw_rows(canvas, detections, lost=lost, config=self.config, label=label)
        if hud is not None:
            draw_hud(canvas, hud)
        if self.detected_because is not None:
            draw_note(canvas, self.detected_because(frame.index))
        return canvas

    def _label(self, detections: Detections, dwell: Mapping[int, float], row: int) -> str:
        """Return the label of a tracked row; that of a track in a zone ends with its time there."""
        config, seconds = self.config, dwell.get(int(detections.track_id[row]))
        text = label_of(detections, row, self.names, parts=config.label_parts, reasons=config.reasons)
        return text if seconds is None or not text else f"{text} {seconds:.0f} s"

    def skip(self, frame: Frame, detections: Detections) -> None:
        """Take in a frame that is not drawn, because an earlier run has drawn it."""
        if self.chosen is not None:
            detections = detections[np.isin(detections.track_id, self.chosen)]
        self.trails.skip(detections)
        if self.counter is not None:
            self.counter.write(frame, detections)


class DrawnOnce:
    """Draws each frame once for several sinks, in whatever order they ask for it."""

    def __init__(self, drawer: FrameDrawer) -> None:
        self._drawer = drawer
        self._index = -1
        self._image: Image | None = None

    def __call__(self, frame: Frame, detections: Detections) -> Image:
        """Return the drawn frame, as `FrameDrawer` does."""
        if self._image is None or frame.index != self._index:
            self._index, self._image = frame.index, self._drawer(frame, detections)
        return self._image

    def skip(self, frame: Frame, detections: Detections) -> None:
        """Take in a frame that is not drawn, unless it is drawn already."""
        if frame.index != self._index:
            self._index, self._image = frame.index, None
            self._drawer.skip(frame, detections)
