"""Embedding scheduler: which boxes get an embedding in a frame, within a time budget.

`plan_embeddings` is the pure decision: which rows must be embedded now (*critical*), which may reuse the embedding
their track already has, and which of those are due for a refresh. `EmbeddingScheduler.run` is the thin effect: critical
rows first, whatever they cost, then refreshes, oldest first, in small chunks while the budget lasts. What does not fit
stays due, so the backlog is nothing but the due rows that were not run: it needs no state and dies with its tracks.

Skipping the rows that overlap exactly one track follows selective feature extraction (arXiv 2409.06617).
"""

from __future__ import annotations

import dataclasses
import time
from array import array
from collections.abc import Callable

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, IntArray, Reason, TrackState, TrackView
from mot_dinov3.core.timing import Clock

CRITICAL = (Reason.NEW, Reason.WEAK_IOU, Reason.CROWDED)
SAVER_MARGIN = 0.2  # IoU by which a track and a box must fit each other better than any other, to be certain
SAVER_GATE = 0.3  # least IoU of a certain pair
SAVER_SPACING = 5  # times the refresh interval, with the saver

EmbedRows = Callable[[IntArray], FloatArray]
"""Embeds the rows it is given, ``(k,)`` indices → ``(k, d)`` unit rows, and returns when the device has finished."""


@dataclasses.dataclass(frozen=True)
class SchedulerConfig(StageConfig):
    """When an embedding is computed, reused or put off."""

    group = "embedding scheduler"

    embed_refresh: int = option(5, "refresh interval of a stable track's embedding, in frames", low=1)
    embed_iou_gate: float = option(
        0.6, "IoU with exactly one active track from which its embedding is reused", low=0, high=1
    )
    embed_overlap_thr: float = option(
        0.2, "IoU with another detection above which a box counts as crowded", low=0, high=1
    )
    embed_crowded: str = option(
        "always",
        "crowded boxes to embed: all of them, or only those that overlap more than one track",
        choices=("always", "ambiguous"),
    )
    embed_saver: bool = option(
        False,
        "embed crowded boxes only where motion leaves their track uncertain, and refresh a fifth as often, once the "
        "video has shown what its embeddings are worth",
    )
    embed_budget_ms: float = option(
        0.0,
        "budget for refreshes in ms per frame, in addition to critical boxes; 0: unlimited (> 0: runs may differ)",
        low=0,
        common=True,
    )
    embed_cost_ms: float | None = option(
        None, "fixed cost per crop in ms instead of the clock: reproducible runs", above=0
    )


@dataclasses.dataclass(frozen=True)
class EmbeddingPlan:
    """The embeddings of one frame.

    Attributes:
        critical: ``(k,)`` rows to embed now, whatever it costs.
        refresh: ``(r,)`` rows whose track is due, longest waiting first.
        source: ``(n,)`` row of the track view whose embedding the detection reuses, −1 for none.
        reason: ``(n,)`` of `Reason`; DEFERRED for due rows, until they are run.
    """

    critical: IntArray
    refresh: IntArray
    source: IntArray
    reason: IntArray


def plan_embeddings(
    detections: Detections, view: TrackView, frame_index: int, *, config: SchedulerConfig, min_score: float = 0.0
) -> EmbeddingPlan:
    """Decide for every row of a frame whether it is embedded now, refreshed if there is time, or reuses.

    A row is *stable* if exactly one live track (matched in the last frame) predicts it with at least the IoU gate, no
    other detection crowds it or claims the same track, and no lost track fits it better. All other rows from
    `min_score` on are critical.

    Args:
        detections: The frame's boxes.
        view: The tracker's tracks, predicted for this frame.
        frame_index: 0-based.
        config: Gates and intervals.
        min_score: Boxes below it cannot start a track and are never embedded.
    """
    overlap = boxes.iou(detections.xyxy, view.xyxy)
    live = view.matched & (view.state != TrackState.REMOVED)
    best_live = np.where(live, overlap, 0).max(1, initial=0)
    best_lost = np.where(live, 0, overlap).max(1, initial=0)
    fits = (overlap >= config.embed_iou_gate) & live
    source = np.where(fits.sum(1) == 1, fits.argmax(1) if len(view) else -1, -1)

    weak = (best_live < config.embed_iou_gate) | (best_lost > best_live)
    crowded = _crowded(detections.xyxy, overlap, config) | (fits.sum(1) > 1) | _claimed_twice(source)
    reason = np.full(len(detections), Reason.REUSED, np.int64)
    reason[crowded] = Reason.CROWDED
    reason[weak] = Reason.WEAK_IOU
    reason[weak & (np.maximum(best_live, best_lost) == 0)] = Reason.NEW
    if config.embed_saver and len(view):
        best = overlap.argmax(1)
        certain = _certain(overlap, detections.score >= min_score) & live[best] & (view.embedded_frame[best] >= 0)
        reason[certain], source[certain] = Reason.REUSED, best[certain]
    reason[detections.score < min_score] = Reason.LOW_SCORE

    source[reason != Reason.REUSED] = -1
    due = np.flatnonzero(reason == Reason.REUSED)
    since = view.embedded_frame[source[due]]
    late = (since < 0) | (frame_index - since >= config.embed_refresh * (SAVER_SPACING if config.embed_saver else 1))
    due, since = due[late], since[late]
    reason[due] = Reason.DEFERRED
    return EmbeddingPlan(
        critical=np.flatnonzero(np.isin(reason, CRITICAL)),
        refresh=due[np.argsort(since, kind="stable")],
        source=source,
        reason=reason,
    )


