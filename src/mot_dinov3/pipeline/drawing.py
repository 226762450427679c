"""Draws a frame of a run, with all that lies over and under the boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mot_dinov3.core.structures import Detections, Frame, Image, Reason, TrackView
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.counting import RegionCounter
from mot_dinov3.pipeline.regions import Region
from mot_dinov3.viz import HudStats, RegionOverlay, Trails, anonymize, draw_hud, draw_regions, draw_rows

FADING = 0.1  # weight of the newest frame in the mean by which the picture tells the fps


class HudMeter:
    """Measures what the HUD tells.

    Args:
        config: All options.
        timer: The run's.
    """

    def __init__(self, config: TrackConfig, timer: StageTimer) -> None:
        self._scheduler = config.scheduler
        self._afterwards = config.linked.link  # drawn when all is over: neither its pace nor its time is the frame's
        self._timer = timer
        self._last: float | None = None
        self._pace = 0.0
        self._embed = timer.stage_ms.get("embed", 0.0)

    def read(self, detections: Detections, lost: TrackView) -> HudStats:
        """Return the state in this frame; call it once a frame."""
        embed, cost = self._timer.stage_ms.get("embed", 0.0), self._scheduler.embed_cost_ms
        spent: float | None = None if self._afterwards else embed - self._embed
        if cost is not None:
            spent = cost * int(detections.fresh.sum())
        self._embed = embed
        tracked = detections[detections.track_id >= 1]
        return HudStats(
            fps=None if self._afterwards else self._fps(),
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
        self._pace = took if self._pace == 0 else self._pace + FADING * (took - self._pace)
        return 1 / self._pace if self._pace > 0 else None


class FrameDrawer:
    """Draws the frames of a run in order.

    Args:
        config: All options.
        regions: Lines and zones to show.
        lost: Tells which tracks are lost in the frame being drawn.
        fps: Frames per second of the source.
        names: Class id → name, of the classes that labels tell apart.
        timer: The run's.
    """

    def __init__(
        self,
        config: TrackConfig,
        regions: Sequence[Region],
        *,
        lost: Callable[[], TrackView],
        fps: float,
        names: Mapping[int, str],
        timer: StageTimer,
    ) -> None:
        self._draw, self._regions, self._lost, self._names = config.draw, regions, lost, names
        self._trails = Trails(round(config.draw.trails * fps))
        self._counter = RegionCounter(regions, fps)
        self._hud = HudMeter(config, timer)

    def __call__(self, frame: Frame, detections: Detections) -> Image:
        """Return the frame's picture with all that is asked for drawn into a copy of it."""
        canvas = np.ascontiguousarray(frame.pixels()).copy()
        lost = self._lost()
        anonymize(canvas, detections, lost, self._draw.anonymize)
        if self._regions:
            self._counter.add(detections)
            counts = self._counter.counts()
            draw_regions(
                canvas, [RegionOverlay(count.region.points, f"{count.region.name}  {count.text()}") for count in counts]
            )
        self._trails.draw(canvas, detections)
        draw_rows(canvas, detections, lost=lost, names=self._names, config=self._draw)
        if self._draw.hud:
            draw_hud(canvas, self._hud.read(detections, lost))
        return canvas

    def skip(self, frame: Frame, detections: Detections) -> None:
        """Take in a frame that is not drawn, because an earlier run has drawn it."""
        self._trails.skip(detections)
        if self._regions:
            self._counter.add(detections)
