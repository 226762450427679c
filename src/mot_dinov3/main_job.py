"""The main job in somebody's own loop: frames and their finished rows, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.options import options_of, typed_values
from mot_dinov3.core.structures import Detections, Frame, VideoInfo
from mot_dinov3.pipeline.config import TrackConfig, track_config
from mot_dinov3.pipeline.summary import RunSummary
from mot_dinov3.pipeline.wiring import TrackingRun, build_tracking


class Pipeline:
    """Tracks a source while it is iterated: ``for frame, detections in Pipeline.from_options(source="in.mp4"): …``.

    Whoever leaves the loop early stops the run: its files are finished with the frames so far, once the iterator is
    closed. With ``link`` the rows are those of the first pass; only the files are linked.

    Args:
        config: All options of the main job.

    Attributes:
        config: As given.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds. Models are loaded here, not at the first frame.
    """

    def __init__(self, config: TrackConfig) -> None:
        self.config = config
        self._run: TrackingRun = build_tracking(config)
        self._started = False

    @classmethod
    def from_options(
        cls,
        *,
        source: str | Path | int | None = None,
        start_frame: int | None = None,
        end_frame: int | None = None,
        fps: float | None = None,
        reconnect_seconds: float | None = None,
        det: str | Path | None = None,
        dets: str | Path | None = None,
        conf: float | None = None,
        imgsz: int | None = None,
        classes: str | None = None,
        detect_every: int | None = None,
        motion_method: str | None = None,
        motion_side: int | None = None,
        motion_history: int | None = None,
        motion_threshold: float | None = None,
        motion_min_area: float | None = None,
        motion_warm_up: int | None = None,
        device: str | None = None,
        trust_weights: bool | None = None,
        precision: str | None = None,
        accel: str | None = None,
        embedder: str | None = None,
        dinov3: str | Path | None = None,
        embed_model: str | Path | None = None,
        fallback_open: bool | None = None,
        crop_pad: float | None = None,
        crop_square: bool | None = None,
        crop_size: str | None = None,
        pooling: str | None = None,
        embed_batch: int | None = None,
        embed_refresh: int | None = None,
        embed_iou_gate: float | None = None,
        embed_overlap_thr: float | None = None,
        embed_crowded: str | None = None,
        embed_budget_ms: float | None = None,
        embed_cost_ms: float | None = None,
        tracker: str | None = None,
        high_score: float | None = None,
        low_score: float | None = None,
        new_score: float | None = None,
        low_match: bool | None = None,
        hungarian: bool | None = None,
        match_floor: float | None = None,
        low_floor: float | None = None,
        tentative_floor: float | None = None,
        score_fusion: bool | None = None,
        height_power: float | None = None,
        likelihood: float | None = None,
        lost_penalty: float | None = None,
        contest_noise: float | None = None,
        contest_margin: float | None = None,
        growth: float | None = None,
        position_noise: float | None = None,
        velocity_noise: float | None = None,
        box_noise: float | None = None,
        start_noise: float | None = None,
        size_damping: float | None = None,
        camera_motion: bool | None = None,
        confirm_hits: int | None = None,
        confirm_score: float | None = None,
        tentative_seconds: float | None = None,
        lost_seconds: float | None = None,
        edge_seconds: float | None = None,
        new_overlap: float | None = None,
        appearance: float | None = None,
        ema: float | None = None,
        recovery: bool | None = None,
        recovery_floor: float | None = None,
        recovery_seconds: float | None = None,
        recovery_speed: float | None = None,
        class_mode: str | None = None,
        coast: bool | None = None,
        coast_seconds: float | None = None,
        coast_trust: float | None = None,
        track_thresh: float | None = None,
        match_thresh: float | None = None,
        track_buffer: int | None = None,
        frame_rate: float | str | None = None,
        per_class: bool | None = None,
        max_obs: int | None = None,
        gallery: str | Path | None = None,
        gallery_match_threshold: float | None = None,
        gallery_caution: float | None = None,
        gallery_keep: float | None = None,
        gallery_margin: float | None = None,
        link: bool | None = None,
        uncross: bool | None = None,
        motion_seconds: float | None = None,
        appearance_seconds: float | None = None,
        motion_gate: float | None = None,
        reach: float | None = None,
        height_change: float | None = None,
        edge: float | None = None,
        smooth: bool | None = None,
        fill_seconds: float | None = None,
        line: Sequence[str] | None = None,
        zone: str | Path | None = None,
        trails: float | None = None,
        hud: bool | None = None,
        reasons: bool | None = None,
        anonymize: str | None = None,
        draw_lost: bool | None = None,
        line_thickness: int | None = None,
        font_scale: float | None = None,
        output: str | Path | None = None,
        video: bool | None = None,
        save_json: str | Path | None = None,
        save_mot: str | Path | None = None,
        save_csv: str | Path | None = None,
        save_dets: str | Path | None = None,
        save_counts: str | Path | None = None,
        report: str | Path | None = None,
        resume: bool | None = None,
        record: bool | None = None,
    ) -> Pipeline:
        """Build the pipeline from the options of the command `track`, under their names there.

        None stands for an option's default, but nothing is written unless a file is named: a video only where `output`
        is. `source` may be a camera's number, `line` is one text for each line.

        Raises:
            UsageError: Neither a source nor recorded detections, or a combination of options that cannot be.
            ConfigError: A value of the wrong type, or out of range.
            MotError: Something cannot be used; see `errors` for the kinds.
        """
        given = {key: value for key, value in locals().items() if key != "cls" and value is not None}
        if isinstance(given.get("source"), int):
            given["source"] = str(source)
        given = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
        if isinstance(line, Sequence):
            given["line"] = [line] if isinstance(line, str) else list(line)
        if given.get("video") and output is None:
            raise UsageError("video=True does not say where to", remedy="name the file: output='tracked.mp4'")
        if output is None:
            given["video"] = False
        return cls(track_config(typed_values(given, options_of(TrackConfig))))

    @property
    def info(self) -> VideoInfo:
        """What is known of the source."""
        return self._run.loop.stages.source.info

    @property
    def names(self) -> dict[int, str]:
        """Class id → class name; empty where unknown."""
        return dict(self._run.loop.stages.detector.names)

    @property
    def notices(self) -> list[str]:
        """What a user should be told, a line each: fallbacks taken, damage found until now."""
        return self._run.all_notices()

    def summary(self) -> RunSummary:
        """Return what the run has cost and found until now; its `lines` are what the command prints."""
        return self._run.summary()

    def __iter__(self) -> Iterator[tuple[Frame, Detections]]:
        """Yield each frame with its finished rows: with a track, without one, and coasted ones.

        Raises:
            UsageError: It was iterated before: a run reads its source once.
            MotError: A frame, a model or an output that fails.
        """
        if self._started:
            raise UsageError("a pipeline runs once", remedy="build another with Pipeline.from_options")
        self._started = True
        return self._run.loop.results()

    def close(self) -> None:
        """Release the source of a pipeline that is not going to be iterated."""
        if not self._started:
            self._started = True
            self._run.loop.abort()
            self._run.loop.stages.source.close()
