"""Asks the dense descriptors where the keypoints of an instance are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, Image, IntArray
from mot_dinov3.keypoints import search_windows
from mot_dinov3.keypoints.backends import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap, centres, find_peaks
from mot_dinov3.keypoints.geometry import Canvas, Points, apply
from mot_dinov3.keypoints.labels import Body
from mot_dinov3.keypoints.mask_tracking import CanvasMask
from mot_dinov3.keypoints.redetect import Origin, find_again
from mot_dinov3.keypoints.skeleton import expected_places, is_swapped, symmetry_pairs, tolerance
from mot_dinov3.keypoints.template_alignment import Measurement, fuse
from mot_dinov3.keypoints.templates import Templates

Array = npt.NDArray[np.float64]

BELIEVED_BONUS = 0.08  # similarity that a believed place has ahead of others
LEARN_ABOVE = 0.95  # of the way from unrelated to same, similarity from which a tracked frame is learnt from
CLEAR = 0.05  # by which the best peak must stand out from the second one to be called clear
PEAK_SIGMA = 0.5  # patches: error of a peak
USUAL = 0.9  # similarity that a point is expected to keep from one frame to another, at first; it learns its own:
USUAL_RISES, USUAL_FALLS = 0.2, 0.05  # slowly downward, or an occluder that creeps in would be learnt
USUAL_FORGETS = 0.005  # while it is not seen
USUAL_SHARE = 0.72  # of its usual similarity, below which a point counts as not seen
ASTRAY = 2.0  # tolerances from where points found for sure put another one, beyond which it cannot be there
ROUNDS = 2
SEARCHED_AFTER = 5  # frames in a row unseen, from which a point is looked for all over mask and canvas


@dataclasses.dataclass(frozen=True)
class Question:
    """What is known before the descriptors are asked; lengths in pixels of the canvas.

    Attributes:
        places: ``(n, 2)`` predicted places.
        variance: ``(n,)``.
        layout: ``(n, 2)`` usual places.
        believed: ``(n,)`` bool: motion found the point.
        fixed: ``(n,)`` bool: the labelled frame found it; descriptors do not move it.
        velocity: ``(n,)`` smoothed speed per frame.
        flow: ``(n,)`` how far the measured flow is from the prediction.
        misses: ``(n,)`` misses in a row: the point is looked for farther away.
        unseen: ``(n,)`` frames in a row in which the point was not as it usually is: it is looked for everywhere.
        score: ``(n,)`` scores of the frame before.
        rivals: ``(n, r, 2)`` where other instances have the keypoint of that name; NaN where they have none.
        polygons: Outlines.
        factor: Canvas pixels per source pixel.
    """

    places: Points
    variance: Array
    layout: Points
    believed: BoolArray
    fixed: BoolArray
    velocity: Array
    flow: Array
    misses: Array
    unseen: Array
    score: Array
    rivals: Points
    polygons: Sequence[Points]
    factor: float


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the descriptors say.

    Attributes:
        places: ``(n, 2)`` pixels of the canvas.
        variance: ``(n,)``.
        score: ``(n,)`` 0…1: similarity to the templates.
        likeness: ``(n,)`` 0…1: the same in comparison to what is usual for the point; below a half it is unseen.
        swapped: ``(n,)`` bool: left and right were exchanged.
        polygons: Outlines; None where descriptors do not carry the mask on, empty where they lost it.
    """

    places: Points
    variance: Array
    score: Array
    likeness: Array
    swapped: BoolArray
    polygons: Sequence[Points] | None


