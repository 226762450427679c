"""The report of a run: the sinks that collect its charts, and the facts and tiles of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mot_dinov3.core.json_text import printable
from mot_dinov3.core.structures import Detections, Frame, Image, TrackView
from mot_dinov3.core.timing import StageTimer, now_utc
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.counting import RegionCount, count_rows, count_sentences, inward_direction
from mot_dinov3.pipeline.detection_scheduler import most_frequent
from mot_dinov3.pipeline.loop import Counts, Stages
from mot_dinov3.pipeline.summary import STAGES, THREADS, RunSummary, appearance_tile
from mot_dinov3.report.environment import settings, versions, video_address
from mot_dinov3.report.page import CountedRegion, RunFacts, build_page
from mot_dinov3.report.trace import ImageSink, RunTrace, TimeSink, TrackSink
from mot_dinov3.sinks.base import Sink
from mot_dinov3.sinks.files import SummarySink
from mot_dinov3.viz import anonymize


class ReportFactory:
    """Makes the sinks of a report; its notices and counts are asked for when the run is over.

    Attributes:
        times: Sink of times; it comes after all others of the frame loop whose work counts.
        tracks: Sink of settled rows.
    """

    def __init__(
        self,
        config: TrackConfig,
        stages: Stages,
        timer: StageTimer,
        *,
        notices: Callable[[], Sequence[str]],
        counts: Callable[[], Sequence[RegionCount]],
    ) -> None:
        self._config, self._stages, self._timer = config, stages, timer
        self._notices, self._counts = notices, counts
        names = [name for name in STAGES if name != "other"]
        interpolated = config.interval.skips and not config.linked.link
        self._trace = RunTrace(names, stages.source.info, parallel=THREADS, interpolated=interpolated)
        self.times = TimeSink(self._trace, timer)
        self.tracks = TrackSink(self._trace)

    def page(self) -> list[Sink]:
        """Return the sinks of images and of the page; they come after all others."""
        page = SummarySink(Path(str(self._config.output.report)), lambda: [printable(self._page())])
        return [ImageSink(self._trace, self._hidden()), page]

    def _hidden(self) -> Callable[[Frame, Detections], Image] | None:
        """Return the function that hides people in the report's images, None where they are shown."""
        how = self._config.draw.anonymize
        if how == "none":
            return None

        def hidden(frame: Frame, detections: Detections) -> Image:
            canvas = frame.pixels().copy()
            anonymize(
                canvas, detections, TrackView.empty() if self._config.linked.link else self._stages.tracker.lost(), how
            )
            return canvas

        return hidden

    def _page(self) -> str:
        return build_page(self._trace, self._facts())

    def _facts(self) -> RunFacts:
        from mot_dinov3.video.media import hide_password

        config, stages, counts = self._config, self._stages, self._counts()
        names, output = stages.detector.names, config.output
        source = hide_password(stages.source.info.path)
        infos = {"detector": stages.detector.info, "embedder": stages.embedder.info}
        models = {
            role: (" ".join(filter(None, (info.name, info.weights, info.place))), False) for role, info in infos.items()
        }
        return RunFacts(
            source=source if "://" in source else Path(source).name,
            written=now_utc(),
            tiles=self._tiles(),
            notices=self._notices(),
            settings={"models": models, **settings(config)},
            versions=versions(),
            names=names,
            video=video_address(output.output if output.video else None, Path(str(output.report))),
            regions=[_region(count, names) for count in counts],
            table=count_rows(counts, names),
            budget_ms=config.scheduler.embed_budget_ms if stages.embedder.dim else 0.0,
            cost_ms=config.scheduler.embed_cost_ms,
            embeds=bool(stages.embedder.dim),
        )

    def _summary(self) -> RunSummary:
        """Return the run's numbers; the page itself is not written yet, so that its time is left out."""
        trace, timer, last = self._trace, self._timer, self.times.last
        counts = Counts(
            frames=int(trace.bins.frames.sum()),
            detections=int(trace.total("detections")),
            tracks=len(trace.history.timelines) + trace.history.left_out,
            closing_ms=0.0 if last is None else 1e3 * (timer.clock() - last),
        )
        models = (self._stages.detector.info, self._stages.embedder.info)
        return RunSummary(
            counts, timer, self._stages.scheduler_stats, models, (), (), appearance=self._stages.appearance
        )

    def _tiles(self) -> Mapping[str, tuple[str, str]]:
        summary = self._summary()
        numbers, info, timelines = summary.numbers(), self._stages.source.info, self._trace.history.timelines.values()
        seconds = self._trace.seconds
        rate = numbers["frames"] / seconds if seconds else info.fps
        reidentified = sum(len(track.reidentified) for track in timelines)
        named = {track.name for track in timelines if track.name}
        share, budget_ms = 100 * numbers["share_embedded"], self._config.scheduler.embed_budget_ms
        tiles = {
            "frames": (
                f"{numbers['frames']:,}",
                f"{seconds:.1f} s at {rate:.4g} fps",
            ),
            "tracks": (f"{numbers['identities']:,}", f"{reidentified} re-identifications"),
            "detections": (
                f"{numbers['detections']:,}",
                f"{numbers['detections'] / max(numbers['frames'], 1):.1f} per frame",
            ),
            "speed": (f"{numbers['fps']:.1f} fps", "effective, all stages"),
            "latency": (
                f"{numbers['latency_ms']['mean']:.0f} ms",
                f"per frame; p95 {numbers['latency_ms']['p95']:.0f} ms",
            ),
        }
        if (detection := self._stages.detection) is not None:
            runs = 100 * detection.detected / max(detection.counts.total(), 1)
            tiles["detector runs"] = (f"{runs:.0f} %", f"of the frames: {most_frequent(detection)}")
        if self._stages.embedder.dim:
            tiles["embedded"] = (f"{share:.0f} %", f"{numbers['embedded']:,} of the detections")
            if summary.appearance is not None:
                tiles["appearance"] = appearance_tile(summary.appearance)
            if budget_ms:
                tiles["deferred"] = (f"{numbers['deferred']:,}", f"refreshes; budget {budget_ms:g} ms per frame")
        if named:
            tiles["recognised"] = (f"{len(named)}", "known identities")
        return tiles


def _region(count: RegionCount, names: Mapping[int, str]) -> CountedRegion:
    region = count.region
    inwards = inward_direction(region) if region.is_line else None
    return CountedRegion(region.name, region.points, count_sentences(count, names), inwards)
