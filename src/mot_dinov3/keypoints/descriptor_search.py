"""Search for an instance's keypoints by dense descriptors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, Image, IntArray
from mot_dinov3.keypoints import search_windows
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap, Templates, centres, find_peaks, similarity_maps
from mot_dinov3.keypoints.geometry import Array, Canvas, Points, apply
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.mask_tracking import CanvasMaskTracker
from mot_dinov3.keypoints.point_score import best_near_and_elsewhere, lead, right_radius
from mot_dinov3.keypoints.redetect import ReferenceMap, redetect
from mot_dinov3.keypoints.search_windows import SearchWindows
from mot_dinov3.keypoints.skeleton import expected_positions, is_swapped, symmetry_pairs, tolerance
from mot_dinov3.keypoints.template_alignment import Measurement, fuse

TRUSTED_BONUS = 0.08  # similarity that the position of a trusted point has ahead of others
LEARN_ABOVE = 0.95  # score from which a tracked frame updates its template
CLEAR = 0.05  # least lead of the best peak over the second one to be called clear
PEAK_SIGMA = 0.5  # patches: error of a peak
TYPICAL = 0.9  # similarity that a point is expected to keep from frame to frame, at first; it is then learnt:
TYPICAL_RISES, TYPICAL_FALLS = 0.2, 0.05  # slowly downward, or an occluder that creeps in would be learnt
TYPICAL_FORGETS = 0.005  # while it is not visible
VISIBLE_SHARE = 0.72  # of its typical similarity, below which a point counts as not visible
ASTRAY = 2.0  # tolerances from the position that reliably found points expect, beyond which a point cannot be there
ROUNDS = 2
REDETECTED_AFTER = 5  # frames in a row not visible, from which a point is searched for all over mask and canvas


@dataclasses.dataclass(frozen=True)
class DescriptorQuery:
    """What is known of the keypoints before the search; lengths in pixels of the canvas.

    Attributes:
        xy: ``(n, 2)`` predicted positions.
        variance: ``(n,)``.
        layout: ``(n, 2)`` typical positions.
        trusted: ``(n,)`` bool: optical flow found the point.
        fixed: ``(n,)`` bool: template alignment found it; descriptors do not move it.
        speed: ``(n,)`` smoothed, per frame.
        flow: ``(n,)`` distance between measured flow and prediction.
        misses: ``(n,)`` misses in a row: they widen the search window.
        unseen: ``(n,)`` frames in a row in which the point was not visible: after some, it is searched for everywhere.
        score: ``(n,)`` scores of the frame before.
        rivals: ``(n, r, 2)`` positions of the keypoint of that name in other instances; NaN where they have none.
        polygons: Outlines.
        factor: Canvas pixels per source pixel.
    """

    xy: Points
    variance: Array
    layout: Points
    trusted: BoolArray
    fixed: BoolArray
    speed: Array
    flow: Array
    misses: Array
    unseen: Array
    score: Array
    rivals: Points
    polygons: Sequence[Points]
    factor: float


@dataclasses.dataclass(frozen=True)
class DescriptorResult:
    """The keypoints after the search.

    Attributes:
        xy: ``(n, 2)`` pixels of the canvas.
        variance: ``(n,)``.
        score: ``(n,)`` 0…1: similarity to the templates.
        lead: ``(n,)`` as `point_score.lead` returns it.
        visibility: ``(n,)`` 0…1: similarity relative to the point's typical one; below a half it is not visible.
        swapped: ``(n,)`` bool: left and right were exchanged.
        polygons: Outlines; None where descriptors do not propagate the mask, empty where they lost it.
    """

    xy: Points
    variance: Array
    score: Array
    lead: Array
    visibility: Array
    swapped: BoolArray
    polygons: Sequence[Points] | None


class DescriptorMatcher:
    """Templates of one instance's keypoints, and the search for them.

    Args:
        config: The stage's options.
        backend: Describes canvases.
        instance: The instance in its labelled frame.
        canvas: Its canvas.
        skeleton: Use the spatial relations between keypoints.
    """

    def __init__(
        self,
        config: KeypointConfig,
        backend: DenseBackend,
        instance: LabelledInstance,
        canvas: Canvas,
        *,
        skeleton: bool,
    ) -> None:
        self.backend = backend
        self._config, self._canvas, self._skeleton = config, canvas, skeleton
        self._points = apply(canvas.to_canvas, instance.xy)
        self._extent = max(float(np.ptp(self._points, axis=0).max()), 8.0)
        self._pairs = symmetry_pairs(instance.keypoints, config.symmetry_pairs)
        self._mask = CanvasMaskTracker(canvas, propagates=config.masks == "dino")
        self._reach = right_radius(instance) * canvas.factor
        self.typical = np.full(len(self._points), TYPICAL)

    def begin(self, view: Image, polygons: Sequence[Points]) -> None:
        """Take the templates from the canvas of the labelled frame, at the exact labels."""
        dense = self.backend.describe(view)
        least = (self.backend.unrelated + self.backend.same) / 2
        self._templates = Templates(dense.at(self._points))
        self.reference = ReferenceMap(dense, self._points, self._templates, least)
        maps, reach = self._templates.maps(dense, np.arange(len(self._points)), recent=False), self._reach + dense.patch
        self._distractor = best_near_and_elsewhere(maps, centres(dense), self._points, reach)[1]
        self._mask.begin(dense, [apply(self._canvas.to_canvas, p) for p in polygons])

    def learn(self, view: Image, points: Points, known: BoolArray) -> None:
        """Add the templates of another labelled frame: they are never dropped."""
        self._templates.learn(self.backend.describe(view).at(points), known)

    def match(self, view: Image, query: DescriptorQuery) -> DescriptorResult:
        """Search for all keypoints in the canvas of the current frame."""
        dense = self.backend.describe(view)
        polygons = self._mask.propagate(dense)
        outside = self._mask.outside(polygons or query.polygons, dense)

        # Positions: within the search window, left/right exchanged, lost points anywhere.
        xy, variance = self._search(query, dense, outside)
        xy, swapped = self._swap(xy, query, dense)
        xy, redetected = self._redetect(xy, query, dense, outside)
        variance = np.where(redetected, (PEAK_SIGMA * dense.patch) ** 2, variance)

        # Scores: similarity to the templates, absolute and relative to the typical one.
        rows = dense.at(xy)
        similarity = self._templates.similarity(rows)
        unrelated, same = self.backend.unrelated, self.backend.same
        score = np.clip((similarity.astype(np.float64) - unrelated) / (same - unrelated), 0.0, 1.0)
        self._templates.update(rows, score >= LEARN_ABOVE)
        visibility = np.where(self._astray(xy, query), 0.0, self._visibility(similarity))
        visibility = np.where(query.fixed, np.maximum(visibility, 0.9), visibility)
        score = np.where(query.fixed, np.maximum(score, 0.9), score)
        return DescriptorResult(xy, variance, score, self._lead(dense, xy), visibility, swapped, polygons)

    def _search(self, query: DescriptorQuery, dense: DenseMap, outside: Array | None) -> tuple[Points, Array]:
        """Return positions and variances after searching the windows of all points that are not fixed."""
        xy, variance = query.xy.copy(), query.variance.copy()
        which = np.flatnonzero(~query.fixed)
        windows = self._windows(which, query, dense)
        there = windows.inside.any((1, 2))
        if not there.all():
            which = which[there]
            windows = self._windows(which, query, dense)
        if not len(which):
            return xy, variance
        heights = self._heights(which, windows, query, dense, outside)
        if not self._skeleton:
            xy[which], variance[which] = self._decide(which, windows, heights, query)
            return xy, variance
        normal = tolerance(query.layout, extent=self._extent)[which, None, None]
        trust = np.maximum(query.score, 0.05) * np.where(query.fixed, 2.0, 1.0)
        for _ in range(ROUNDS):  # what one round decides moves its neighbours' expected positions in the next
            expected = expected_positions(xy, query.layout, trust, extent=self._extent)
            distance = np.linalg.norm(windows.centres - expected[which, None, None], axis=3)
            shaped = heights - search_windows.structure_penalty(distance, normal)
            xy[which], variance[which] = self._decide(which, windows, shaped, query)
        return xy, variance

    def _redetect(
        self, xy: Points, query: DescriptorQuery, dense: DenseMap, outside: Array | None
    ) -> tuple[Points, BoolArray]:
        """Return positions, those of lost points searched over the mask, then over the canvas, and which were found."""
        missing = (query.unseen >= REDETECTED_AFTER) & ~query.fixed
        again = np.zeros(len(xy), np.bool_)
        if not missing.any():
            return xy, again
        xy = xy.copy()
        expected = expected_positions(xy, query.layout, np.where(missing, 0.0, 1.0), extent=self._extent)
        normal = tolerance(query.layout, extent=self._extent)
        cells = centres(dense)
        for beyond in (np.inf, 0.0) if outside is not None else (0.0,):
            which = np.flatnonzero(missing & ~again)
            if not len(which):
                break
            penalty = np.zeros((len(which), 1, 1))
            if self._skeleton and (~missing).sum() >= 2:
                distance = np.linalg.norm(cells - expected[which, None, None], axis=3)
                penalty = search_windows.structure_penalty(distance, normal[which, None, None])
            if outside is not None:
                penalty = penalty + np.where(outside > 0, beyond, 0.0)
            found, sure = redetect(self.reference, dense, which, penalty=penalty, typical=self.typical[which])
            xy[which[sure]] = found[sure]
            again[which[sure]] = True
        return xy, again

    def _windows(self, which: IntArray, query: DescriptorQuery, dense: DenseMap) -> SearchWindows:
        """Return the cells within the search radius of the keypoints `which`."""
        patch = self.backend.unit_patch
        speed, flow = query.speed[which] / patch, query.flow[which] / patch
        radius = patch * search_windows.search_radius(self._config, speed, flow, query.misses[which])
        return search_windows.windows_around(query.xy[which], radius, dense.cells.shape[:2], dense.patch)

    def _heights(
        self, which: IntArray, windows: SearchWindows, query: DescriptorQuery, dense: DenseMap, outside: Array | None
    ) -> Array:
        """Return ``(m, k, k)`` similarities less all penalties but the skeleton's."""
        heights = windows.of(self._templates.maps(dense, which))
        own, factor = query.xy[which], query.factor
        distance = np.linalg.norm(windows.centres - own[:, None, None], axis=3)
        sides = np.maximum(windows.inside.any(1).sum(1), windows.inside.any(2).sum(1))[:, None, None]
        heights -= search_windows.prior_penalty(
            self._config,
            distance / factor,
            radius_px=sides / 2 * dense.patch / factor,
            misses=query.misses[which, None, None],
            speed_px=query.speed[which, None, None] / factor,
        )
        if outside is not None and not self._config.outline_drifts:
            heights -= search_windows.mask_penalty(outside[windows.rows, windows.columns], self._extent)
        return heights - search_windows.rival_penalty(windows.centres, own, query.rivals[which])

    def _decide(
        self, which: IntArray, windows: SearchWindows, heights: Array, query: DescriptorQuery
    ) -> tuple[Points, Array]:
        """Return positions and variances: the peak where it beats the prediction, else both fused by precision."""
        patch = windows.patch
        peaks = find_peaks(heights, patch)
        found = peaks.xy + windows.corner
        own, variance = query.xy[which], query.variance[which]
        column, row = np.rint((own - windows.corner) / patch - 0.5).astype(int).T
        sides = windows.inside.any(2).sum(1), windows.inside.any(1).sum(1)
        row, column = np.clip(row, 0, sides[0] - 1), np.clip(column, 0, sides[1] - 1)
        here = heights[np.arange(len(which)), row, column] + TRUSTED_BONUS * query.trusted[which]
        sigma = PEAK_SIGMA * patch * np.where(peaks.value - peaks.second > CLEAR, 1.0, 2.0)
        fused, better, _ = fuse(own, variance, Measurement(found, 2 * sigma))
        wins = peaks.value > here
        return np.where(wins[:, None], found, fused), np.where(wins, np.maximum(variance, sigma**2), better)

    def _lead(self, dense: DenseMap, xy: Points) -> Array:
        """Return the lead of each position over all others, here and on the canvas of the labelled frame."""
        rows, reference = dense.at(xy), self.reference.dense
        here = self._templates.similarity(rows).astype(np.float64)
        maps = self._templates.maps(dense, np.arange(len(xy)), recent=False)
        elsewhere = best_near_and_elsewhere(maps, centres(dense), xy, self._reach + dense.patch)[1]
        back = similarity_maps(reference, rows)
        behind = best_near_and_elsewhere(back, centres(reference), self._points, self._reach + reference.patch)
        return lead(here, elsewhere, behind, self._distractor)

    def _visibility(self, similarity: FloatArray) -> Array:
        """Return ``(n,)`` 0…1: similarity relative to the typical one, which follows it."""
        share = similarity / self.typical
        falls = np.where(share > VISIBLE_SHARE, TYPICAL_FALLS, TYPICAL_FORGETS)
        rate = np.where(similarity > self.typical, TYPICAL_RISES, falls)
        self.typical += rate * (np.maximum(similarity, 0.1) - self.typical)
        return np.asarray(np.clip(0.5 + (share - VISIBLE_SHARE) / (2 * (1 - VISIBLE_SHARE)), 0, 1), np.float64)

    def _astray(self, xy: Points, query: DescriptorQuery) -> BoolArray:
        """Return ``(n,)`` bool: the point is far from the position that the fixed ones expect."""
        fixed = query.fixed
        if not self._skeleton or fixed.sum() < 2:
            return np.zeros(len(xy), np.bool_)
        expected = expected_positions(xy, self._points, fixed.astype(float), extent=self._extent)
        apart = np.linalg.norm(xy - expected, axis=1)
        return ~fixed & (apart > ASTRAY * tolerance(self._points, extent=self._extent))

    def _swap(self, xy: Points, query: DescriptorQuery, dense: DenseMap) -> tuple[Points, BoolArray]:
        """Exchange the positions of left/right pairs that fit better the other way round."""
        swapped = np.zeros(len(xy), np.bool_)
        rows = dense.at(xy)
        for left, right in self._pairs:
            if query.fixed[left] or query.fixed[right]:
                continue
            both = np.array([left, right])
            if is_swapped(self._templates.cross_similarity(rows[both], both)):
                xy[[left, right]] = xy[[right, left]]
                swapped[[left, right]] = True
        return xy, swapped