class Lookup:
    """Templates of one instance's keypoints, and the search for them.

    Args:
        config: The settings.
        backend: Describes canvases.
        body: The instance in its labelled frame.
        canvas: How it is looked at.
        structured: Let keypoints say where their neighbours are.
    """

    def __init__(
        self, config: KeypointConfig, backend: DenseBackend, body: Body, canvas: Canvas, *, structured: bool
    ) -> None:
        self.config, self.backend, self.canvas = config, backend, canvas
        self.structured = structured
        self.points = apply(canvas.to_canvas, body.xy)
        low, high = self.points.min(0), self.points.max(0)
        self.extent = max(float((high - low).max()), 8.0)
        self.pairs = symmetry_pairs(body.keypoints, config.symmetry_pairs)
        self.mask = CanvasMask(canvas, carried=config.masks == "dino")

    def begin(self, view: Image, polygons: Sequence[Points]) -> None:
        """Take the templates from the canvas of the labelled frame, at the exact clicks."""
        self.seed_map = self.backend.describe(view)
        self.templates = Templates(self.seed_map.at(self.points))
        self.usual = np.full(len(self.points), USUAL)
        least = (self.backend.unrelated + self.backend.same) / 2
        self.origin = Origin(self.seed_map, self.points, self.templates, least)
        self.mask.begin(self.seed_map, [apply(self.canvas.to_canvas, p) for p in polygons])

    def learn(self, view: Image, points: Points, known: BoolArray) -> None:
        """Take further templates that a person vouches for: they are never dropped."""
        self.templates.learn(self.backend.describe(view).at(points), known)

    def ask(self, view: Image, question: Question) -> Answer:
        """Look for all keypoints in the canvas of the current frame."""
        dense = self.backend.describe(view)
        polygons = self.mask.carry(dense)
        outside = self.mask.outside(polygons or question.polygons, dense)
        places, variance = self._search(question, dense, outside)
        places, swapped = self._swap(places, question, dense)
        places, again = self._find_again(places, question, dense, outside)
        variance = np.where(again, (PEAK_SIGMA * dense.patch) ** 2, variance)
        rows = dense.at(places)
        similar = self.templates.similar(rows)
        score = self._score(similar)
        self.templates.remember(rows, score >= LEARN_ABOVE)
        likeness = np.where(self._astray(places, question), 0.0, self._as_usual(similar))
        likeness = np.where(question.fixed, np.maximum(likeness, 0.9), likeness)
        score = np.where(question.fixed, np.maximum(score, 0.9), score)
        return Answer(places, variance, score, likeness, swapped, polygons)

    def _search(self, question: Question, dense: DenseMap, outside: Array | None) -> tuple[Points, Array]:
        """Return places and variances after looking for all that are not fixed."""
        places, variance = question.places.copy(), question.variance.copy()
        open_ones = np.flatnonzero(~question.fixed)
        windows = self._windows(open_ones, question, dense)
        there = windows.inside.any((1, 2))
        if not there.all():
            open_ones = open_ones[there]
            windows = self._windows(open_ones, question, dense)
        if not len(open_ones):
            return places, variance
        heights = self._heights(open_ones, windows, question, dense, outside)
        usual = tolerance(question.layout, extent=self.extent)[open_ones, None, None]
        for _ in range(ROUNDS if self.structured else 1):
            if not self.structured:
                places[open_ones], variance[open_ones] = self._decide(open_ones, windows, heights, question)
                break
            expected = expected_places(places, question.layout, self._trust(question), extent=self.extent)
            distance = np.linalg.norm(windows.places - expected[open_ones, None, None], axis=3)
            shaped = heights - search_windows.structure_penalty(distance, usual)
            places[open_ones], variance[open_ones] = self._decide(open_ones, windows, shaped, question)
        return places, variance

    def _find_again(
        self, places: Points, question: Question, dense: DenseMap, outside: Array | None
    ) -> tuple[Points, BoolArray]:
        """Return places, those of missed points looked for all over the mask, then all over the canvas."""
        missing = (question.unseen >= SEARCHED_AFTER) & ~question.fixed
        again = np.zeros(len(places), np.bool_)
        if not missing.any():
            return places, again
        places = places.copy()
        expected = expected_places(places, question.layout, np.where(missing, 0.0, 1.0), extent=self.extent)
        usual = tolerance(question.layout, extent=self.extent)
        cells = centres(dense)
        for beyond in (np.inf, 0.0) if outside is not None else (0.0,):
            which = np.flatnonzero(missing & ~again)
            if not len(which):
                break
            penalty = np.zeros((len(which), 1, 1))
            if self.structured and (~missing).sum() >= 2:
                distance = np.linalg.norm(cells - expected[which, None, None], axis=3)
                penalty = search_windows.structure_penalty(distance, usual[which, None, None])
            if outside is not None:
                penalty = penalty + np.where(outside > 0, beyond, 0.0)
            found, sure = find_again(self.origin, dense, which, penalty=penalty, usual=self.usual[which])
            places[which[sure]] = found[sure]
            again[which[sure]] = True
        return places, again

    def _trust(self, question: Question) -> Array:
        return np.asarray(np.maximum(question.score, 0.05) * np.where(question.fixed, 2.0, 1.0))

    def _windows(self, which: IntArray, question: Question, dense: DenseMap) -> search_windows.Windows:
        """Return the cells within the search radius of the keypoints `which`."""
        patch = self.backend.unit_patch
        speed, flow = question.velocity[which] / patch, question.flow[which] / patch
        radius = patch * search_windows.search_radius(self.config, speed, flow, question.misses[which])
        return search_windows.windows_around(question.places[which], radius, dense.cells.shape[:2], dense.patch)

    def _heights(
        self,
        which: IntArray,
        windows: search_windows.Windows,
        question: Question,
        dense: DenseMap,
        outside: Array | None,
    ) -> Array:
        """Return ``(m, k, k)`` similarity less all but the structure that speaks against a place."""
        heights = windows.of(self.templates.maps(dense, which))
        own, factor = question.places[which], question.factor
        distance = np.linalg.norm(windows.places - own[:, None, None], axis=3)
        sides = np.maximum(windows.inside.any(1).sum(1), windows.inside.any(2).sum(1))[:, None, None]
        heights -= search_windows.prior_penalty(
            self.config,
            distance / factor,
            radius_px=sides / 2 * dense.patch / factor,
            misses=question.misses[which, None, None],
            speed_px=question.velocity[which, None, None] / factor,
        )
        if outside is not None:
            heights -= search_windows.mask_penalty(outside[windows.rows, windows.columns], self.extent)
        return heights - search_windows.rival_penalty(windows.places, own, question.rivals[which])

    def _decide(
        self, which: IntArray, windows: search_windows.Windows, heights: Array, question: Question
    ) -> tuple[Points, Array]:
        """Return places and variances: the peak where it beats the prediction, else both fused by precision."""
        patch = windows.patch
        peaks = find_peaks(heights, patch)
        found = peaks.xy + windows.corner
        own, variance = question.places[which], question.variance[which]
        column, row = np.rint((own - windows.corner) / patch - 0.5).astype(int).T
        sides = windows.inside.any(2).sum(1), windows.inside.any(1).sum(1)
        row, column = np.clip(row, 0, sides[0] - 1), np.clip(column, 0, sides[1] - 1)
        here = heights[np.arange(len(which)), row, column] + BELIEVED_BONUS * question.believed[which]
        sigma = PEAK_SIGMA * patch * np.where(peaks.value - peaks.second > CLEAR, 1.0, 2.0)
        fused, better, _ = fuse(own, variance, Measurement(found, 2 * sigma))
        wins = peaks.value > here
        return np.where(wins[:, None], found, fused), np.where(wins, np.maximum(variance, sigma**2), better)

    def _score(self, similar: FloatArray) -> Array:
        unrelated, same = self.backend.unrelated, self.backend.same
        return np.clip((similar.astype(np.float64) - unrelated) / (same - unrelated), 0.0, 1.0)

    def _as_usual(self, similar: FloatArray) -> Array:
        """Return ``(n,)`` 0…1: how near each point comes to the similarity that it has when it is seen."""
        share = similar / self.usual
        rate = np.where(similar > self.usual, USUAL_RISES, np.where(share > USUAL_SHARE, USUAL_FALLS, USUAL_FORGETS))
        self.usual += rate * (np.maximum(similar, 0.1) - self.usual)
        return np.asarray(np.clip(0.5 + (share - USUAL_SHARE) / (2 * (1 - USUAL_SHARE)), 0, 1), np.float64)

    def _astray(self, places: Points, question: Question) -> BoolArray:
        """Tell which points are far from where those that were found for sure put them."""
        fixed = question.fixed
        if not self.structured or fixed.sum() < 2:
            return np.zeros(len(places), np.bool_)
        expected = expected_places(places, self.points, fixed.astype(float), extent=self.extent)
        apart = np.linalg.norm(places - expected, axis=1)
        return ~fixed & (apart > ASTRAY * tolerance(self.points, extent=self.extent))

    def _swap(self, places: Points, question: Question, dense: DenseMap) -> tuple[Points, BoolArray]:
        """Exchange the places of left/right pairs that fit better the other way round."""
        swapped = np.zeros(len(places), np.bool_)
        rows = dense.at(places)
        for left, right in self.pairs:
            if question.fixed[left] or question.fixed[right]:
                continue
            both = np.array([left, right])
            if is_swapped(self.templates.crossed(rows[both], both)):
                places[[left, right]] = places[[right, left]]
                swapped[[left, right]] = True
        return places, swapped