def _crowded(xyxy: FloatArray, track_overlap: FloatArray, config: SchedulerConfig) -> BoolArray:
    """Return ``(n,)`` bool: another detection overlaps the row (and, where narrowed, more than one track does)."""
    pairs = boxes.iou(xyxy, xyxy)
    np.fill_diagonal(pairs, 0)
    crowded = pairs.max(1, initial=0) > config.embed_overlap_thr
    if config.embed_crowded == "ambiguous":
        crowded &= (track_overlap > config.embed_overlap_thr).sum(1) > 1
    return crowded


def _certain(overlap: FloatArray, scored: BoolArray) -> BoolArray:
    """Return ``(n,)`` bool: row and best track overlap more, by the margin, than either does with any other.

    Args:
        overlap: ``(n, m)`` IoU of rows and tracks, of which there is at least one.
        scored: ``(n,)`` bool: the row can be a track's; the others are no rivals.
    """
    best, rows = overlap.argmax(1), np.arange(len(overlap))
    value = overlap[rows, best]
    others = overlap.copy()
    others[rows, best] = 0
    padded = np.concatenate([np.zeros((2, overlap.shape[1]), overlap.dtype), np.where(scored[:, None], overlap, 0)])
    second, first = np.sort(padded, axis=0)[-2:, best]
    rival = np.maximum(others.max(1), np.where(value >= first, second, first))
    return np.asarray((value >= SAVER_GATE) & (value - rival >= SAVER_MARGIN))


def _claimed_twice(source: IntArray) -> BoolArray:
    """Return ``(n,)`` bool: another row reuses the same track."""
    claims = np.bincount(source[source >= 0], minlength=1)
    return (source >= 0) & (claims[source] > 1)


@dataclasses.dataclass
class SchedulerStats:
    """Sums over a run, for its summary.

    Attributes:
        computed: Embeddings computed, by reason.
        reused: Rows that reused a cached embedding without being due.
        deferred: Due rows put off, summed over frames.
        backlog: Due rows that the last frame put off.
        overrun_ms: Time that the refreshes of a frame took beyond their allowance, of each frame with both
            refreshes and a budget; 0 where they kept to it.
        overrun_crops: The same in crops of that frame's own cost.
    """

    computed: dict[Reason, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys((*CRITICAL, Reason.REFRESH), 0)
    )
    reused: int = 0
    deferred: int = 0
    backlog: int = 0
    overrun_ms: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    overrun_crops: array[float] = dataclasses.field(default_factory=lambda: array("d"))

    @property
    def worst_overrun_ms(self) -> float:
        """Most that the refreshes of one frame took beyond what they had been given."""
        return max(self.overrun_ms, default=0.0)

    @property
    def total(self) -> int:
        """Embeddings computed, whatever the reason."""
        return sum(self.computed.values())


class EmbeddingScheduler:
    """Spends the embedding budget of each frame.

    Args:
        config: Gates, intervals and the budget.
        min_score: See `plan_embeddings`.
        worthwhile: Whether embeddings separate the objects of this video; while they do not, refreshes are spaced out.
        calibrated: Whether the video has shown what its embeddings are worth; until then the saver embeds as usual.
        clock: Seconds; a test passes its own.
    """

    CHUNK = 4  # small enough that one chunk's misjudged cost hardly matters, large enough to batch
    SMOOTHING = 0.3  # weight of the newest cost per crop in the moving average
    SPACED = 10  # times the refresh interval where embeddings separate nothing
    STALE = 30  # frames in which no refresh was affordable; then the cost is measured again

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        min_score: float = 0.0,
        worthwhile: Callable[[], bool] = lambda: True,
        calibrated: Callable[[], bool] = lambda: True,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.config = config
        self.min_score = min_score
        self.worthwhile = worthwhile
        self.calibrated = calibrated
        self.clock = clock
        self.stats = SchedulerStats()
        self.ms_per_crop: float | None = config.embed_cost_ms
        self._unmeasured = 0  # frames in a row whose refreshes were all too dear, so that their cost was not seen

    def plan(self, detections: Detections, view: TrackView, frame_index: int) -> EmbeddingPlan:
        """Decide what the frame needs; see `plan_embeddings`."""
        config = self.config
        if config.embed_saver and not self.calibrated():
            config = dataclasses.replace(config, embed_saver=False)
        if not self.worthwhile():
            config = dataclasses.replace(config, embed_refresh=self.SPACED * config.embed_refresh)
        return plan_embeddings(detections, view, frame_index, config=config, min_score=self.min_score)

    def run(self, plan: EmbeddingPlan, detections: Detections, view: TrackView, embed: EmbedRows) -> Detections:
        """Embed the critical rows, then as many refreshes as the budget allows, and fill in the reused ones.

        Returns:
            The same rows with `embedding`, `fresh` and `reason`. A deferred row keeps its track's cached embedding.
        """
        computed: list[tuple[IntArray, FloatArray]] = []
        spent = self._embed(plan.critical, embed, computed)
        done = self._refresh(plan.refresh, embed, computed, critical_ms=spent)
        return self._finished(plan, detections, view, computed, done)

    def repeat(
        self, plan: EmbeddingPlan, detections: Detections, view: TrackView, computed: tuple[IntArray, FloatArray]
    ) -> Detections:
        """Repeat an earlier run's decisions on the same frame, whatever the clock; nothing is embedded.

        `computed` are the ``(k,)`` rows that were embedded then, and their ``(k, d)`` embeddings.
        """
        done = int(np.isin(plan.refresh, computed[0]).sum())
        return self._finished(plan, detections, view, [computed] if len(computed[0]) else [], done)

    def _finished(
        self,
        plan: EmbeddingPlan,
        detections: Detections,
        view: TrackView,
        computed: list[tuple[IntArray, FloatArray]],
        done: int,
    ) -> Detections:
        """Count, and return the rows filled in, `done` of the refreshes having been run."""
        reason, stats = plan.reason.copy(), self.stats
        reason[plan.refresh[:done]] = Reason.REFRESH
        for which in stats.computed:
            stats.computed[which] += int((reason == which).sum())
        stats.reused += int((reason == Reason.REUSED).sum())
        stats.backlog = int((reason == Reason.DEFERRED).sum())
        stats.deferred += stats.backlog
        return _fill(detections, plan, view, computed).replace(reason=reason)

    def _refresh(
        self, rows: IntArray, embed: EmbedRows, computed: list[tuple[IntArray, FloatArray]], *, critical_ms: float
    ) -> int:
        """Run refreshes while the budget lasts; return how many were run."""
        if self.config.embed_budget_ms == 0:
            self._embed(rows, embed, computed)
            return len(rows)
        if self._unmeasured >= self.STALE:
            self.ms_per_crop = None
        allowance = max(0.0, self.config.embed_budget_ms - critical_ms)
        done, spent = 0, 0.0
        while done < len(rows):
            affordable = self._affordable(allowance - spent)
            if affordable < 1:
                break
            # Half of it at most: a chunk that takes twice as long still fits, and the last crops go one by one.
            count = min(max(affordable // 2, 1), self.CHUNK, len(rows) - done)
            spent += self._embed(rows[done : done + count], embed, computed)
            done += count
        waits = bool(len(rows)) and not done and self.config.embed_cost_ms is None
        self._unmeasured = self._unmeasured + 1 if waits else 0
        if done:
            beyond = max(spent - allowance, 0.0)
            self.stats.overrun_ms.append(beyond)
            self.stats.overrun_crops.append(beyond * done / spent if beyond else 0.0)
        return done

    def _affordable(self, left_ms: float) -> int:
        """Return how many crops fit into `left_ms`; one while nothing has been measured yet."""
        if self.ms_per_crop is None:
            return int(left_ms > 0)
        return int(left_ms / self.ms_per_crop + 1e-9)

    def _embed(self, rows: IntArray, embed: EmbedRows, computed: list[tuple[IntArray, FloatArray]]) -> float:
        """Embed `rows`, append them to `computed`, and return the cost in ms."""
        if len(rows) == 0:
            return 0.0
        start = self.clock()
        computed.append((rows, embed(rows)))
        if self.config.embed_cost_ms is not None:
            return self.config.embed_cost_ms * len(rows)
        cost = 1e3 * (self.clock() - start)
        known = self.ms_per_crop
        newest = cost / len(rows)
        self.ms_per_crop = newest if known is None else known + self.SMOOTHING * (newest - known)
        return cost


def _fill(
    detections: Detections, plan: EmbeddingPlan, view: TrackView, computed: list[tuple[IntArray, FloatArray]]
) -> Detections:
    """Return the rows with cached embeddings where reused and the computed ones where fresh."""
    width = computed[0][1].shape[1] if computed else 0 if view.embedding is None else view.embedding.shape[1]
    if width == 0:
        return detections
    embedding = np.zeros((len(detections), width), np.float32)
    fresh = np.zeros(len(detections), np.bool_)
    reused = np.flatnonzero(plan.source >= 0)
    if view.embedding is not None and len(reused):
        embedding[reused] = view.embedding[plan.source[reused]]
    for rows, values in computed:
        embedding[rows], fresh[rows] = values, True
    return detections.replace(embedding=embedding, fresh=fresh)
